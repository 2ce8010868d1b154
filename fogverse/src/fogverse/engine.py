"""The loop of an instance: fetch, process, produce, commit."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from time import monotonic, time

from confluent_kafka import KafkaError, KafkaException

from fogverse.assignment import Assignment, Partition, Ticket
from fogverse.commits import EVERY
from fogverse.delivery import AtLeastOnce, Delivery
from fogverse.exit_codes import ExitCode
from fogverse.faults import Fault
from fogverse.kafka_config import consumer_config, producer_config, transaction_config
from fogverse.lifecycle import Lifecycle
from fogverse.message import Output
from fogverse.meter import Meter
from fogverse.settings import Settings
from fogverse.source import Source
from fogverse.stopping import Stopping
from fogverse.transactions import Transactions
from fogverse.transactor import Transactor

log = logging.getLogger(__name__)

#: Seconds to wait for a message when nothing is under way; also how late a stop is noticed.
IDLE_S = 0.2
#: The same while outputs wait for acknowledgement, which is noticed only between two waits.
BUSY_S = 0.005
#: Seconds between two looks at things that last (commits, missing topics, stalls).
LOOK_S = 0.1
#: Seconds that giving up partitions may wait for outputs; the whole group waits as long.
REVOKE_S = 10.0


class Engine(ABC):
    """Runs until it is told to stop or has to; ``Serial`` and ``Parallel`` say how messages are worked on.

    A message is begun, the callable returns, its outputs are handed to a ``Delivery``, which commits the contiguous
    finished prefix of each partition after its outputs, or together with them.

    Args:
        settings: what to run.
        meter: counts for the reports.
        stopping: tells when to stop, and until when.
        lifecycle: told how the loop is doing.
        first_finished: called once, after the very first message is finished.
        commit_every: finished messages after which a commit does not wait for its second.

    Raises:
        Fault: librdkafka refuses the settings.
    """

    #: Seconds that the loop may be silent: longer than anything it waits for (giving partitions up, a slow broker).
    silent_s = 60.0

    def __init__(
        self,
        settings: Settings,
        meter: Meter,
        stopping: Stopping,
        lifecycle: Lifecycle,
        first_finished: Callable[[], None],
        commit_every: int = EVERY,
    ) -> None:
        self._meter = meter
        self._stopping = stopping
        self._lifecycle = lifecycle
        lifecycle.allow(self.silent_s)
        self._first_finished: Callable[[], None] | None = first_finished
        self._started = self._looked = monotonic()
        self._leaving = False
        self._assignment = Assignment()
        try:
            self._source = Source(
                consumer_config(settings),
                settings.source_topic,
                settings.topic_timeout_s,
                self._assignment,
                revoking=self._revoking,
                losing=self._losing,
                owning=lambda: lifecycle.owns(self._assignment.owned),
                start=settings.start,
            )
            self._delivery = self._deliver(settings, commit_every)
        except KafkaException as error:
            raise Fault(ExitCode.BAD_SETTINGS, f"librdkafka refuses the settings: {error.args[0].str()}") from None

    def _deliver(self, settings: Settings, commit_every: int) -> Delivery:
        if settings.exactly_once:
            transactor = Transactor(transaction_config(settings), monotonic)
            return Transactions(
                transactor, self._assignment, self._source, self._finished, self._dropped, self._too_large
            )
        return AtLeastOnce(
            producer_config(settings),
            self._assignment,
            self._source,
            self._finished,
            self._too_large,
            self._stopping,
            self._lifecycle.seen,
            commit_every,
        )

    def run(self) -> ExitCode:
        """Process until stopped, then drain. Blocks; returns how it ended."""
        code = ExitCode.OK
        try:
            self._source.open()
            while not self._stopping.requested:
                self._turn()
        except Fault as fault:
            log.error("%s", fault.text)  # noqa: TRY400 -- one line; the text says it all
            code = fault.code
            self._stopping.request(f"exit code {int(code)}")
        drained = self._drain()
        return code or (ExitCode.OK if drained else ExitCode.DRAIN_OVERRUN)

    def _turn(self) -> None:
        self._advance()
        now = monotonic()
        if now - self._looked >= LOOK_S:
            self._looked = now
            self._look()

    @abstractmethod
    def _advance(self) -> None:
        """Do what can be done now: settle what is finished, fetch and begin, wait a moment if there is nothing."""

    @abstractmethod
    def _work_off(self, partitions: list[Partition], timeout_s: float, *, in_fetch: bool) -> bool:
        """Finish the messages begun on partitions that are given up; False if some are still being worked on.

        Afterwards nothing of these partitions may be begun, and nothing be produced for them. With ``in_fetch``
        the source itself is asking, and must not be asked for anything meanwhile.
        """

    @abstractmethod
    def _losing(self, partitions: list[Partition]) -> None:
        """Partitions are gone already: what is being worked on there counts no more."""

    def _look(self) -> None:
        self._lifecycle.seen()
        self._delivery.look()
        self._source.watch()
        self._lifecycle.fetching(self._source.fetching)
        for part in (self._source, self._delivery):
            if part.fault is not None:
                raise part.fault

    def _emit(self, ticket: Ticket, outputs: list[Output]) -> None:
        self._delivery.emit(ticket, outputs)

    def _dropped(self, _ticket: Ticket) -> None:
        """A message will not be committed by this instance, although the callable has returned."""
        self._meter.message_dropped()

    def _too_large(self, ticket: Ticket, output: Output, error: KafkaError) -> Output | None:  # noqa: ARG002
        """The dead letter for a message with an output that nobody takes; None: the run ends."""
        return None

    def _finished(self, tickets: list[Ticket]) -> None:
        processed = [ticket for ticket in tickets if not ticket.dead]
        if len(processed) < len(tickets):
            self._meter.messages_buried(len(tickets) - len(processed))
        if not processed:
            return
        now_ms = time() * 1000
        self._meter.messages_finished(
            len(processed),
            sum([ticket.outputs for ticket in processed]),
            [now_ms - sent_ms for ticket in processed if (sent_ms := ticket.message.timestamp_ms) is not None],
        )
        if self._first_finished is not None:
            first = processed[0].message
            log.info("first message finished: %s, %.2f s after start", first.place, monotonic() - self._started)
            self._first_finished()
            self._first_finished = None

    def _revoking(self, partitions: list[Partition]) -> None:
        if self._leaving:
            return  # settled already, or it could not be: no use in waiting again
        deadline = monotonic() + min(REVOKE_S, self._stopping.remaining_s)
        if not self._work_off(partitions, deadline - monotonic(), in_fetch=True):
            log.warning("partitions have to be given up with messages being worked on: they will be repeated")
        self._delivery.settle(partitions, deadline - monotonic())

    def _drain(self) -> bool:
        self._lifecycle.stops()
        self._source.hold()
        finished = self._work_off(self._assignment.partitions, self._stopping.remaining_s, in_fetch=False)
        if not finished:
            log.error("the drain timeout is over with messages being worked on: they will be processed again")
        delivered = self._delivery.drain(self._stopping.remaining_s)
        self._leaving = True
        self._source.close()
        self._delivery.close()
        log.info("left the group")
        return finished and delivered
