"""Ask devices over SSH, all at once: a script each, a deadline on every phase, nothing left behind."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from orchestrator.inventory.connection import Connection
from orchestrator.ssh.reasons import timed_out
from orchestrator.ssh.session import RESOLVING, Answer, Session, known_hosts_file

#: Devices asked at the same time; each is mostly waiting.
AT_ONCE = 32

_WATCH_S = 0.05


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of asking one device: its answer, and the seconds that it took."""

    answer: Answer
    elapsed_s: float


def ask(
    questions: Iterable[tuple[Connection, str]],
    known_hosts: Path | None,
    timeout_s: float,
    *,
    at_once: int = AT_ONCE,
    clock: Callable[[], float] = time.time,
) -> dict[str, Asked]:
    """Run a script on each device, in parallel; blocks until each has answered or run out of time.

    A device that hangs costs at most four deadlines (connecting, greeting, authentication, command), and the
    others do not wait for it unless there are more than ``at_once``. Nothing stays open and no thread stays
    behind, but for a name that the resolver does not give up on: its thread ends when the resolver does.

    Args:
        questions: devices, each with its script in plain sh.
        known_hosts: the host keys that are trusted; the user's own file when None.
        timeout_s: deadline of each phase, seconds.
        at_once: devices asked at the same time.
        clock: the master's clock, seconds since 1970.

    Returns:
        By device; what went wrong is in the answer, nothing is raised.
    """
    keys = known_hosts_file(known_hosts)
    sessions = {
        link.device: (link, script, Session(link, keys, timeout_s, clock, script)) for link, script in questions
    }
    if not sessions:
        return {}
    threads = ThreadPoolExecutor(min(at_once, len(sessions)), thread_name_prefix="probe")
    running = {
        name: threads.submit(_one, link, script, session, timeout_s, clock)
        for name, (link, script, session) in sessions.items()
    }
    try:
        while pending := [
            future for name, future in running.items() if not future.done() and not sessions[name][2].stuck
        ]:
            wait(pending, timeout=_WATCH_S, return_when=FIRST_COMPLETED)
            for _, _, session in sessions.values():
                session.expire()
    finally:
        threads.shutdown(wait=all(future.done() for future in running.values()), cancel_futures=True)
    late = Asked(Answer(None, timed_out(timeout_s, RESOLVING)), timeout_s)
    return {name: future.result() if future.done() else late for name, future in running.items()}


def _one(link: Connection, script: str, session: Session, timeout_s: float, clock: Callable[[], float]) -> Asked:
    begun = time.monotonic()
    answer = _ask_here(script, timeout_s, clock) if link.local else session.ask()
    return Asked(answer, time.monotonic() - begun)


def _ask_here(script: str, timeout_s: float, clock: Callable[[], float]) -> Answer:
    """The same of this machine itself (``ansible_connection: local``)."""
    asked = clock()
    try:
        done = subprocess.run(
            ["sh", "-c", script],
            capture_output=True,
            text=True,
            errors="replace",  # a journal may hold anything
            timeout=timeout_s,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return Answer(None, f"timed out after {timeout_s:g} s in the command")
    return Answer(done.stdout, "", asked, clock())
