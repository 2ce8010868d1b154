"""How outputs and positions reach the broker: at least once here, exactly once in ``transactions``."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

from fogverse.assignment import Assignment, Partition, Ticket
from fogverse.commits import Commits
from fogverse.failures import TooLarge
from fogverse.faults import Fault
from fogverse.message import Output
from fogverse.sink import Sink
from fogverse.source import Source
from fogverse.stopping import Stopping

log = logging.getLogger(__name__)


class Delivery(Protocol):
    """Takes the outputs of finished messages and sees to it that they and their positions reach the broker."""

    @property
    def fault(self) -> Fault | None:
        """Why the run must end; None if all is well."""

    @property
    def outstanding(self) -> int:
        """How much is under way; as long as there is any, ``serve`` is to be called every few milliseconds."""

    @property
    def full(self) -> bool:
        """Whether no further message should be begun for now."""

    def emit(self, ticket: Ticket, outputs: list[Output]) -> None:
        """The callable has returned for a message. May raise ``Fault``."""

    def serve(self, timeout_s: float = 0) -> None:
        """Go on with what is under way, waiting at most so long for something to happen."""

    def look(self) -> None:
        """Do what is due from time to time; called about ten times a second."""

    def settle(self, partitions: list[Partition], timeout_s: float) -> None:
        """Bring to an end what concerns partitions that are given up; inside a rebalance, so fetch nothing."""

    def drain(self, timeout_s: float) -> bool:
        """Bring everything to an end; False if that was not possible, which is then in the log."""

    def close(self) -> None:
        """Let go of the producer; waits for nothing."""


class AtLeastOnce:
    """Commits a position after the broker has acknowledged all outputs that lie before it.

    Args:
        config: librdkafka's configuration of the producer.
        assignment: knows the positions.
        source: commits them.
        finished: called with the tickets of messages whose outputs are acknowledged.
        too_large: called with an output that no broker takes; gives the dead letter to write instead, or None.
        stopping: bounds the wait for room in the producer's queue.
        waiting: called now and then during that wait.
        commit_every: finished messages after which a commit does not wait for its second.
    """

    def __init__(
        self,
        config: dict[str, Any],
        assignment: Assignment,
        source: Source,
        finished: Callable[[list[Ticket]], None],
        too_large: TooLarge,
        stopping: Stopping,
        waiting: Callable[[], None],
        commit_every: int,
    ) -> None:
        self._told = finished
        self._sink = Sink(config, self._acknowledged, too_large, stopping, waiting)
        self._commits = Commits(assignment, source, every=commit_every)
        self.emit = self._sink.emit
        self.reply = self._sink.reply
        self.serve = self._sink.serve
        self.close = self._sink.close

    @property
    def fault(self) -> Fault | None:
        """Why the run must end; None if all is well."""
        return self._sink.fault or self._commits.fault

    @property
    def outstanding(self) -> int:
        """Outputs not acknowledged."""
        return self._sink.outstanding

    @property
    def full(self) -> bool:
        """Whether no further message should be begun for now."""
        return self._sink.room <= 0

    @property
    def room(self) -> int:
        """Outputs that may be handed over until no further message should be begun; 0 or less: none."""
        return self._sink.room

    def look(self) -> None:
        """Commit if it is time; say when outputs stall."""
        self._commits.turn()
        self._sink.watch()

    def settle(self, partitions: list[Partition], timeout_s: float) -> None:
        """Wait for outputs, then commit partitions that are about to be given up."""
        if not self._sink.flush(timeout_s):
            log.warning("%s", self._sink.unacknowledged("and partitions have to be given up: they will be repeated"))
        self._commits.settle(partitions)

    def drain(self, timeout_s: float) -> bool:
        """Wait for all outputs, then commit everything."""
        deadline = monotonic() + timeout_s
        flushed = self._sink.flush(timeout_s)
        if not flushed:
            log.error("%s", self._sink.unacknowledged("giving up"))
        committed = self._commits.settle_all(max(0.0, deadline - monotonic()))
        if not committed:
            log.error("the last positions could not be committed: what follows them will be processed again")
        return flushed and committed

    def _acknowledged(self, tickets: list[Ticket]) -> None:
        for ticket in tickets:
            ticket.finish()
        self._commits.messages_finished(len(tickets))
        self._told(tickets)
