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
from fogverse.packing import Packing
from fogverse.ready import Ready
from fogverse.threads import Crew

#: Jobs taken back at once, so that one busy pool cannot keep the loop from its other duties.
AT_ONCE = 256
#: Seconds that messages may wait in a bundle behind a slow one, while another worker has nothing to do.
HELD_UP_S = 0.1


class Pool:
    """Gives jobs to a crew in the order that the lanes allow, and takes them back. Used by the loop's thread only.

    Each job put in leaves exactly once: through ``release`` after it was collected, or through ``abandoned``.

    Args:
        crew: makes one that puts jobs into the queue after their call.
        ordering: ``none``, ``key`` or ``partition``.
        abandoned: told of each job that was given up; nothing has come or will come of it.
        packing: how many go to a worker together; None: each by itself, as soon as it may start.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        crew: Callable[[SimpleQueue[list[Job]]], Crew],
        ordering: str,
        abandoned: Callable[[Job], None],
        packing: Packing | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._done: SimpleQueue[list[Job]] = SimpleQueue()
        self.crew = crew(self._done)
        self._lanes = Lanes(ordering)
        self._abandoned = abandoned
        self._ready = Ready(self.crew, self._lanes, packing, clock)
        self._jobs: set[Job] = set()
        self._highest: dict[Partition, int] = {}
        self._retries: list[tuple[float, int, Job]] = []
        self._numbers = count()
        self._clock = clock

    def __len__(self) -> int:
        """Jobs put in that have not left."""
        return len(self._jobs)

    def put(self, job: Job) -> None:
        """Take a job in; it starts as soon as its lane and a worker are free."""
        self._jobs.add(job)
        if self._lanes.enter(job):
            self._start(job)

    def collect(self, timeout_s: float) -> list[Job]:
        """Jobs whose call has ended, to be settled and released one by one; waits for the first."""
        while self._retries and self._retries[0][0] <= self._clock():
            job = heappop(self._retries)[2]
            job.due_s = 0.0
            self._start(job)
        self._ready.give()
        done = self._done
        if timeout_s <= 0 and done.empty():
            return []
        found: list[Job] = []
        try:
            jobs = done.get(timeout=max(0.0, timeout_s))
            while True:
                for job in jobs:
                    self._take(job, found)
                if len(found) >= AT_ONCE:
                    break
                jobs = done.get_nowait()
        except Empty:
            pass
        self._ready.give()
        return found

    def release(self, job: Job) -> None:
        """A collected job is over and its outputs are produced: the next of its lane may start."""
        self._jobs.discard(job)
        self._advance(job)

    def retry(self, job: Job, delay_s: float) -> None:
        """A collected job is to be called for again; its lane waits for it, its worker does not."""
        job.due_s = self._clock() + delay_s if delay_s > 0 else 0.0
        job.stuck = False
        self._give_back(job)

    def halt(self, job: Job) -> None:
        """A job will not be finished here: nothing that follows it in its lane may start. It has been told of.

        Only to be used when nothing more of its partition is fetched.
        """
        self._jobs.discard(job)
        waiting, running = self._lanes.shut(job)
        for follower in waiting:
            self._jobs.discard(follower)
            self._abandoned(follower)
        for follower in running:
            follower.fenced = True
        self._lanes.release(job)

    def look(self) -> None:
        """Note how far the calls are; share out again what waits behind a slow one while somebody is free."""
        self.crew.watch()
        if self._ready.starved:
            self.crew.recall(HELD_UP_S)

    def lasting(self, limit_s: float) -> list[Job]:
        """Jobs whose present call has lasted longer than ``limit_s``."""
        since = self._clock() - limit_s
        return [job for job in self._jobs if job.started_s is not None and not job.ended_s and job.started_s < since]

    def trim(self, partitions: Collection[Partition]) -> None:
        """Begin to give partitions up: start nothing that others can just as well start.

        What lies before a message already begun is still worked on, since otherwise the positions would stop
        before it, and whoever gets the partition would have to repeat what is finished behind.
        """
        self._ready.hurry = True
        self._forget_retries(partitions)
        for job in self._jobs:
            if job.partition in partitions:
                job.due_s = 0.0  # it waits for others of its lane: for these only, now
        self.crew.watch()
        self.crew.recall(0)
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
        self._ready.hurry = False
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
        for job in self._ready.remove(chosen):
            self._abandon(job)
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
            self._start(following)

    def _give_back(self, job: Job) -> None:
        following = self._lanes.give_back(job)
        if following is not None:
            self._start(following)

    def _start(self, job: Job) -> None:
        if job.due_s:
            heappush(self._retries, (job.due_s, next(self._numbers), job))
        else:
            self._ready.add(job)

    def _take(self, job: Job, found: list[Job]) -> None:
        self._ready.back(job)
        if job.returned:
            job.returned = False
            job.ended_s = self._clock()
            if job.dropped or job.fenced:
                self._abandon(job)
            else:
                self._give_back(job)
        elif job.dropped and job.started_s is None:
            self._abandon(job)
        else:
            self._note_started(job)
            found.append(job)

    def _note_started(self, job: Job) -> None:
        offset = job.ticket.message.offset
        if not job.fenced and offset > self._highest.get(job.partition, -1):
            self._highest[job.partition] = offset
