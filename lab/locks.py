"""One at a time: a file lock between processes and threads, freed by the kernel when its holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.errors import LabError


@contextmanager
def locked(path: Path, timeout_s: float = 120.0) -> Iterator[None]:
    """Hold the lock file ``path`` for the length of a block; its folder is made when missing.

    The block may delete the lock file: whoever waits for it then takes the new one.

    Raises:
        LabError: another process kept it for ``timeout_s`` seconds.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            if _taken(handle, path):
                yield
                return
        finally:
            os.close(handle)
        if time.monotonic() > deadline:
            raise LabError(f"another command has held {path} for {timeout_s:.0f} s: wait for it, or end it")
        time.sleep(0.05)


def _taken(handle: int, path: Path) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return path.stat().st_ino == os.fstat(handle).st_ino
    except (BlockingIOError, FileNotFoundError):
        return False
