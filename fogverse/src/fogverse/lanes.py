"""Which message may be worked on now: the order that parallel work keeps."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Hashable
from typing import TYPE_CHECKING

from fogverse.message import Message

if TYPE_CHECKING:
    from fogverse.job import Job


def _by_key(message: Message) -> Hashable:
    # Messages without a key have no order among each other.
    return None if message.key is None else (message.topic, message.partition, message.key)


def _by_partition(message: Message) -> Hashable:
    return message.topic, message.partition


#: What must keep its order with a message, by ordering; None if nothing must.
LANE: dict[str, Callable[[Message], Hashable]] = {
    "none": lambda _message: None,
    "key": _by_key,
    "partition": _by_partition,
}


class _Lane:
    """Messages that must follow each other: those that one worker has, and those that wait, by offset."""

    __slots__ = ("running", "waiting")

    def __init__(self, job: Job) -> None:
        self.running = {job}
        self.waiting: deque[Job] = deque()


class Lanes:
    """Queues of messages that must follow each other; of each, one worker may have some at a time.

    A lane stays busy until what runs of it is released, also when its partition is taken away meanwhile:
    should the partition come back, its messages wait for the late ones. Used by the loop's thread only.

    Args:
        ordering: ``none`` (no lanes), ``key`` (one per partition and key) or ``partition``.
    """

    def __init__(self, ordering: str) -> None:
        self._name = LANE[ordering]
        self._lanes: dict[Hashable, _Lane] = {}

    def enter(self, job: Job) -> bool:
        """Take a message in; True if it may start at once, else it comes out of ``release`` later."""
        name = self._name(job.ticket.message)
        if name is None:
            return True
        lane = self._lanes.get(name)
        if lane is None:
            self._lanes[name] = _Lane(job)
            return True
        lane.waiting.append(job)
        return False

    def followers(self, job: Job) -> int:
        """How many wait behind a running message."""
        lane = self._of(job)
        return len(lane.waiting) if lane else 0

    def follow(self, job: Job) -> Job | None:
        """The one that waits behind a running message, to be given to the same worker behind it."""
        lane = self._of(job)
        if not lane or not lane.waiting or lane.waiting[0].single or lane.waiting[0].due_s:
            return None
        following = lane.waiting.popleft()
        lane.running.add(following)
        return following

    def release(self, job: Job) -> Job | None:
        """A running message is done with; the one that may start now, if any waits."""
        lane = self._of(job)
        if lane is None:
            return None
        lane.running.discard(job)
        return self._next(job, lane)

    def give_back(self, job: Job) -> Job | None:
        """A running message has to be started again, in its place; the one that may start now, if any."""
        lane = self._of(job)
        if lane is None:
            return job
        lane.running.discard(job)
        offset = job.ticket.message.offset
        place = 0
        while place < len(lane.waiting) and lane.waiting[place].ticket.message.offset < offset:
            place += 1
        lane.waiting.insert(place, job)
        return self._next(job, lane)

    def shut(self, job: Job) -> tuple[list[Job], Collection[Job]]:
        """Nothing may follow a running message: takes out and returns what waits, and what runs with it."""
        lane = self._of(job)
        if lane is None:
            return [], ()
        waiting = list(lane.waiting)
        lane.waiting.clear()
        return waiting, lane.running - {job}

    def remove(self, dropped: Callable[[Job], bool]) -> list[Job]:
        """Take out the waiting messages for which ``dropped`` is true."""
        removed: list[Job] = []
        for lane in self._lanes.values():
            gone = [job for job in lane.waiting if dropped(job)]
            if gone:
                removed += gone
                lane.waiting = deque(job for job in lane.waiting if not dropped(job))
        return removed

    def _of(self, job: Job) -> _Lane | None:
        name = self._name(job.ticket.message)
        return None if name is None else self._lanes[name]

    def _next(self, job: Job, lane: _Lane) -> Job | None:
        if lane.running:
            return None
        if lane.waiting:
            following = lane.waiting.popleft()
            lane.running.add(following)
            return following
        del self._lanes[self._name(job.ticket.message)]
        return None
