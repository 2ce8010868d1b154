"""How much may be under way."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from fogverse.assignment import Assignment, Partition
from fogverse.message import Message
from fogverse.source import Source

#: Seconds that fetching just waits at a limit. Holding makes librdkafka throw away what it has fetched in advance, so
#: a limit that gives way in time must not hold; rebalances are served this much later.
PATIENCE_S = 0.5


class Bounds:
    """Says of which partitions a message may be begun, and whether any may.

    A partition is full when its share of ``max_messages`` lies between its oldest unfinished message and its latest
    one: finished messages behind a slow one count too, since a crash would repeat them. Others go on meanwhile.
    When ``max_bytes`` are under way everything waits; that is exceeded by at most one message.

    Args:
        source: is held while everything waits for long.
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
        self._since: float | None = None

    def begun(self, message: Message) -> None:
        """A message is under way."""
        self._bytes += size(message)

    def left(self, message: Message) -> None:
        """It is no longer: finished, failed or given up."""
        self._bytes -= size(message)

    def full(self, partition: Partition) -> bool:
        """Whether no message of a partition may be begun for now."""
        share = max(1, self._max_messages // max(1, self._assignment.owned))
        return self._assignment.span(partition) >= share

    def allow(self, sink_full: bool) -> bool:
        """Whether to fetch now; to be asked before each fetch. False: wait for something to finish first.

        True may also mean that everything is held, and fetching only serves the group.
        """
        if sink_full or self._bytes >= self._max_bytes:
            now = self._clock()
            if self._since is None:
                self._since = now
            if now - self._since < PATIENCE_S:
                return False
            self._source.hold()
            return True
        self._since = None
        self._source.release()
        return True


def size(message: Message) -> int:
    """Bytes that count for a message."""
    return len(message.value) + len(message.key or b"")
