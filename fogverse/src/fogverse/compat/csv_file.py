"""Rows to a CSV file from a thread of its own: whatever happens to the file, nobody waits for it and nothing fails."""

from __future__ import annotations

import csv
import fcntl
import io
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

log = logging.getLogger(__name__)

#: Seconds between two writes.
EVERY_S = 0.5
#: Seconds until a file that could not be written is tried again.
RETRY_S = 10.0
#: Rows that wait for their write at most.
WAITING = 10_000
#: Size from which on the file is renamed to ``.1`` and begun anew, bytes.
LARGEST = 10_000_000


class CsvFile:
    """A CSV file that is appended to.

    A write that fails (a full disk, a lost mount) is said once; its rows and those that follow are dropped and
    counted, and no half row stays behind. Every ``RETRY_S`` seconds it is tried again; when it works, the log says
    so, with the number of rows that are missing.

    Args:
        path: the file.
        header: names of the columns; a file with others is renamed to ``.1``.
        retry_s: see above.
        clock: monotonic seconds.

    Attributes:
        lost: rows dropped since the start.
    """

    def __init__(
        self, path: Path, header: Sequence[str], retry_s: float = RETRY_S, clock: Callable[[], float] = monotonic
    ) -> None:
        self.lost = 0
        self._path = path
        self._head = _line(header)
        self._retry_s = retry_s
        self._clock = clock
        self._rows: deque[Sequence[Any]] = deque()
        self._file: int | None = None
        self._good = 0
        self._failed_at: float | None = None
        self._lost_before = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fogverse-csv", daemon=True)

    def add(self, row: Sequence[Any]) -> None:
        """Take a row; never blocks and never raises."""
        if len(self._rows) >= WAITING:
            self.lost += 1
            return
        self._rows.append(row)
        if self._thread.ident is None and not self._over.is_set():
            self._thread.start()

    def close(self) -> None:
        """Write what waits and end."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self.lost:
            log.warning("%s: %d rows are missing", self._path, self.lost)

    def _run(self) -> None:
        while not self._over.wait(EVERY_S):
            self._write()
        self._write()

    def _write(self) -> None:
        rows = [self._rows.popleft() for _ in range(len(self._rows))]
        if not rows:
            return
        if self._failed_at is not None and self._clock() - self._failed_at < self._retry_s:
            self.lost += len(rows)
            return
        try:
            self._append(b"".join(map(_line, rows)))
        except (OSError, csv.Error) as error:
            self.lost += len(rows)
            if self._failed_at is None:
                log.error(  # noqa: TRY400 -- one line: it is not the program's mistake
                    "%s cannot be written: %s (its rows are dropped and counted, it is tried again every %.0f s; "
                    "processing goes on)",
                    self._path,
                    error,
                    self._retry_s,
                )
                self._lost_before = self.lost - len(rows)
            self._failed_at = self._clock()
            self._withdraw()
            return
        if self._failed_at is not None:
            self._failed_at = None
            log.warning("%s is written again; %d rows are missing", self._path, self.lost - self._lost_before)

    def _append(self, block: bytes) -> None:
        if self._file is None or self._good + len(block) > LARGEST:
            self._reopen()
        file = self._file
        assert file is not None  # noqa: S101 -- just opened
        if not self._good:
            block = self._head + block
        written = os.write(file, block)
        if written < len(block):
            raise OSError(f"only {written} of {len(block)} bytes could be written")
        self._good += written

    def _reopen(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
            self._path.replace(f"{self._path}.1")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.is_file() and self._foreign():
            self._path.replace(f"{self._path}.1")
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            self._file = None
            raise OSError("another process writes it: give each a name= or dirname= of its own") from None
        self._good = os.fstat(self._file).st_size

    def _foreign(self) -> bool:
        """Whether the file has other columns, is too large, or ends within a row."""
        size = self._path.stat().st_size
        with self._path.open("rb") as file:
            if size and file.readline() != self._head:
                return True
            file.seek(max(0, size - 1))
            return size > LARGEST or file.read(1) not in (b"", b"\n")

    def _withdraw(self) -> None:
        """Leave no half row, and open anew next time."""
        if self._file is None:
            return
        with suppress(OSError):  # not a file of that kind, or the disk is gone
            os.ftruncate(self._file, self._good)
        os.close(self._file)
        self._file = None


def _line(row: Sequence[Any]) -> bytes:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerow(row)
    return written.getvalue().encode()
