"""Dynamic partition: topics grow with the consumer group, so that no member is left without a partition."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterable
from time import monotonic, sleep
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from fogverse.kafka_errors import is_coordinator_coming, is_refusal
from fogverse.ordering import refusal
from fogverse.subscriptions import Group, read_group
from fogverse.topics import REQUEST_S, ask_for, partitions_of

log = logging.getLogger(__name__)

#: Seconds between two looks at a group that rebalances or at a topic that another is growing.
LOOK_S = 0.25


class GrowthError(RuntimeError):
    """A topic was not made or grown; the text says why and what to do."""


class GrowthRefusedError(GrowthError):
    """Growth would break an order that the service has promised to keep."""


class ConsumerAutoScaler:
    """Makes missing topics, and grows topics to one partition for each member that subscribes to them.

    Nobody holds a lock. Each member, once it has joined, reads the group (the members' own subscriptions, so
    a group may have many topics) and asks for *at least* that many partitions. Who asks too late is told so by
    the broker and reads again. Whoever joins last sees everybody, so the last request is the right one,
    however many start at the same instant and whether or not a master does the same.

    Args:
        admin: client of the cluster.
        sleep_time: seconds between two looks at a group that is changing (the seed's ``SLEEP_TIME``).
        initial_total_partition: partitions of a topic that has to be made.
        max_partitions: never grow beyond this: growth cannot be undone.
        ordering: order that the consumers keep; only with ``none`` may topics grow.
        pause: waits so many seconds; what it raises ends the waiting.
    """

    def __init__(
        self,
        admin: AdminClient,
        sleep_time: float = LOOK_S,
        initial_total_partition: int = 1,
        *,
        max_partitions: int = 256,
        ordering: str = "none",
        pause: Callable[[float], object] = sleep,
    ) -> None:
        self._admin = admin
        self._sleep_time = sleep_time
        self._initial = initial_total_partition
        self._max_partitions = max_partitions
        self._ordering = ordering
        self._pause = pause

    def ensure(self, consumer_group: str, topics: Iterable[str] | None = None, timeout_s: float = 60) -> dict[str, int]:
        """Give every member a partition; does nothing if each can have one already. Blocks.

        Args:
            consumer_group: the group.
            topics: topics to look after, made if missing; None means all that members subscribe to.
            timeout_s: seconds to wait for a group that rebalances, and for the topics.

        Returns:
            Partitions by topic.

        Raises:
            GrowthRefusedError: the consumers keep an order.
            GrowthError: the broker refuses, or the time was too short.
        """
        self._check_ordering()
        deadline = monotonic() + timeout_s
        mine = None if topics is None else tuple(topics)
        try:
            present = {topic: self._at_least(topic, self._initial, deadline, make_only=True) for topic in mine or ()}
            needed = self._settled(consumer_group, deadline).needed()
            for topic in sorted(needed) if mine is None else mine:
                present[topic] = self._at_least(topic, self._capped(topic, needed.get(topic, 1)), deadline)
        except KafkaException as error:
            raise _in_words(consumer_group, error) from error
        return present

    async def async_start(
        self,
        *,
        consumer: Any = None,
        consumer_group: str,
        consumer_topic: str | Iterable[str],
        producer: Any = None,
        timeout_s: float = 60,
    ) -> None:
        """Start a producer and a consumer, and return when the consumer can own partitions of its topics.

        Args:
            consumer: object with ``start()``, plain or async, which joins the group, and perhaps
                ``assignment()``, which must not be empty at the end; None if it is a member already.
            consumer_group: its group.
            consumer_topic: its topic or topics.
            producer: object with ``start()``; None if there is none to start.
            timeout_s: seconds for all of it.

        Raises:
            GrowthRefusedError: the consumers keep an order. Nothing has been started.
            GrowthError: the broker refuses, or the time was too short.
            TypeError: something that cannot be started was given.
        """
        self._check_ordering()
        topics = (consumer_topic,) if isinstance(consumer_topic, str) else tuple(consumer_topic)
        deadline = monotonic() + timeout_s
        starts = [_start_of(name, part) for name, part in (("producer", producer), ("consumer", consumer)) if part]
        for topic in topics:  # first of all: a consumer of a missing topic would find nothing to join for
            await asyncio.to_thread(self._make, consumer_group, topic, deadline)
        for start in starts:
            started = start()
            if inspect.isawaitable(started):
                await started
        assignment = getattr(consumer, "assignment", None)
        while True:
            await asyncio.to_thread(self.ensure, consumer_group, topics, max(0.0, deadline - monotonic()))
            if assignment is None or assignment():
                return
            if monotonic() > deadline:
                raise GrowthError(
                    f"the consumer owns no partition of {', '.join(topics)} within {timeout_s:.0f} s: is it polled?"
                )
            await asyncio.sleep(self._sleep_time)

    def _make(self, consumer_group: str, topic: str, deadline: float) -> None:
        try:
            self._at_least(topic, self._initial, deadline, make_only=True)
        except KafkaException as error:
            raise _in_words(consumer_group, error) from error

    def _check_ordering(self) -> None:
        if (reason := refusal(self._ordering)) is not None:
            raise GrowthRefusedError(reason)

    def _capped(self, topic: str, wanted: int) -> int:
        if wanted > self._max_partitions:
            log.warning("topic %s: %d members, but it grows to %d at most", topic, wanted, self._max_partitions)
        return min(wanted, self._max_partitions)

    def _settled(self, consumer_group: str, deadline: float) -> Group:
        while True:
            try:
                group = read_group(self._admin, consumer_group, REQUEST_S)
            except KafkaException as error:
                if not is_coordinator_coming(error.args[0]):
                    raise
                self._wait(deadline, f"group {consumer_group} cannot be read yet: {error.args[0].str()}")
                continue
            if group.settled:
                return group
            self._wait(deadline, f"group {consumer_group} is still {group.state}: a member is slow to join again")

    def _at_least(self, topic: str, wanted: int, deadline: float, *, make_only: bool = False) -> int:
        while True:
            present = partitions_of(self._admin, topic)
            if present is not None and (make_only or present >= wanted):
                return present
            if not ask_for(self._admin, topic, present, wanted):
                self._wait(deadline, f"topic {topic} has {present or 'no'} partitions instead of {wanted}")

    def _wait(self, deadline: float, why: str) -> None:
        if monotonic() > deadline:
            raise GrowthError(why)
        self._pause(self._sleep_time)


def _in_words(consumer_group: str, error: KafkaException) -> GrowthError:
    reason = error.args[0].str()
    if is_refusal(error.args[0]):
        reason += "; growth needs the rights DESCRIBE on the group, and DESCRIBE, CREATE and ALTER on its topics"
    return GrowthError(f"cannot look after the topics of group {consumer_group}: {reason}")


def _start_of(name: str, part: object) -> Callable[[], Any]:
    start = getattr(part, "start", None)
    if not callable(start):
        raise TypeError(
            f"{name}={type(part).__name__} has no start(): start it yourself, keep polling it, and give {name}=None"
        )
    return start  # type: ignore[no-any-return]
