"""What this process takes from the device."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic

_PROC = Path("/proc")


def rss_mb() -> float | None:
    """Resident memory of this process and its worker processes in MB (10^6 bytes); None where there is no /proc."""
    try:
        pages = _pages("self")
    except (OSError, ValueError, IndexError):
        return None
    for child in _children():
        with suppress(OSError, ValueError, IndexError):  # it has just ended
            pages += _pages(child)
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu_s() -> float:
    """CPU seconds of this process and its worker processes, those that have ended included."""
    times = os.times()
    seconds = times.user + times.system + times.children_user + times.children_system
    for child in _children():
        with suppress(OSError, ValueError, IndexError):
            # Behind the name, which may contain anything: user and system time, proc(5).
            fields = (_PROC / child / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


def _pages(process: str) -> int:
    return int((_PROC / process / "statm").read_text(encoding="ascii").split()[1])


def _children() -> list[str]:
    """Processes that any of this one's threads has started; none where the system does not tell."""
    found: list[str] = []
    with suppress(OSError):
        for task in (_PROC / "self" / "task").iterdir():
            found += (task / "children").read_text(encoding="ascii").split()
    return found


def available_mb() -> float | None:
    """Memory that this process can still take without swapping, in MB (10^6 bytes); None where it is not told.

    The least of what the kernel has and what the limit of the process' own control group leaves (cgroup v2).
    """
    found = [amount for amount in (_kernel_mb(), _group_mb()) if amount is not None]
    return min(found) if found else None


def _kernel_mb() -> float | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        return None


def _group_mb() -> float | None:
    try:
        own = Path("/proc/self/cgroup").read_text(encoding="utf-8").partition("0::/")[2].splitlines()[0]
        folder = Path("/sys/fs/cgroup") / own
        limit, used = (int((folder / f"memory.{name}").read_text(encoding="ascii")) for name in ("max", "current"))
        return (limit - used) / 1e6
    except (OSError, ValueError, IndexError):
        return None


class CpuShare:
    """CPU taken by this process and its workers since the last question.

    Args:
        wall: monotonic seconds.
        cpu: CPU seconds taken so far.
    """

    def __init__(self, wall: Callable[[], float] = monotonic, cpu: Callable[[], float] = cpu_s) -> None:
        self._wall, self._cpu = wall, cpu
        self._last = wall(), cpu()

    def read(self) -> float | None:
        """Share of one core (1.0 = one core all the time); None when no time has passed."""
        before, self._last = self._last, (self._wall(), self._cpu())
        passed = self._last[0] - before[0]
        return (self._last[1] - before[1]) / passed if passed > 0 else None
