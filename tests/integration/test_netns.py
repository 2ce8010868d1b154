"""Entering a network namespace: what the lab needs so that nothing of it is reachable from outside."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import netns

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="namespaces need root and iproute2"
)


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"fv-test-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no namespace can be made here: {made.stderr.strip()}")
    try:
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def current() -> int:
    return Path("/proc/thread-self/ns/net").stat().st_ino


def test_a_block_is_inside_and_what_follows_outside_again(namespace: str) -> None:
    outside, inside = current(), Path("/run/netns", namespace).stat().st_ino

    with netns.entered(namespace):
        assert current() == inside
    assert current() == outside


def test_threads_and_processes_started_inside_are_inside(namespace: str) -> None:
    """The Kafka client's thread and ssh's process must reach what the thread that starts them reaches."""
    inside = Path("/run/netns", namespace).stat().st_ino
    seen: list[int] = []

    def enter_and_start() -> None:
        netns.enter(namespace)
        started = threading.Thread(target=lambda: seen.append(current()))
        started.start()
        started.join()
        child = subprocess.run(
            ["stat", "-L", "-c", "%i", "/proc/self/ns/net"], capture_output=True, text=True, check=True
        )
        seen.append(int(child.stdout))

    entering = threading.Thread(target=enter_and_start)  # for good: so not in the thread of the other tests
    entering.start()
    entering.join()

    assert seen == [inside, inside]


def test_an_exception_inside_leaves_it(namespace: str) -> None:
    outside = current()

    with pytest.raises(ZeroDivisionError), netns.entered(namespace):
        _ = 1 / 0

    assert current() == outside


def test_a_namespace_that_is_not_there_is_a_missing_file() -> None:
    with pytest.raises(FileNotFoundError):
        netns.enter("fv-no-such-namespace")
