"""How much may be under way, and what happens at the limit."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from fogverse.assignment import Assignment, Partition
from fogverse.message import Message
from fogverse.source import Source

#: Seconds that fetching just waits at a limit. Pausing a partition makes librdkafka throw away what it has fetched
#: of it in advance, so a limit that gives way in time must not pause; rebalances are served this much later.
PATIENCE_S = 0.5


class Bounds:
    """Says whether a message may be fetched, and pauses partitions that stay full.

    A partition is full when its share of ``max_messages`` lies between its oldest unfinished message and its latest
    one: finished messages behind a slow one count too, since a crash would repeat them. Others go on meanwhile.
    When ``max_bytes`` are under way everything waits. Both are exceeded by at most one message.

    Args:
        source: fetches, pauses, resumes.
        assignment: knows how far the partitions stretch.
        max_messages: messages under way in all partitions.
        max_bytes: bytes of their values and keys.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        source: Source,
        assignment: Assignment,
        max_messages: int,
        max_bytes: int,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._source = source
        self._assignment = assignment
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._clock = clock
        self._bytes = 0
        self._full: Partition | None = None
        self._since: float | None = None

    def begun(self, message: Message) -> None:
        """A message is under way."""
        self._bytes += size(message)
        partition = (message.topic, message.partition)
        if self._assignment.span(partition) >= self._share:
            self._full = partition

    def left(self, message: Message) -> None:
        """It is no longer: finished, failed or given up."""
        self._bytes -= size(message)

    def allow(self, sink_full: bool) -> bool:
        """Whether to fetch now; to be asked before each fetch. False: wait for something to finish first.

        True may also mean that everything is held, and fetching only serves the group.
        """
        if self._source.paused:
            self._resume()
        if sink_full or self._bytes >= self._max_bytes:
            if self._waited():
                self._source.hold()
                return True
            return False
        if self._full is not None and self._assignment.span(self._full) >= self._share:
            if not self._waited():
                return False
            self._source.pause(self._full)
        self._full = None
        self._since = None
        self._source.release()
        return True

    @property
    def _share(self) -> int:
        return max(1, self._max_messages // max(1, self._assignment.owned))

    def _waited(self) -> bool:
        now = self._clock()
        if self._since is None:
            self._since = now
        return now - self._since >= PATIENCE_S

    def _resume(self) -> None:
        half = self._share // 2
        for partition in [p for p in self._source.paused if self._assignment.span(p) <= half]:
            self._source.resume(partition)


def size(message: Message) -> int:
    """Bytes that count for a message."""
    return len(message.value) + len(message.key or b"")
