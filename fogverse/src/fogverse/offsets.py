"""How far one partition may be committed."""

from __future__ import annotations

from collections import deque


class OffsetTracker:
    """Offsets of one partition between being started and being finished.

    Messages may finish in any order, but a committed offset promises that *everything* before it is done.
    So only the contiguous finished prefix counts. "Contiguous" is in the order of starting: offsets of a
    compacted or transactional topic have gaps. One tracker serves one assignment of the partition; after a
    rebalance there is a new one, and what finishes late on the old one reaches no commit.

    Attributes:
        last: the latest offset started; -1 before the first.
    """

    __slots__ = ("_finished", "_position", "_started", "last")

    def __init__(self) -> None:
        self._started: deque[int] = deque()
        self._finished: set[int] = set()
        self.last = -1
        self._position: int | None = None

    @property
    def position(self) -> int | None:
        """The offset to commit: all before it is finished. None as long as nothing is."""
        return self._position

    @property
    def unfinished(self) -> int:
        """How many offsets are started and not finished."""
        return len(self._started) - len(self._finished)

    @property
    def span(self) -> int:
        """Offsets started from the oldest unfinished one on, finished ones among them included."""
        return len(self._started)

    def start(self, offset: int) -> None:
        """Note that ``offset`` is being worked on.

        Raises:
            ValueError: it does not lie behind all offsets started before.
        """
        if offset <= self.last:
            raise ValueError(f"offset {offset} after {self.last}: offsets of a partition only go up")
        self._started.append(offset)
        self.last = offset

    def finish(self, offset: int) -> None:
        """Note that ``offset``, started before, is done and all its outputs are acknowledged."""
        started = self._started
        if started and started[0] == offset:
            started.popleft()
            position = offset + 1
            finished = self._finished
            while started and started[0] in finished:
                done = started.popleft()
                finished.remove(done)
                position = done + 1
            self._position = position
        else:
            self._finished.add(offset)
