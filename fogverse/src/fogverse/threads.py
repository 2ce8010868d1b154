"""Workers in threads: for work that waits (network, disk) or that lets go of Python's lock."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from queue import SimpleQueue
from time import monotonic
from typing import Any

from fogverse.call import Call
from fogverse.faults import Fault
from fogverse.job import Job
from fogverse.message import Message, Output
from fogverse.meter import Meter

#: Seconds that ending waits for workers that have nothing to do any more.
JOIN_S = 1.0


class Crew(ABC):
    """Whoever calls the callable. Every job given comes back through the ``done`` queue, whatever happens."""

    @abstractmethod
    def start(self) -> None:
        """Begin to work."""

    @abstractmethod
    def give(self, jobs: list[Job]) -> None:
        """Have jobs done by one worker, after those given before. Never blocks."""

    @abstractmethod
    def close(self) -> None:
        """End the workers; one that is still in the callable is left behind."""

    @property
    def fault(self) -> Fault | None:
        """Why nobody works any more, if so: then jobs do not come back either."""
        return None

    def recall(self, older_s: float) -> None:  # noqa: B027 -- threads look at ``dropped`` themselves
        """Have what has been with a worker for so long, and is not begun, come back."""

    def watch(self) -> None:  # noqa: B027 -- threads note it themselves
        """Note when the calls under way began."""

    def interrupt(self, job: Job, why: str) -> bool:  # noqa: ARG002 -- nothing in Python can interrupt a thread
        """End the call for this job, which then fails for that reason; False if it cannot be ended."""
        return False


class Threads(Crew):
    """Calls a plain function in a fixed number of threads.

    Args:
        process: the function.
        workers: threads.
        call: whether it takes one message or a list, and what it may return.
        meter: told when a call begins and ends.
        done: where jobs go after their call, and those that were dropped before it.
    """

    def __init__(
        self,
        process: Callable[[Any], object],
        workers: int,
        call: Call,
        meter: Meter,
        done: SimpleQueue[list[Job]],
    ) -> None:
        self._process = process
        self._shape = call
        self._meter = meter
        self._done = done
        self._given: SimpleQueue[list[Job] | None] = SimpleQueue()
        # Daemons: a function that never returns must not keep the process alive after its drain.
        self._threads = [
            threading.Thread(target=self._work, name=f"fogverse-worker-{number}", daemon=True)
            for number in range(1, workers + 1)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def give(self, jobs: list[Job]) -> None:
        """Queue jobs."""
        self._given.put(jobs)

    def close(self) -> None:
        """End the threads; one that is still in the function is left behind."""
        for _thread in self._threads:
            self._given.put(None)
        deadline = monotonic() + JOIN_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - monotonic()))

    def _work(self) -> None:
        while (jobs := self._given.get()) is not None:
            live = [job for job in jobs if not job.dropped]
            if live:
                self._call(live)
            self._done.put(jobs)
            del jobs, live  # a worker that waits must not keep the last message in memory

    def _call(self, jobs: list[Job]) -> None:
        messages = begun(jobs)
        self._meter.call_began()
        try:
            ended(jobs, self._shape.outputs(self._process(self._shape.argument(messages)), messages))
        except (Exception, SystemExit) as error:
            failed(jobs, error)
        finally:
            self._meter.call_ended()


def begun(jobs: list[Job]) -> list[Message]:
    """Note that one call for these jobs begins; returns their messages."""
    now = monotonic()
    for job in jobs:
        job.error = None
        job.together = len(jobs)
        job.started_s = now
        job.ended_s = 0.0  # in this order: the loop looks for calls that last
    return [job.ticket.message for job in jobs]


def ended(jobs: list[Job], outputs: list[list[Output]]) -> None:
    """Note that it has returned."""
    now = monotonic()
    for job, mine in zip(jobs, outputs, strict=True):
        job.outputs = mine
        job.ended_s = now


def failed(jobs: list[Job], error: BaseException) -> None:
    """Note that it has raised."""
    now = monotonic()
    for job in jobs:
        job.error = error
        job.ended_s = now
