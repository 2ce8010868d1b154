"""The messages that may be worked on now, and how they are given to the workers together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from time import monotonic

from fogverse.job import Bundle, Job
from fogverse.lanes import Lanes
from fogverse.packing import AHEAD, Packing
from fogverse.threads import Crew


class Ready:
    """Jobs whose lanes are free, in the order in which they became so. Used by the loop's thread only.

    Args:
        crew: whom they are given to.
        lanes: gives followers that may go with a job.
        packing: how many go together; None: each by itself, at once.
        clock: monotonic seconds.

    Attributes:
        hurry: nothing more is to come: wait for no company.
    """

    def __init__(
        self, crew: Crew, lanes: Lanes, packing: Packing | None, clock: Callable[[], float] = monotonic
    ) -> None:
        self.hurry = False
        self._crew = crew
        self._lanes = lanes
        self._packing = packing
        self._clock = clock
        self._jobs: deque[Job] = deque()
        self._out = 0

    @property
    def starved(self) -> bool:
        """Whether a worker has nothing to do, nor will have in a moment."""
        return self._packing is not None and not self._jobs and self._out < self._packing.room // AHEAD

    def add(self, job: Job) -> None:
        """It may start."""
        if self._packing is None:
            self._crew.give([job])
        else:
            self._jobs.append(job)

    def give(self) -> None:
        """Give away what can be worked on now."""
        packing, jobs = self._packing, self._jobs
        while packing is not None and jobs and self._out < packing.room:
            first, size = jobs[0], 1
            if not first.single:
                waited_s = inf if self.hurry else self._clock() - first.begun_s
                available = self._available(packing.most * (packing.room - self._out))
                size = packing.size(available, self._out, waited_s)
            if not size:
                return
            together = self._take(size)
            bundle = Bundle(len(together))
            for job in together:
                job.bundle = bundle
            self._out += 1
            self._crew.give(together)

    def back(self, job: Job) -> None:
        """One that was given away has come back."""
        bundle = job.bundle
        if bundle is None:
            return
        job.bundle = None
        bundle.out -= 1
        if not bundle.out:
            self._out -= 1
        if self._packing is not None and not job.returned and job.started_s is not None:
            self._packing.note(job.ended_s - job.started_s)

    def remove(self, chosen: Callable[[Job], bool]) -> list[Job]:
        """Take out and return some of those not given away."""
        removed = [job for job in self._jobs if chosen(job)]
        if removed:
            self._jobs = deque(job for job in self._jobs if not chosen(job))
        return removed

    def _available(self, most: int) -> int:
        """Messages that could go out now, counted no further than needed."""
        found = 0
        for job in self._jobs:
            if found >= most:
                break
            found += 1 + (0 if job.single else self._lanes.followers(job))
        return found

    def _take(self, size: int) -> list[Job]:
        """The first, each with its followers, so that lanes are left for the other workers."""
        jobs = self._jobs
        first = jobs.popleft()
        together = [first]
        if first.single:
            return together
        last = first
        while len(together) < size:
            following = self._lanes.follow(last)
            if following is None:
                if not jobs or jobs[0].single:
                    break
                following = jobs.popleft()
            together.append(following)
            last = following
        return together
