"""The messages being worked on in parallel: which may start, which are done, which are given up."""

from __future__ import annotations

from collections.abc import Callable, Collection
from heapq import heapify, heappop, heappush
from itertools import count
from queue import Empty, SimpleQueue
from time import monotonic

from fogverse.assignment import Partition
from fogverse.job import Job
from fogverse.lanes import Lanes
from fogverse.threads import Crew

#: Jobs taken back at once, so that one busy pool cannot keep the loop from its other duties.
AT_ONCE = 256


class Pool:
    """Gives jobs to a crew in the order that the lanes allow, and takes them back. Used by the loop's thread only.

    Each job put in leaves exactly once: through ``release`` after it was collected, or through ``abandoned``.

    Args:
        crew: makes one that puts jobs into the queue after their call.
        ordering: ``none``, ``key`` or ``partition``.
        abandoned: told of each job that was given up; nothing has come or will come of it.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        crew: Callable[[SimpleQueue[Job]], Crew],
        ordering: str,
        abandoned: Callable[[Job], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._done: SimpleQueue[Job] = SimpleQueue()
        self._crew = crew(self._done)
        self._lanes = Lanes(ordering)
        self._abandoned = abandoned
        self._jobs: set[Job] = set()
        self._highest: dict[Partition, int] = {}
        self._retries: list[tuple[float, int, Job]] = []
        self._numbers = count()
        self._clock = clock

    def __len__(self) -> int:
        """Jobs put in that have not left."""
        return len(self._jobs)

    def start(self) -> None:
        """Start the crew."""
        self._crew.start()

    def close(self) -> None:
        """End the crew."""
        self._crew.close()

    def put(self, job: Job) -> None:
        """Take a job in; it starts as soon as its lane and a worker are free."""
        self._jobs.add(job)
        if self._lanes.enter(job):
            self._crew.give(job)

    def collect(self, timeout_s: float) -> list[Job]:
        """Jobs whose call has ended, to be settled and released one by one; waits for the first."""
        while self._retries and self._retries[0][0] <= self._clock():
            self._crew.give(heappop(self._retries)[2])
        done = self._done
        if timeout_s <= 0 and done.empty():
            return []
        found: list[Job] = []
        try:
            job = done.get(timeout=max(0.0, timeout_s))
            while True:
                if job.dropped and job.started_s is None:
                    self._abandon(job)
                else:
                    self._note_started(job)
                    found.append(job)
                if len(found) >= AT_ONCE:
                    break
                job = done.get_nowait()
        except Empty:
            pass
        return found

    def release(self, job: Job) -> None:
        """A collected job is over and its outputs are produced: the next of its lane may start."""
        self._jobs.discard(job)
        self._advance(job)

    def retry(self, job: Job, delay_s: float) -> None:
        """A collected job is to be called for again; its lane waits for it, its worker does not."""
        heappush(self._retries, (self._clock() + delay_s, next(self._numbers), job))

    def halt(self, job: Job) -> None:
        """A job will not be finished here: nothing that follows it in its lane may start. It has been told of.

        Only to be used when nothing more of its partition is fetched.
        """
        self._jobs.discard(job)
        for waiting in self._lanes.shut(job):
            self._jobs.discard(waiting)
            self._abandoned(waiting)
        self._lanes.release(job)

    def lasting(self, limit_s: float) -> list[Job]:
        """Jobs whose present call has lasted longer than ``limit_s``."""
        since = self._clock() - limit_s
        return [job for job in self._jobs if job.started_s is not None and not job.ended_s and job.started_s < since]

    def trim(self, partitions: Collection[Partition]) -> None:
        """Begin to give partitions up: start nothing that others can just as well start.

        What lies before a message already begun is still worked on, since otherwise the positions would stop
        before it, and whoever gets the partition would have to repeat what is finished behind.
        """
        self._forget_retries(partitions)
        highest = dict(self._highest)
        for job in self._jobs:
            if job.started_s is not None:
                offset = job.ticket.message.offset
                highest[job.partition] = max(highest.get(job.partition, -1), offset)

        def beyond(job: Job) -> bool:
            partition = job.partition
            return partition in partitions and job.ticket.message.offset > highest.get(partition, -1)

        self._drop(beyond)

    def fence(self, partitions: Collection[Partition]) -> None:
        """The partitions are gone: whatever has not come back by now counts no more."""
        self._forget_retries(partitions)
        for partition in partitions:
            self._highest.pop(partition, None)
        for job in self._jobs:
            if job.partition in partitions:
                job.fenced = True
        self._drop(lambda job: job.partition in partitions)

    def of(self, partitions: Collection[Partition]) -> int:
        """How many jobs of these partitions have not left and still count."""
        return sum(job.partition in partitions and not job.fenced for job in self._jobs)

    def _forget_retries(self, partitions: Collection[Partition]) -> None:
        """What waits for its next try would hold up giving its partition up; others try it afresh."""
        gone = [job for _due, _number, job in self._retries if job.partition in partitions]
        self._retries = [entry for entry in self._retries if entry[2].partition not in partitions]
        heapify(self._retries)
        for job in gone:
            self._abandoned(job)
            self.halt(job)

    def _drop(self, chosen: Callable[[Job], bool]) -> None:
        waiting = self._lanes.remove(chosen)
        for job in waiting:
            self._jobs.discard(job)
            self._abandoned(job)
        for job in self._jobs:
            # Given to the crew and not started, as far as can be seen: a worker gives it back at once, or is
            # just starting it, which does no harm.
            if job.started_s is None and chosen(job):
                job.dropped = True

    def _abandon(self, job: Job) -> None:
        self._jobs.discard(job)
        self._abandoned(job)
        self._advance(job)

    def _advance(self, job: Job) -> None:
        following = self._lanes.release(job)
        if following is not None:
            self._crew.give(following)

    def _note_started(self, job: Job) -> None:
        offset = job.ticket.message.offset
        if not job.fenced and offset > self._highest.get(job.partition, -1):
            self._highest[job.partition] = offset
