"""One master acts, the others wait: leadership is membership in a consumer group on a topic of one partition.

Whoever owns the partition leads. The group's coordinator ends the membership of a master that is silent for
:data:`SESSION_S`, and gives the partition to the next. Before each action the leader asks the coordinator whether its
generation is still the current one, by committing an offset with it: a master that was frozen and wakes is refused
there and acts no more. Source: Kafka's group membership protocol, error codes ``UNKNOWN_MEMBER_ID`` and
``ILLEGAL_GENERATION`` of OffsetCommit.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from orchestrator.broker.ledger import Entry

log = logging.getLogger(__name__)

#: Silence after which a leader is replaced; the smallest that a broker allows without being configured.
SESSION_S = 6.0
HEARTBEAT_S = 0.5
POLL_S = 0.2
#: How long a confirmation waits for a rebalance (another master joins) to be over.
CONFIRM_S = 10.0
RETRY_S = 2.0


@dataclass(frozen=True, slots=True)
class Term:
    """One candidate's time of leading.

    Attributes:
        leadership: the candidate.
        number: counts its terms, from 1.
    """

    leadership: Leadership
    number: int

    def holds(self) -> bool:
        """Whether it goes on, as far as is known here; cheap, and not enough to act upon."""
        return self.leadership.holds(self.number)

    def confirm(self) -> bool:
        """Ask the group's coordinator whether it still goes on; ask before each action.

        False also when the broker does not answer: who cannot be sure does not act.
        """
        return self.leadership.confirm(self.number)


class Leadership:
    """A candidate for leading; has a thread of its own from :meth:`start` to :meth:`close`.

    Also hears what is written to the topic while it leads: orders of operators reach the master this way.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        topic: str,
        group_id: str,
        on_entry: Callable[[Entry], None] = lambda _entry: None,
    ) -> None:
        """Remember how to connect; nothing is contacted before :meth:`start`.

        Args:
            options: kafka-python's connection options.
            topic: the topic of one partition whose owner leads.
            group_id: the group of all masters of this fleet.
            on_entry: is called, in the thread, with each entry written to the topic while this candidate leads.
        """
        self._options = options
        self._partition = TopicPartition(topic, 0)
        self._group_id = group_id
        self._on_entry = on_entry
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._leads = False
        self._terms = 0
        self._asked: queue.SimpleQueue[tuple[int, float, Future[bool]]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="leadership", daemon=True)

    def start(self) -> None:
        """Become a candidate."""
        self._thread.start()

    def wait(self, stop: threading.Event, look_s: float = 0.2) -> Term | None:
        """Wait until this candidate leads; None when ``stop`` was set first."""
        with self._changed:
            while not stop.is_set():
                if self._leads:
                    return Term(self, self._terms)
                self._changed.wait(look_s)
        return None

    def holds(self, term: int) -> bool:
        """See :meth:`Term.holds`."""
        with self._changed:
            return self._leads and self._terms == term

    def confirm(self, term: int) -> bool:
        """See :meth:`Term.confirm`."""
        if not self.holds(term) or self._stop.is_set():
            return False
        answer: Future[bool] = Future()
        self._asked.put((term, time.monotonic() + CONFIRM_S, answer))
        try:
            return answer.result(timeout=CONFIRM_S + 2)
        except TimeoutError:
            return False

    def close(self) -> None:
        """Leave the group, so that another takes over at once."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._take_part()
            except (KafkaError, OSError) as error:
                log.warning("leadership on %s: %s; trying again", self._partition.topic, error)
                self._stop.wait(RETRY_S)
            except Exception:  # a candidate that has silently gone would leave the fleet without a master
                log.exception("leadership on %s failed; trying again", self._partition.topic)
                self._stop.wait(RETRY_S)
            finally:
                self._set(leads=False)
                self._refuse_all()

    def _take_part(self) -> None:
        consumer = KafkaConsumer(
            **self._options,
            client_id="fogverse-orchestrator",
            group_id=self._group_id,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            session_timeout_ms=int(SESSION_S * 1000),
            heartbeat_interval_ms=int(HEARTBEAT_S * 1000),
            # who does not poll does not lead, whatever its heartbeats say
            max_poll_interval_ms=int(SESSION_S * 1000),
            # a master that joins must not take the lead from one that acts
            partition_assignment_strategy=[StickyPartitionAssignor],
            reconnect_backoff_max_ms=1_000,
        )
        try:
            consumer.subscribe([self._partition.topic], listener=_Listener(self._assigned, self._lost))
            while not self._stop.is_set():
                for batch in consumer.poll(timeout_ms=int(POLL_S * 1000)).values():
                    for record in batch:
                        self._hear(record.value)
                self._answer(consumer)
        finally:
            consumer.close()

    def _hear(self, value: bytes | None) -> None:
        entry = Entry.decode(value) if value is not None else None
        if entry is not None:
            self._on_entry(entry)

    def _answer(self, consumer: KafkaConsumer) -> None:
        waiting = []
        while True:
            try:
                term, deadline, answer = self._asked.get_nowait()
            except queue.Empty:
                break
            if not self.holds(term) or time.monotonic() > deadline:
                answer.set_result(False)
            else:
                waiting.append((term, deadline, answer))
        if not waiting:
            return
        sure = self._partition in consumer.assignment() and self._commits(consumer)
        for term, deadline, answer in waiting:
            if sure:
                answer.set_result(True)
            else:
                self._asked.put((term, deadline, answer))  # a rebalance may be under way: the next poll settles it

    def _commits(self, consumer: KafkaConsumer) -> bool:
        try:
            position = consumer.position(self._partition, timeout_ms=1_000)
            if position is None:
                return False
            consumer.commit({self._partition: OffsetAndMetadata(position, "", -1)}, timeout_ms=2_000)
        except KafkaError as error:
            log.info("the lead is not confirmed: %s", error)
            return False
        return True

    def _assigned(self, partitions: set[TopicPartition]) -> None:
        self._set(leads=self._partition in partitions)

    def _lost(self) -> None:
        if self.holds(self._terms):
            log.warning("this master was silent for more than %g s: another one leads now", SESSION_S)
        self._set(leads=False)

    def _refuse_all(self) -> None:
        while not self._asked.empty():
            self._asked.get()[2].set_result(False)

    def _set(self, *, leads: bool) -> None:
        with self._changed:
            if leads and not self._leads:
                self._terms += 1
            self._leads = leads
            self._changed.notify_all()


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    """Passes on what becomes of the assignment."""

    def __init__(self, assigned: Callable[[set[TopicPartition]], None], lost: Callable[[], None]) -> None:
        self._assigned = assigned
        self._lost = lost

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Nothing is lost yet: the sticky assignment gives it back, or the next assignment says that it does not."""

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """The rebalance is over."""
        self._assigned(set(assigned))

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:  # noqa: ARG002 - kafka-python's signature
        """The coordinator has ended the membership."""
        self._lost()
