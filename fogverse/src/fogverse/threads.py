"""Workers in threads: for work that waits (network, disk) or that lets go of Python's lock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from time import monotonic
from typing import Protocol

from fogverse.job import Job
from fogverse.message import Message, Returned, outputs_of
from fogverse.meter import Meter

#: Seconds that ending waits for workers that have nothing to do any more.
JOIN_S = 1.0


class Crew(Protocol):
    """Whoever calls the callable. Every job given comes back through the ``done`` queue, whatever happens."""

    def start(self) -> None:
        """Begin to work."""

    def give(self, job: Job) -> None:
        """Have a job done, after those given before. Never blocks."""

    def close(self) -> None:
        """End the workers; one that is still in the callable is left behind."""


class Threads:
    """Calls a plain function in a fixed number of threads.

    Args:
        process: the function.
        workers: threads.
        target_topic: where outputs go that name no topic.
        meter: told when a call begins and ends.
        done: where jobs go after their call, and those that were dropped before it.
    """

    def __init__(
        self,
        process: Callable[[Message], Returned],
        workers: int,
        target_topic: str | None,
        meter: Meter,
        done: SimpleQueue[Job],
    ) -> None:
        self._process = process
        self._target_topic = target_topic
        self._meter = meter
        self._done = done
        self._given: SimpleQueue[Job | None] = SimpleQueue()
        # Daemons: a function that never returns must not keep the process alive after its drain.
        self._threads = [
            threading.Thread(target=self._work, name=f"fogverse-worker-{number}", daemon=True)
            for number in range(1, workers + 1)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def give(self, job: Job) -> None:
        """Queue a job."""
        self._given.put(job)

    def close(self) -> None:
        """End the threads; one that is still in the function is left behind."""
        for _thread in self._threads:
            self._given.put(None)
        deadline = monotonic() + JOIN_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - monotonic()))

    def _work(self) -> None:
        while (job := self._given.get()) is not None:
            if not job.dropped:
                self._call(job)
            self._done.put(job)
            del job  # a worker that waits must not keep the last message in memory

    def _call(self, job: Job) -> None:
        message = job.ticket.message
        job.error = None
        job.started_s = monotonic()
        job.ended_s = 0.0  # in this order: the loop looks for calls that last
        self._meter.call_began()
        try:
            # A generator does its work while it is read: that is the function's time and its failure too.
            job.outputs = outputs_of(self._process(message), message, self._target_topic)
        except (Exception, SystemExit) as error:
            job.error = error
        finally:
            self._meter.call_ended()
            job.ended_s = monotonic()
