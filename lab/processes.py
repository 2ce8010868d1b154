"""Processes of this machine: who they are, their end, signals that reach the right one."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

_PROC = Path("/proc")


def arguments(pid: int) -> list[str]:
    """The command line of a process; empty for one that has ended, waited for or not."""
    try:
        line = (_PROC / str(pid) / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return line.decode("utf-8", "replace").rstrip("\0").split("\0") if line else []


def is_running(pid: int, mark: str) -> bool:
    """Whether process ``pid`` lives and has ``mark`` among the arguments of its command line."""
    return mark in arguments(pid)


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
