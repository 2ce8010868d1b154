"""Outputs that wait until everything before their message is finished."""

from __future__ import annotations

from heapq import heappop, heappush

from fogverse.assignment import Assignment, Ticket
from fogverse.message import Output
from fogverse.offsets import OffsetTracker


class Done:
    """A message whose call has returned.

    Attributes:
        ticket: the message.
        outputs: what came of it.
        produced: how many of these are in the open transaction.
    """

    __slots__ = ("outputs", "produced", "ticket")

    def __init__(self, ticket: Ticket, outputs: list[Output]) -> None:
        self.ticket = ticket
        self.outputs = outputs
        self.produced = 0


class Prefix:
    """Gives finished messages back in the order of their offsets, without a gap.

    A committed position says that everything before it is done, so a transaction may hold the outputs of exactly
    that: those of a message that has overtaken an unfinished one stay here until the other is finished too.
    Used by the loop's thread only.

    Args:
        assignment: knows which messages still count.
    """

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._waiting: dict[OffsetTracker, list[tuple[int, Done]]] = {}

    def put(self, done: Done) -> list[Done]:
        """Take a finished message in; returns those whose turn has come, perhaps none."""
        ticket = done.ticket
        ticket.finish()
        tracker = ticket.tracker
        waiting = self._waiting.get(tracker)
        position = tracker.position
        if not waiting and position is not None and ticket.message.offset < position:
            return [done]
        waiting = self._waiting.setdefault(tracker, [])
        heappush(waiting, (ticket.message.offset, done))
        released = []
        while waiting and position is not None and waiting[0][0] < position:
            released.append(heappop(waiting)[1])
        if not waiting:
            del self._waiting[tracker]
        return released

    def purge(self) -> list[Done]:
        """Forget messages whose partitions have been given up, and say which."""
        gone: list[Done] = []
        for tracker, waiting in list(self._waiting.items()):
            if not self._assignment.counts(waiting[0][1].ticket):
                del self._waiting[tracker]
                gone += [done for _offset, done in waiting]
        return gone
