"""The partitions this instance owns, and the messages of theirs that are being worked on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from fogverse.message import Message
from fogverse.offsets import OffsetTracker

#: (topic, number)
Partition: TypeAlias = tuple[str, int]


class Ticket:
    """One message from being fetched to being finished.

    It holds the tracker of the assignment under which it was fetched, so finishing it after the partition
    was taken away (and perhaps given back) cannot move the new owner's position.

    Attributes:
        message: the message.
        outputs: how many outputs it has.
        unacknowledged: how many of them the broker has not acknowledged yet.
        dead: its one output is a dead letter: the callable failed on it for good.
        attempts: how often the callable was called.
        tracker: the offsets of its assignment.
    """

    __slots__ = ("attempts", "dead", "message", "outputs", "tracker", "unacknowledged")

    def __init__(self, message: Message, tracker: OffsetTracker) -> None:
        self.message = message
        self.outputs = 0
        self.unacknowledged = 0
        self.dead = False
        self.attempts = 1
        self.tracker = tracker

    def finish(self) -> None:
        """The message needs nothing more: its offset may be committed once all before it may."""
        self.tracker.finish(self.message.offset)


class Assignment:
    """Offset trackers by partition, and what has been committed. Used by the loop's thread only."""

    def __init__(self) -> None:
        self._trackers: dict[Partition, OffsetTracker] = {}
        self._committed: dict[Partition, int] = {}

    @property
    def partitions(self) -> list[Partition]:
        """What is owned now, in order."""
        return sorted(self._trackers)

    @property
    def owned(self) -> int:
        """How many partitions are owned."""
        return len(self._trackers)

    def span(self, partition: Partition) -> int:
        """Messages of a partition from its oldest unfinished one on; 0 if it is not ours."""
        tracker = self._trackers.get(partition)
        return 0 if tracker is None else tracker.span

    def add(self, partitions: Iterable[Partition]) -> None:
        """Take ownership."""
        for partition in partitions:
            self._trackers[partition] = OffsetTracker()
            self._committed.pop(partition, None)

    def remove(self, partitions: Iterable[Partition]) -> None:
        """Give up ownership; tickets still under way no longer count."""
        for partition in partitions:
            self._trackers.pop(partition, None)
            self._committed.pop(partition, None)

    def begin(self, message: Message) -> Ticket | None:
        """A ticket for a fetched message; None if its partition is not ours (any more): do not process it."""
        partition = (message.topic, message.partition)
        tracker = self._trackers.get(partition)
        if tracker is None:
            return None
        if message.offset <= tracker.last:
            # The log was truncated or the topic made anew, and the client has gone back with it: follow.
            tracker = self._trackers[partition] = OffsetTracker()
            self._committed.pop(partition, None)
        tracker.start(message.offset)
        return Ticket(message, tracker)

    def counts(self, ticket: Ticket) -> bool:
        """Whether its partition is still owned, under the assignment under which it was fetched."""
        message = ticket.message
        return self._trackers.get((message.topic, message.partition)) is ticket.tracker

    def committable(self, among: Iterable[Partition] | None = None) -> dict[Partition, int]:
        """Positions that the broker does not have yet, of all owned partitions or of some of them."""
        found = {}
        for partition in self._trackers if among is None else among:
            tracker = self._trackers.get(partition)
            position = tracker.position if tracker else None
            if position is not None and position != self._committed.get(partition):
                found[partition] = position
        return found

    def committed(self, positions: Mapping[Partition, int]) -> None:
        """The broker has confirmed these positions."""
        for partition, position in positions.items():
            if partition in self._trackers:
                self._committed[partition] = position
