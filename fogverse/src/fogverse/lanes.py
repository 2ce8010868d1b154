"""Which message may be worked on now: the order that parallel work keeps."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fogverse.job import Job


def _by_key(job: Job) -> Hashable:
    message = job.ticket.message
    # Messages without a key have no order among each other.
    return None if message.key is None else (message.topic, message.partition, message.key)


def _by_partition(job: Job) -> Hashable:
    message = job.ticket.message
    return message.topic, message.partition


_LANE: dict[str, Callable[[Job], Hashable]] = {
    "none": lambda _job: None,
    "key": _by_key,
    "partition": _by_partition,
}


class Lanes:
    """Queues of messages that must follow each other; one of each may be worked on.

    A lane stays busy until its running message is released, also when its partition is taken away meanwhile:
    should the partition come back, its messages wait for the late one. Used by the loop's thread only.

    Args:
        ordering: ``none`` (no lanes), ``key`` (one per partition and key) or ``partition``.
    """

    def __init__(self, ordering: str) -> None:
        self._lane = _LANE[ordering]
        self._waiting: dict[Hashable, deque[Job]] = {}

    def enter(self, job: Job) -> bool:
        """Take a message in; True if it may start at once, else it comes out of ``release`` later."""
        lane = self._lane(job)
        if lane is None:
            return True
        waiting = self._waiting.get(lane)
        if waiting is None:
            self._waiting[lane] = deque()
            return True
        waiting.append(job)
        return False

    def release(self, job: Job) -> Job | None:
        """The running message of a lane is done with; the one that may start now, if any waits."""
        lane = self._lane(job)
        if lane is None:
            return None
        waiting = self._waiting[lane]
        if waiting:
            return waiting.popleft()
        del self._waiting[lane]
        return None

    def shut(self, job: Job) -> list[Job]:
        """The running message of a lane is never released; returns those that would have followed."""
        lane = self._lane(job)
        if lane is None:
            return []
        waiting = list(self._waiting[lane])
        self._waiting[lane].clear()
        return waiting

    def remove(self, dropped: Callable[[Job], bool]) -> list[Job]:
        """Take out the waiting messages for which ``dropped`` is true."""
        removed: list[Job] = []
        for lane, waiting in self._waiting.items():
            gone = [job for job in waiting if dropped(job)]
            if gone:
                removed += gone
                self._waiting[lane] = deque(job for job in waiting if not dropped(job))
        return removed
