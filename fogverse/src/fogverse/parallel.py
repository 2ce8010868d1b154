"""Working on several messages at a time, beside the loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from time import monotonic
from typing import cast

from fogverse.assignment import Partition, Ticket
from fogverse.bounds import Bounds
from fogverse.commits import EVERY
from fogverse.coroutines import Coroutines
from fogverse.engine import BUSY_S, IDLE_S, Engine
from fogverse.exit_codes import ExitCode
from fogverse.failures import failed_call
from fogverse.faults import Fault
from fogverse.job import Job
from fogverse.message import Message
from fogverse.meter import Meter
from fogverse.pool import Pool
from fogverse.process import AsyncProcess, PlainProcess, Process, is_coroutine_function
from fogverse.settings import Settings
from fogverse.stopping import Stopping
from fogverse.threads import Crew, Threads

#: Messages begun before the loop looks at what is done again.
FETCH_AT_ONCE = 64


class Parallel(Engine):
    """The loop that never waits for the callable: it fetches, hands out, and produces what comes back.

    Outputs are produced by the loop alone and a lane's next message starts only after that, so what is produced
    for a key has the order of the key, whatever the workers do.
    """

    def __init__(
        self,
        settings: Settings,
        process: Process,
        meter: Meter,
        stopping: Stopping,
        first_finished: Callable[[], None],
    ) -> None:
        # A crash repeats what is finished and not committed as well as what is under way: keep the two alike.
        super().__init__(settings, meter, stopping, first_finished, min(EVERY, settings.max_in_flight))
        self._bounds = Bounds(
            self._source, self._assignment, settings.max_in_flight, int(settings.max_in_flight_mb * 1e6)
        )
        self._pool = Pool(partial(_crew, settings, process, meter), settings.ordering, self._abandoned)
        self._fault: Fault | None = None

    def run(self) -> ExitCode:
        """Process until stopped, then drain. Blocks; returns how it ended."""
        self._pool.start()
        try:
            return super().run()
        finally:
            self._pool.close()

    def _advance(self) -> None:
        self._sink.serve()
        self._settle(0)
        if self._fault is not None:
            raise self._fault
        for _ in range(FETCH_AT_ONCE):
            if not self._bounds.allow(self._sink.full):
                # The next thing to happen is that a call ends or an output is acknowledged.
                self._wait()
                return
            message = self._source.fetch(0)
            if message is None:
                self._await_message()
                return
            self._begin(message)

    def _wait(self) -> None:
        if len(self._pool):
            self._settle(BUSY_S)
        else:
            self._sink.serve(BUSY_S)

    def _await_message(self) -> None:
        if len(self._pool):
            self._settle(BUSY_S)
            return
        message = self._source.fetch(BUSY_S if self._sink.outstanding else IDLE_S)
        if message is not None:
            self._begin(message)

    def _begin(self, message: Message) -> None:
        ticket = self._assignment.begin(message)
        if ticket is not None:
            self._meter.message_begun()
            self._bounds.begun(message)
            self._pool.put(Job(ticket, monotonic()))

    def _settle(self, timeout_s: float) -> None:
        for job in self._pool.collect(timeout_s):
            if job.fenced:
                # Another instance has the message now: what it produces must not be mixed with late outputs.
                self._abandoned(job)
                self._pool.release(job)
            elif job.error is not None:
                self._failed(job, job.error)
            else:
                self._produce(job)

    def _produce(self, job: Job) -> None:
        try:
            self._emit(job.ticket, job.outputs)
        except Fault as fault:
            self._fault = self._fault or fault
            self._pool.halt(job)
        else:
            self._pool.release(job)

    def _failed(self, job: Job, error: BaseException) -> None:
        self._meter.message_failed()
        self._bounds.left(job.ticket.message)
        self._fault = self._fault or failed_call(job.ticket.message, error)
        self._pool.halt(job)

    def _abandoned(self, job: Job) -> None:
        self._meter.message_dropped()
        self._bounds.left(job.ticket.message)

    def _finished(self, ticket: Ticket) -> None:
        self._bounds.left(ticket.message)
        super()._finished(ticket)

    def _work_off(self, partitions: list[Partition], timeout_s: float, *, in_fetch: bool) -> bool:
        deadline = monotonic() + timeout_s
        self._pool.trim(partitions)
        while self._pool.of(partitions) and (left := deadline - monotonic()) > 0:
            self._settle(min(left, BUSY_S))
            self._sink.serve()
            if not in_fetch:
                self._source.fetch(0)  # everything is held; rebalances of the others must not wait for this drain
        finished = not self._pool.of(partitions)
        self._pool.fence(partitions)
        return finished

    def _losing(self, partitions: list[Partition]) -> None:
        self._pool.fence(partitions)


def _crew(settings: Settings, process: Process, meter: Meter, done: SimpleQueue[Job]) -> Crew:
    if is_coroutine_function(process):
        return Coroutines(cast("AsyncProcess", process), settings.workers, settings.target_topic, meter, done)
    return Threads(cast("PlainProcess", process), settings.workers, settings.target_topic, meter, done)
