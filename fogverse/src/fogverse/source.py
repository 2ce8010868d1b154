"""Where messages come from: one member of the consumer group."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as Record

from fogverse.absence import Absence
from fogverse.assignment import Assignment, Partition
from fogverse.birth import Birth
from fogverse.exit_codes import ExitCode
from fogverse.faults import Fault
from fogverse.hunger import Hunger
from fogverse.inbox import Inbox
from fogverse.kafka_errors import is_refusal, is_unknown_topic, passing, refused
from fogverse.message import Message
from fogverse.records import message_of, names, offsets, text
from fogverse.throttle import Throttle

log = logging.getLogger(__name__)
kafka_log = logging.getLogger("fogverse.kafka")

#: Bytes of values that may be taken with one call, as far as the call before lets expect.
TAKEN_BYTES = 262_144


class Source:
    """Fetches messages, keeps the assignment up to date, commits positions. Used by the loop's thread only.

    Messages are taken from what librdkafka has fetched one by one, so that a rebalance is served between any two,
    unless ``at_once`` allows more: each call lets go of Python's lock, and that costs more than all the rest.
    ``fetch`` keeps what has been taken and not been asked for, and drops it when its partition goes; with ``take``
    that is the caller's.

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
        at_once: messages that may be taken with one call, for a loop that asks again soon whatever the callable does,
            since nothing is served meanwhile.
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
        self._assignment = assignment
        self._revoking = revoking
        self._losing = losing
        self._owning = owning
        self._held = False
        self._paused: set[Partition] = set()
        self._unborn: set[Partition] = set()
        self._unfetched: set[Partition] = set()
        self._absence = Absence(topic, topic_timeout_s)
        self._hunger = Hunger()
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
            return next(iter(self._one(timeout_s)), None)
        if not self._held and (message := self._next(full)) is not None:
            return message
        for message in self.take(timeout_s):
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

    def _one(self, timeout_s: float) -> list[Message]:
        try:
            record = self._consumer.poll(timeout_s)
        except KafkaException as ended:  # it raises what ended the consumer for good
            self._failed(ended.args[0])
            return []
        return [] if record is None else self._messages([record])

    def take(self, timeout_s: float) -> list[Message]:
        """What the client has fetched, as far as ``at_once`` allows; as soon as there is any, or after ``timeout_s``.

        Serves rebalances and answers to commits on the way.
        """
        taken: list[Message] = []
        few = 1 if self._held else min(self._few, self.at_once)
        if few > 1:
            try:
                # With a time it would wait until there are so many.
                records = self._consumer.consume(few, 0)
            except KafkaException as ended:
                self._failed(ended.args[0])
                return []
            taken = self._messages(records)
        if few == 1 or (timeout_s > 0 and not taken):
            taken = self._one(timeout_s)
        # Large ones one by one: what is taken counts for nobody's limit yet.
        largest = max([len(message.value) for message in taken], default=1)
        self._few = max(1, min(self.at_once, TAKEN_BYTES // max(1, largest)))
        return taken

    def _messages(self, records: list[Record]) -> list[Message]:
        messages = []
        for record in records:
            error = record.error()
            if error is None:
                messages.append(message_of(record))
            else:
                self._failed(error)
        return messages

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
        self._consumer.commit(offsets=offsets(positions), asynchronous=True)

    def commit_and_wait(self, positions: Mapping[Partition, int]) -> None:
        """Commit and return when the broker has it.

        Raises:
            KafkaException: the broker did not take it.
        """
        for answer in self._consumer.commit(offsets=offsets(positions), asynchronous=False) or []:
            if answer.error is not None:
                raise KafkaException(answer.error)

    def membership(self) -> object:
        """This member's standing in the group, for a transaction that commits positions."""
        return self._consumer.consumer_group_metadata()

    @property
    def fetching(self) -> bool:
        """Whether the broker has not answered yet for a partition that is owned."""
        return bool(self._unfetched)

    def watch(self) -> None:
        """Look after what is waited for: partitions, the group's first positions, a source topic that is missing."""
        self._hunger.look(self._consumer)
        if self._unborn:
            self._await_birth()
        for partition in list(self._unfetched):
            # The client learns a partition's end from the answer to its first fetch.
            if self._consumer.get_watermark_offsets(TopicPartition(*partition), cached=True)[1] >= 0:
                self._unfetched.discard(partition)
        self.fault = self.fault or self._absence.look(self._consumer)

    def close(self) -> None:
        """Leave the group, so that others take over at once."""
        self._consumer.close()

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._absence.ends()
        consumer.incremental_assign(partitions)
        self._assignment.add(names(partitions))
        self._unfetched.update(names(partitions))
        if self._birth is not None:
            self._unborn.update(names(partitions))
        if partitions:
            # A partition that was paused when it was given up comes back paused.
            apply = consumer.pause if self._held or self._birth is not None else consumer.resume
            apply(partitions)
        log.info("assigned %s; owns %s", text(names(partitions)), text(self._assignment.partitions))
        self._hunger.owns(self._assignment.owned)
        self._owning()

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._revoking(names(partitions))
        self._forget(consumer, partitions)
        log.info("revoked %s; owns %s", text(names(partitions)), text(self._assignment.partitions))
        self._hunger.owns(self._assignment.owned)
        self._owning()

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = names(partitions)
        self._losing(gone)
        self._forget(consumer, partitions)
        log.warning("lost %s: this member was taken for dead; others may repeat what was not committed", text(gone))
        self._hunger.owns(self._assignment.owned)
        self._owning()

    def _forget(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = names(partitions)
        self._assignment.remove(gone)
        self._paused.difference_update(gone)
        self._unborn.difference_update(gone)
        self._unfetched.difference_update(gone)
        self._inbox.forget(gone)
        consumer.incremental_unassign(partitions)

    def _committed(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        for partition in partitions or []:
            error = error or partition.error
        confirmed = {} if error else {(p.topic, p.partition): p.offset for p in partitions}
        if self.commit_answered is not None:
            self.commit_answered(error, confirmed)

    def _await_birth(self) -> None:
        responsible = (self._topic, 0) in self._assignment.partitions
        if self._birth is not None and not self._birth.over(responsible=responsible, from_first=self._absence.was):
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
            self.fault = self.fault or Fault(ExitCode.REFUSED, refused("consumer", error))
        elif is_unknown_topic(error):
            self._absence.begins()
        elif self._throttle.allows(error.name()):
            log.warning("consumer: %s", passing(error))
