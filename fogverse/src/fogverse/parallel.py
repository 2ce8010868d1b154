"""Working on several messages at a time, beside the loop."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from time import monotonic

from confluent_kafka import KafkaError

from fogverse.assignment import Partition, Ticket
from fogverse.bounds import Bounds
from fogverse.commits import EVERY
from fogverse.crews import crew, packing
from fogverse.engine import BUSY_S, IDLE_S, Engine
from fogverse.exit_codes import ExitCode
from fogverse.failures import TooLargeError, dead_letter, delay_s, failed_call, reason
from fogverse.faults import Fault
from fogverse.job import Job
from fogverse.lifecycle import Lifecycle
from fogverse.message import Message, Output
from fogverse.meter import Meter
from fogverse.pool import Pool
from fogverse.process import Process
from fogverse.settings import Settings
from fogverse.stopping import Stopping
from fogverse.throttle import Throttle

log = logging.getLogger(__name__)

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
        process: Process | str,
        meter: Meter,
        stopping: Stopping,
        lifecycle: Lifecycle,
        first_finished: Callable[[], None],
    ) -> None:
        # A crash repeats what is finished and not committed as well as what is under way: keep the two alike.
        super().__init__(settings, meter, stopping, lifecycle, first_finished, min(EVERY, settings.max_in_flight))
        self._source.at_once = FETCH_AT_ONCE
        self._bounds = Bounds(
            self._source, self._assignment, settings.max_in_flight, int(settings.max_in_flight_mb * 1e6)
        )
        self._pool = Pool(
            partial(crew, settings, process, meter, stopping), settings.ordering, self._abandoned, packing(settings)
        )
        self._settings = settings
        self._given_up: set[Partition] = set()
        self._throttle = Throttle()
        self._fault: Fault | None = None

    def run(self) -> ExitCode:
        """Process until stopped, then drain. Blocks; returns how it ended."""
        try:
            self._pool.crew.start()
            return super().run()
        finally:
            self._pool.crew.close()

    def _advance(self) -> None:
        self._delivery.serve()
        self._settle(0)
        if self._fault is not None:
            raise self._fault
        for _ in range(FETCH_AT_ONCE):
            if not self._bounds.allow(self._delivery.full):
                # The next thing to happen is that a call ends or an output is acknowledged.
                self._wait()
                return
            message = self._source.fetch(0, self._bounds.full)
            if message is None:
                self._await_message()
                return
            self._begin(message)

    def _wait(self) -> None:
        if len(self._pool):
            self._settle(BUSY_S)
        else:
            self._delivery.serve(BUSY_S)

    def _await_message(self) -> None:
        if len(self._pool):
            self._settle(BUSY_S)
            return
        message = self._source.fetch(BUSY_S if self._delivery.outstanding else IDLE_S, self._bounds.full)
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
            if job.started_s is not None:
                queued_ms = None if job.failures else (job.started_s - job.begun_s) * 1000
                self._meter.call_timed(queued_ms, (job.ended_s - job.started_s) * 1000)
            if job.fenced:
                # Another instance has the message now: what it produces must not be mixed with late outputs.
                self._abandoned(job)
                self._pool.release(job)
            elif job.error is not None:
                self._failed(job, job.error)
            else:
                self._produce(job)

    def _produce(self, job: Job) -> None:
        job.ticket.attempts = job.failures + 1
        try:
            self._emit(job.ticket, job.outputs)
        except Fault as fault:
            self._fault = self._fault or fault
            self._pool.halt(job)
        else:
            self._pool.release(job)

    def _failed(self, job: Job, error: BaseException) -> None:
        settings, message = self._settings, job.ticket.message
        if job.together > 1:
            self._part(job, error)
            return
        job.failures += 1
        if job.failures <= settings.retries:
            if job.partition in self._given_up:
                self._abandoned(job)
                self._pool.halt(job)
                return
            wait_s = delay_s(job.failures, settings.retry_delay_s)
            if self._throttle.allows("retry"):
                log.warning(
                    "the callable failed on %s: %s (try %d of %d in %.1f s)",
                    message.place,
                    reason(error),
                    job.failures + 1,
                    settings.retries + 1,
                    wait_s,
                )
            self._meter.message_retried()
            self._pool.retry(job, wait_s)
        elif settings.on_failure == "dead_letter":
            self._bury(job, error, settings.dead_letter_topic or "")
        else:
            self._meter.message_failed()
            self._bounds.left(message)
            self._fault = self._fault or failed_call(message, error)
            self._pool.halt(job)

    def _part(self, job: Job, error: BaseException) -> None:
        """A batch has failed: nobody knows on which of its messages, so each is tried alone."""
        if job.partition in self._given_up:
            self._abandoned(job)
            self._pool.halt(job)
            return
        if self._throttle.allows("batch"):
            log.warning(
                "the callable failed on a batch of %d with %s: %s (its messages are tried one by one)",
                job.together,
                job.ticket.message.place,
                reason(error),
            )
        job.single = True
        self._meter.message_retried()
        self._pool.retry(job, 0)

    def _bury(self, job: Job, error: BaseException, topic: str) -> None:
        message = job.ticket.message
        if self._throttle.allows("dead letter"):
            log.error("the callable failed on %s: %s (dead letter to %s)", message.place, reason(error), topic)
        job.ticket.dead = True
        job.outputs = [dead_letter(message, error, job.failures, topic)]
        self._produce(job)

    def _too_large(self, ticket: Ticket, output: Output, error: KafkaError) -> Output | None:
        if self._settings.on_failure != "dead_letter":
            return None
        topic = self._settings.dead_letter_topic or ""
        size = len(output.value or b"")
        refusal = TooLargeError(f"an output of {size} bytes for topic {output.topic} is refused: {error.str()}")
        if self._throttle.allows("dead letter"):
            log.error("%s: %s (dead letter to %s)", ticket.message.place, refusal, topic)
        return dead_letter(ticket.message, refusal, ticket.attempts, topic)

    def _look(self) -> None:
        super()._look()
        if self._pool.crew.fault is not None:
            raise self._pool.crew.fault
        self._pool.look()
        self._name_stuck()

    def _name_stuck(self) -> None:
        limit_s = self._settings.message_timeout_s
        if limit_s is None:
            return
        lasting = self._pool.lasting(limit_s)
        for job in lasting:
            if not job.stuck:
                job.stuck = True
                replaced = self._pool.crew.interrupt(
                    job, f"it took longer than {limit_s:g} s, and its worker was replaced"
                )
                if replaced:
                    self._meter.was_stuck(job.ticket.message.place)
                log.warning(
                    "stuck: the callable has been working on %s for %.0f s%s",
                    job.ticket.message.place,
                    limit_s,
                    "; its worker is replaced" if replaced else "",
                )
        self._meter.stuck(tuple(job.ticket.message.place for job in lasting))

    def _abandoned(self, job: Job) -> None:
        self._meter.message_dropped()
        self._bounds.left(job.ticket.message)

    def _dropped(self, ticket: Ticket) -> None:
        self._bounds.left(ticket.message)
        super()._dropped(ticket)

    def _finished(self, tickets: list[Ticket]) -> None:
        for ticket in tickets:
            self._bounds.left(ticket.message)
        super()._finished(tickets)

    def _work_off(self, partitions: list[Partition], timeout_s: float, *, in_fetch: bool) -> bool:
        deadline = monotonic() + timeout_s
        self._given_up = set(partitions)
        self._pool.trim(partitions)
        while self._pool.of(partitions) and self._pool.crew.fault is None and (left := deadline - monotonic()) > 0:
            self._settle(min(left, BUSY_S))
            self._delivery.serve()
            if not in_fetch:
                self._source.fetch(0)  # everything is held; rebalances of the others must not wait for this drain
        finished = not self._pool.of(partitions)
        self._pool.fence(partitions)
        self._given_up = set()
        self._name_stuck()  # the last report of a drain must not name what has been finished since
        return finished

    def _losing(self, partitions: list[Partition]) -> None:
        self._pool.fence(partitions)
