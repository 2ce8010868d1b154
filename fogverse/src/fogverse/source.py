"""Where messages come from: one member of the consumer group."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as Record

from fogverse.assignment import Assignment, Partition
from fogverse.birth import Birth
from fogverse.exit_codes import ExitCode
from fogverse.faults import Fault
from fogverse.inbox import Inbox
from fogverse.kafka_errors import is_refusal, is_unknown_topic, passing
from fogverse.message import Message
from fogverse.throttle import Throttle

log = logging.getLogger(__name__)
kafka_log = logging.getLogger("fogverse.kafka")

#: Bytes of values that may be taken with one call, as far as the call before lets expect.
TAKEN_BYTES = 262_144


class Source:
    """Fetches messages, keeps the assignment up to date, commits positions. Used by the loop's thread only.

    Messages are taken from what librdkafka has fetched one by one, so that a rebalance is served between any two,
    unless ``at_once`` allows more: each call lets go of Python's lock, and with threads that wait for it that costs
    more than all the rest. What has been taken and not been asked for yet goes when its partition goes.

    Args:
        config: librdkafka's configuration.
        topic: what to consume.
        topic_timeout_s: how long the topic may be missing.
        assignment: told what is owned.
        revoking: called before partitions are given up, to settle what has been done on them.
        losing: called when partitions are gone already: nothing done on them counts any more.
        owning: called when the group has said what is owned, also if that is nothing, and when it changes.
        start: ``latest`` to begin at the ends of the partitions if the group has no positions at all.

    Attributes:
        fault: why the broker refuses us; the run must end.
        commit_answered: called with the positions a commit has confirmed, or its error.
        at_once: messages that may be taken with one call; more than one only suits a loop that never waits for the
            callable, since nothing is served meanwhile.
    """

    def __init__(
        self,
        config: dict[str, Any],
        topic: str,
        topic_timeout_s: float,
        assignment: Assignment,
        *,
        revoking: Callable[[list[Partition]], None],
        losing: Callable[[list[Partition]], None],
        owning: Callable[[], None],
        start: str = "earliest",
    ) -> None:
        self.fault: Fault | None = None
        self.commit_answered: Callable[[KafkaError | None, dict[Partition, int]], None] | None = None
        self.at_once = 1
        self._inbox = Inbox()
        self._few = 1
        self._topic = topic
        self._topic_timeout_s = topic_timeout_s
        self._assignment = assignment
        self._revoking = revoking
        self._losing = losing
        self._owning = owning
        self._held = False
        self._paused: set[Partition] = set()
        self._unborn: set[Partition] = set()
        self._missing_since: float | None = None
        self._topic_is_new = False
        self._throttle = Throttle()
        self._consumer = Consumer(config | {"error_cb": self._failed, "on_commit": self._committed}, logger=kafka_log)
        self._birth = Birth(self._consumer, topic) if start == "latest" else None

    def open(self) -> None:
        """Ask to become a member of the group; partitions come later, inside ``fetch``."""
        self._consumer.subscribe([self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    def fetch(self, timeout_s: float, full: Callable[[Partition], bool] = lambda _partition: False) -> Message | None:
        """The next message, or None after ``timeout_s``. Serves rebalances and answers to commits on the way.

        Args:
            timeout_s: how long to wait for one.
            full: whether a partition shall wait; others go on meanwhile. Only to be used with ``at_once`` above 1.
        """
        if self.at_once == 1:
            return self._one(timeout_s)
        if not self._held and (message := self._next(full)) is not None:
            return message
        for message in self._take(timeout_s):
            self._inbox.put(message)
        for partition in self._inbox.crowded(self._assignment.owned):
            if partition not in self._paused:
                self._paused.add(partition)
                self._consumer.pause([TopicPartition(*partition)])
        return None if self._held else self._next(full)

    def _next(self, full: Callable[[Partition], bool]) -> Message | None:
        message = self._inbox.take(full)
        if message is not None and self._paused:
            partition = message.topic, message.partition
            if partition in self._paused and not self._inbox.holds(partition):
                self._paused.discard(partition)
                self._consumer.resume([TopicPartition(*partition)])
        return message

    def _one(self, timeout_s: float) -> Message | None:
        try:
            record = self._consumer.poll(timeout_s)
        except KafkaException as ended:  # it raises what ended the consumer for good
            self._failed(ended.args[0])
            return None
        return None if record is None else self._message(record)

    def _take(self, timeout_s: float) -> list[Message]:
        """What the client has fetched, as far as ``at_once`` allows."""
        if self._few == 1 or self._held:
            one = self._one(timeout_s)
            taken = [] if one is None else [one]
        else:
            try:
                records = self._consumer.consume(self._few, timeout_s)
            except KafkaException as ended:
                self._failed(ended.args[0])
                return []
            taken = [message for record in records if (message := self._message(record)) is not None]
        # Large ones one by one: what is taken counts for nobody's limit yet.
        largest = max((len(message.value) for message in taken), default=1)
        self._few = max(1, min(self.at_once, TAKEN_BYTES // max(1, largest)))
        return taken

    def _message(self, record: Record) -> Message | None:
        error = record.error()
        if error is not None:
            self._failed(error)
            return None
        timestamp_ms = record.timestamp()[1]
        headers = record.headers()
        return Message(
            record.value() or b"",
            record.key(),
            tuple(headers) if headers else (),  # type: ignore[arg-type]  # always pairs when read
            record.topic() or "",
            record.partition() or 0,
            record.offset() or 0,
            timestamp_ms if timestamp_ms >= 0 else None,
        )

    def hold(self) -> None:
        """Fetch nothing for now; ``fetch`` still has to be called, for rebalances."""
        if not self._held:
            self._held = True
            self._consumer.pause(self._consumer.assignment())

    def release(self) -> None:
        """Fetch again after ``hold``."""
        if self._held:
            self._held = False
            self._consumer.resume(
                [
                    p
                    for p in self._consumer.assignment()
                    if (p.topic, p.partition) not in self._paused and (p.topic, p.partition) not in self._unborn
                ]
            )

    def commit(self, positions: Mapping[Partition, int]) -> None:
        """Ask for a commit; the answer comes to ``commit_answered`` inside ``fetch``.

        Raises:
            KafkaException: it could not even be asked.
        """
        self._consumer.commit(offsets=_offsets(positions), asynchronous=True)

    def commit_and_wait(self, positions: Mapping[Partition, int]) -> None:
        """Commit and return when the broker has it.

        Raises:
            KafkaException: the broker did not take it.
        """
        for answer in self._consumer.commit(offsets=_offsets(positions), asynchronous=False) or []:
            if answer.error is not None:
                raise KafkaException(answer.error)

    def membership(self) -> object:
        """This member's standing in the group, for a transaction that commits positions."""
        return self._consumer.consumer_group_metadata()

    def watch(self) -> None:
        """Look after what is waited for: the group's first positions, and a source topic that is missing."""
        if self._unborn:
            self._await_birth()
        if self._missing_since is None or monotonic() - self._missing_since < self._topic_timeout_s:
            return
        try:
            found = self._consumer.list_topics(self._topic, timeout=5).topics[self._topic].error is None
        except KafkaException as error:
            log.warning("cannot ask for topic %s: %s", self._topic, error.args[0].str())
            self._missing_since = monotonic()
            return
        self._missing_since = None
        if not found:
            self.fault = Fault(
                ExitCode.REFUSED,
                f"source topic {self._topic} does not exist after {self._topic_timeout_s:.0f} s: create it, "
                "or correct FOGVERSE_SOURCE_TOPIC",
            )

    def close(self) -> None:
        """Leave the group, so that others take over at once."""
        self._consumer.close()

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._missing_since = None
        consumer.incremental_assign(partitions)
        self._assignment.add(_names(partitions))
        if self._birth is not None:
            self._unborn.update(_names(partitions))
        if partitions:
            # A partition that was paused when it was given up comes back paused.
            apply = consumer.pause if self._held or self._birth is not None else consumer.resume
            apply(partitions)
        log.info("assigned %s; owns %s", _text(_names(partitions)), _text(self._assignment.partitions))
        self._owning()

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        names = _names(partitions)
        self._revoking(names)
        self._assignment.remove(names)
        self._paused.difference_update(names)
        self._unborn.difference_update(names)
        self._inbox.forget(names)
        consumer.incremental_unassign(partitions)
        log.info("revoked %s; owns %s", _text(names), _text(self._assignment.partitions))
        self._owning()

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        names = _names(partitions)
        self._losing(names)
        self._assignment.remove(names)
        self._paused.difference_update(names)
        self._unborn.difference_update(names)
        self._inbox.forget(names)
        consumer.incremental_unassign(partitions)
        log.warning("lost %s: this member was taken for dead; others may repeat what was not committed", _text(names))
        self._owning()

    def _committed(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        for partition in partitions or []:
            error = error or partition.error
        confirmed = {} if error else {(p.topic, p.partition): p.offset for p in partitions}
        if self.commit_answered is not None:
            self.commit_answered(error, confirmed)

    def _await_birth(self) -> None:
        responsible = (self._topic, 0) in self._assignment.partitions
        if self._birth is not None and not self._birth.over(responsible=responsible, from_first=self._topic_is_new):
            if self._throttle.allows("birth"):
                log.info("waiting for the group's first positions, which the owner of partition 0 commits")
            return
        self._birth = None
        waiting = [TopicPartition(*name) for name in sorted(self._unborn)]
        self._unborn.clear()
        # Given up and taken again, they start at the positions that the group has now.
        self._consumer.incremental_unassign(waiting)
        self._consumer.incremental_assign(waiting)
        if self._held:
            self._consumer.pause(waiting)
        else:
            self._consumer.resume(waiting)

    def _failed(self, error: KafkaError) -> None:
        if is_refusal(error):
            self.fault = self.fault or Fault(ExitCode.REFUSED, f"the broker refuses the consumer: {error.str()}")
        elif is_unknown_topic(error):
            if self._missing_since is None:
                self._missing_since = monotonic()
                self._topic_is_new = True
                log.warning(
                    "source topic %s does not exist (yet): waiting up to %.0f s for it",
                    self._topic,
                    self._topic_timeout_s,
                )
        elif self._throttle.allows(error.name()):
            log.warning("consumer: %s", passing(error))


def _names(partitions: list[TopicPartition]) -> list[Partition]:
    return [(p.topic, p.partition) for p in partitions]


def _offsets(positions: Mapping[Partition, int]) -> list[TopicPartition]:
    return [TopicPartition(topic, number, offset) for (topic, number), offset in positions.items()]


def _text(partitions: list[Partition]) -> str:
    return " ".join(f"{topic}[{number}]" for topic, number in partitions) or "nothing"
