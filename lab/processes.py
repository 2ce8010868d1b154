"""Processes of this machine: who they are, their end, signals that reach the right one."""

from __future__ import annotations

import os
import select
import signal
import time
from pathlib import Path

_PROC = Path("/proc")
#: How long a process may be in the middle of exec(2).
_EXEC_S = 2.0


def arguments(pid: int) -> list[str]:
    """The command line of a process; empty for one that has ended, waited for or not."""
    try:
        line = (_PROC / str(pid) / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return line.decode("utf-8", "replace").rstrip("\0").split("\0") if line else []


def is_running(pid: int, mark: str) -> bool:
    """Whether process ``pid`` lives and has ``mark`` among the arguments of its command line.

    In the middle of exec(2) a living process has no command line; on a busy machine that lasts, so it is waited for.
    """
    deadline = time.monotonic() + _EXEC_S
    while not (line := arguments(pid)):
        if not _lives(pid) or time.monotonic() > deadline:
            return False
        time.sleep(0.001)
    return mark in line


def _lives(pid: int) -> bool:
    """Whether a process is there and has not ended; one that nobody has waited for yet has."""
    try:
        state = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")


def running() -> dict[int, list[str]]:
    """The command line of every process that has one."""
    lines = {int(entry.name): arguments(int(entry.name)) for entry in _PROC.iterdir() if entry.name.isdecimal()}
    return {pid: line for pid, line in lines.items() if line}


def send(pid: int, sign: signal.Signals) -> None:
    """Send a signal; a process that is gone already is fine."""
    try:
        os.kill(pid, sign)
    except ProcessLookupError:
        return


def wait_for_end(pid: int, timeout_s: float) -> bool:
    """Wait up to ``timeout_s`` seconds until process ``pid``, a child or not, has ended; whether it has."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], timeout_s)[0])
    finally:
        os.close(handle)


def end(pid: int, timeout_s: float) -> None:
    """Ask a process to end (SIGTERM); after ``timeout_s`` seconds make it end (SIGKILL)."""
    send(pid, signal.SIGTERM)
    if not wait_for_end(pid, timeout_s):
        send(pid, signal.SIGKILL)
        wait_for_end(pid, timeout_s)
