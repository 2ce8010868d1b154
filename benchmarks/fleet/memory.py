"""What a process and its children take of the memory."""

from __future__ import annotations

import os
import threading
from pathlib import Path


class Memory:
    """The proportional set size (PSS) of this process and all its children, several times a second.

    PSS counts a page that n processes share as one nth for each, so that forks are not counted n times. Source:
    proc(5), ``/proc/PID/smaps_rollup``. The benchmark's own part is in it: what it holds is what a master holds.
    """

    def __init__(self) -> None:
        self.most_mb = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="memory")

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(0.3):
            self.most_mb = max(self.most_mb, sum(_pss_kb(pid) for pid in _tree(os.getpid())) / 1024)


def _tree(root: int) -> list[int]:
    """A process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has ended
            children.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def _pss_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0  # it has ended
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
