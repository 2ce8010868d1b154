"""Network namespaces: made and deleted with ``ip netns``, entered by the calling thread.

A namespace belongs to a thread: children and threads that it starts afterwards inherit it,
threads that run already do not follow.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lab.commands import run
from lab.errors import LabError
from orchestrator import netns

_FOLDER = Path("/run/netns")


def enter(name: str) -> None:
    """Move the calling thread into the namespace ``name`` for good.

    Raises:
        LabError: there is no such namespace, or no right to enter it.
    """
    with _told(name):
        netns.enter(name)


@contextmanager
def entered(name: str | None) -> Iterator[None]:
    """Let the calling thread be in the namespace ``name`` for the length of a block; None changes nothing.

    Sockets and processes made in the block stay in the namespace afterwards.

    Raises:
        LabError: there is no such namespace, or no right to enter it.
    """
    with ExitStack() as stack:
        if name is not None:
            with _told(name):
                stack.enter_context(netns.entered(name))
        yield


def create(name: str) -> None:
    """Make the namespace ``name`` with its loopback up; one that exists is kept."""
    if not exists(name):
        ip("netns", "add", name)
    ip("-n", name, "link", "set", "lo", "up")


def delete(name: str) -> None:
    """Delete the namespace ``name`` if it exists. Processes still inside keep a nameless one alive."""
    if exists(name):
        ip("netns", "delete", name)


def exists(name: str) -> bool:
    """Whether there is a namespace of that name."""
    return path(name).exists()


def names(prefix: str = "") -> list[str]:
    """The namespaces whose name starts with ``prefix``, sorted."""
    if not _FOLDER.is_dir():
        return []
    return sorted(entry.name for entry in _FOLDER.iterdir() if entry.name.startswith(prefix))


def pids(name: str) -> list[int]:
    """The processes inside the namespace ``name``; none when it does not exist."""
    return [int(pid) for pid in ip("netns", "pids", name).split()] if exists(name) else []


def path(name: str) -> Path:
    """The file that stands for the namespace, as ``nsenter --net=`` takes it."""
    return _FOLDER / name


def ip(*arguments: str) -> str:
    """Run ``ip`` with these arguments and return what it printed.

    Raises:
        LabError: it is not installed, or failed; the text holds its own words.
    """
    return run(["ip", *arguments])


@contextmanager
def _told(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise LabError(f"no network namespace {name}: start the lab with 'orchestrator lab up'") from None
    except PermissionError:
        raise LabError(f"entering network namespace {name} needs root: run with sudo") from None
