"""When positions are committed, and whether they have been."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

from confluent_kafka import KafkaError, KafkaException

from fogverse.assignment import Assignment, Partition
from fogverse.exit_codes import ExitCode
from fogverse.faults import Fault
from fogverse.kafka_errors import is_rebalance, is_refusal
from fogverse.source import Source
from fogverse.throttle import Throttle

log = logging.getLogger(__name__)

#: Seconds between two commits: what a crash makes others repeat.
INTERVAL_S = 1.0
#: Finished messages after which a commit does not wait for its second.
EVERY = 5_000
#: Seconds after which an unanswered commit is asked for again.
ANSWER_S = 10.0


class Commits:
    """Asks for commits in intervals without waiting, and waits where it must.

    Args:
        assignment: knows the positions.
        source: asks the broker.
        clock: monotonic seconds.
        every: finished messages after which a commit does not wait for its second.

    Attributes:
        fault: why the broker refuses commits; the run must end.
    """

    def __init__(
        self,
        assignment: Assignment,
        source: Source,
        clock: Callable[[], float] = monotonic,
        every: int = EVERY,
    ) -> None:
        self.fault: Fault | None = None
        self._assignment = assignment
        self._source = source
        self._clock = clock
        self._every = every
        self._finished = 0
        self._asked_at: float | None = None
        self._next = clock() + INTERVAL_S
        self._throttle = Throttle()
        source.commit_answered = self.answered

    def messages_finished(self, count: int) -> None:
        """Count messages whose positions may be committed."""
        self._finished += count

    def turn(self) -> None:
        """Ask for a commit if it is time and there is something to commit. Never blocks."""
        now = self._clock()
        if self._asked_at is not None and now - self._asked_at < ANSWER_S:
            return
        if now >= self._next or self._finished >= self._every:
            self._ask(now)

    def answered(self, error: KafkaError | None, confirmed: dict[Partition, int]) -> None:
        """What the broker said to a commit that was asked for."""
        self._asked_at = None
        if error is None:
            self._assignment.committed(confirmed)
        else:
            self._note(error)

    def settle(self, partitions: list[Partition]) -> None:
        """Commit these partitions and wait for it; to be used when they are about to be given up."""
        positions = self._assignment.committable(partitions)
        if not positions:
            return
        try:
            self._source.commit_and_wait(positions)
        except KafkaException as error:
            self._note(error.args[0])
        else:
            self._assignment.committed(positions)

    def settle_all(self, timeout_s: float) -> bool:
        """Commit everything, serving the source meanwhile (hold it first); False if time was too short."""
        deadline = self._clock() + timeout_s
        self._asked_at = None
        asked = False
        while self._assignment.committable() and self.fault is None:
            now = self._clock()
            if asked and now >= deadline:
                return False
            if self._asked_at is None and (not asked or now >= self._next):
                self._ask(now)
                asked = True
            self._source.fetch(0.02)
        return self.fault is None

    def _ask(self, now: float) -> None:
        self._next = now + INTERVAL_S
        self._finished = 0
        positions = self._assignment.committable()
        if not positions:
            return
        try:
            self._source.commit(positions)
        except KafkaException as error:
            self._note(error.args[0])
        else:
            self._asked_at = now

    def _note(self, error: KafkaError) -> None:
        if is_refusal(error):
            self.fault = self.fault or Fault(ExitCode.REFUSED, f"the broker refuses a commit: {error.str()}")
        elif is_rebalance(error):
            log.debug("commit put off by a rebalance: %s", error.str())
        elif self._throttle.allows("commit"):
            log.warning("commit failed: %s (it will be tried again)", error.str())
