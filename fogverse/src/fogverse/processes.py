"""Workers in processes of their own: for work that computes, which threads of Python would do one at a time."""

from __future__ import annotations

from queue import SimpleQueue
from time import monotonic

from fogverse.faults import Fault
from fogverse.job import Job
from fogverse.meter import Meter
from fogverse.plan import Plan
from fogverse.seat import Seat
from fogverse.stopping import Stopping
from fogverse.threads import JOIN_S, Crew

#: Seconds between two looks at a stop while workers import the callable.
LOOK_S = 0.1


class Processes(Crew):
    """Has bundles done by a fixed number of processes, which import the callable themselves.

    They are programs started anew, never forks: librdkafka's clients live in this process. They outlive
    rebalances; one that dies, or is killed for a message that takes too long, is replaced by its seat.

    Args:
        plan: what a worker has to know.
        workers: processes.
        meter: told when a bundle is under way.
        stopping: ends the wait for the start.
        done: where jobs go, with a result or returned.
    """

    def __init__(
        self, plan: Plan, workers: int, meter: Meter, stopping: Stopping, done: SimpleQueue[list[Job]]
    ) -> None:
        self._stopping = stopping
        self._given: SimpleQueue[list[Job] | None] = SimpleQueue()
        self._seats = [Seat(plan._replace(number=n), self._given, done, meter) for n in range(1, workers + 1)]

    def start(self) -> None:
        """Start all workers at once and wait until they have imported the callable, or a stop is asked for.

        Raises:
            Fault: one cannot.
        """
        for seat in self._seats:
            seat.thread.start()
        for seat in self._seats:
            while not seat.settled.wait(LOOK_S) and not self._stopping.requested:
                pass
        if self.fault is not None:
            raise self.fault

    @property
    def fault(self) -> Fault | None:
        """Why a worker cannot be had any more."""
        return next((seat.fault for seat in self._seats if seat.fault is not None), None)

    def give(self, jobs: list[Job]) -> None:
        """Queue jobs."""
        self._given.put(jobs)

    def recall(self, older_s: float) -> None:
        """Take back what is not begun."""
        for seat in self._seats:
            seat.recall(older_s)

    def watch(self) -> None:
        """Look where the workers are."""
        for seat in self._seats:
            seat.watch()

    def interrupt(self, job: Job, why: str) -> bool:
        """Kill the worker that has it."""
        return any(seat.interrupt(job, why) for seat in self._seats)

    def close(self) -> None:
        """End the workers, those that still work by force."""
        for seat in self._seats:
            seat.close(now=False)
            self._given.put(None)
        deadline = monotonic() + JOIN_S
        for seat in self._seats:
            if seat.thread.ident is not None:
                seat.thread.join(max(0.0, deadline - monotonic()))
        for seat in self._seats:
            seat.close(now=True)
        for seat in self._seats:
            if seat.thread.ident is not None:
                seat.thread.join()
