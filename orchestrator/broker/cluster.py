"""The cluster as its administrator sees it: offsets, groups, partitions; and growing topics.

kafka-python's admin client retries nothing, caches a group's coordinator for ever and must be used by one
thread: so a call that fails with something retriable is tried again on a new client, and each thread that looks
at the cluster has a :class:`Cluster` of its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import MemberToRemove
from kafka.errors import (
    AuthorizationError,
    InvalidPartitionsError,
    KafkaError,
    NoError,
    TopicAlreadyExistsError,
    UnknownMemberIdError,
)
from kafka.protocol.consumer.offsets import OffsetSpec

from orchestrator.broker.look import Look
from orchestrator.core.fleet import Group, Member
from orchestrator.errors import BrokerRefuses, BrokerUnreachable, NotLeading
from orchestrator.kafka_admin import open_admin

log = logging.getLogger(__name__)
Result = TypeVar("Result")

#: How often a call is made in all before the broker counts as unreachable.
ATTEMPTS = 5
#: Pause before the second attempt, doubled each time; a new cluster needs seconds for its first coordinator.
BACKOFF_S = 0.2
REQUEST_TIMEOUT_MS = 5_000
BOOTSTRAP_TIMEOUT_MS = 3_000


class Cluster:
    """A connection for administration; one thread at a time."""

    def __init__(self, options: Mapping[str, Any], may_act: Callable[[], bool] = lambda: True) -> None:
        """Remember how to connect; nothing is contacted before the first call.

        Args:
            options: kafka-python's connection options.
            may_act: is asked before a topic is grown, which cannot be undone.
        """
        self._options = options
        self._may_act = may_act
        self._client: KafkaAdminClient | None = None

    def look(self, at: float, topics: Iterable[str], groups: Iterable[str]) -> Look:
        """Read everything a tick needs.

        Args:
            at: the time to stamp it with, seconds since the epoch.
            topics: topics whose end offsets are wanted.
            groups: groups whose members and commits are wanted.

        Raises:
            BrokerUnreachable: nothing, or not everything, could be read: then nothing is known.
        """
        wanted, group_ids = set(topics), sorted(set(groups))
        described = self.groups(group_ids)
        subscribed = {topic for group in described.values() for member in group.members for topic in member.topics}
        found = self.partitions(sorted(wanted | subscribed))
        partitions = {topic: ids for topic, ids in found.items() if topic in wanted}
        return Look(
            at=at,
            ends={topic: self._offsets(topic, ids, OffsetSpec.LATEST) for topic, ids in partitions.items()},
            begins={topic: self._offsets(topic, ids, OffsetSpec.EARLIEST) for topic, ids in partitions.items()},
            committed={group: self._committed(group) for group in group_ids},
            groups=described,
            counts={topic: len(ids) for topic, ids in found.items()},
        )

    def partitions(self, topics: Iterable[str]) -> dict[str, tuple[int, ...]]:
        """Partition ids of those of the topics that exist."""
        described = self._call(lambda client: client.describe_topics(list(topics)))
        return {
            topic["name"]: tuple(sorted(p["partition_index"] for p in topic["partitions"]))
            for topic in described
            if not topic["error_code"]
        }

    def groups(self, group_ids: Iterable[str]) -> dict[str, Group]:
        """Members, subscriptions and assignments of groups; an unknown group is ``Dead`` and empty."""
        described = self._call(lambda client: client.describe_groups(list(group_ids)))
        return {
            group_id: Group(group_id, group["group_state"], tuple(_members(group)))
            for group_id, group in described.items()
        }

    def arrivals(self, topic: str, times: Iterable[float]) -> list[int]:
        """Messages that had been appended to a topic before each of the times, by the messages' own timestamps.

        Args:
            topic: an existing topic.
            times: seconds since the epoch.
        """
        ids = self.partitions([topic]).get(topic, ())
        latest = self._offsets(topic, ids, OffsetSpec.LATEST)
        counts = []
        for moment in times:
            found = self._offsets(topic, ids, int(moment * 1000))
            # -1: no message is that recent
            counts.append(sum(latest[p] if found[p] < 0 else found[p] for p in ids))
        return counts

    def create(self, topic: str, partitions: int, configs: Mapping[str, str] | None = None) -> bool:
        """Create a topic with the broker's default replication; False when it exists."""
        request = {topic: {"num_partitions": partitions, "configs": dict(configs or {})}}
        try:
            self._call(lambda client: client.create_topics(request))
        except TopicAlreadyExistsError:
            return False
        return True

    def grow(self, topic: str, total: int) -> int:
        """Add partitions until the topic has ``total``; more is fine too. Idempotent.

        Returns:
            The number of partitions that it has then.

        Raises:
            BrokerUnreachable: the broker did not answer.
            KafkaError: the broker refused, e.g. for want of authorisation.
            NotLeading: another master leads.
        """
        if not self._may_act():
            raise NotLeading(f"growing {topic} to {total} partitions")
        try:
            self._call(lambda client: client.create_partitions({topic: total}))
        except InvalidPartitionsError:
            log.debug("%s already has %d partitions or more", topic, total)
        return len(self.partitions([topic]).get(topic, ()))

    def evict(self, group_id: str, client_ids: Collection[str], reason: str) -> tuple[str, ...]:
        """End memberships at once, so that the others take the partitions over without waiting for a session's end.

        A member that still runs is fenced: its commits are refused from then on, and it joins again by itself as soon
        as it hears of it. A static member is named to the coordinator by its instance id, others by their member ids.

        Args:
            group_id: the group.
            client_ids: who is to go.
            reason: is written to the broker's log.

        Returns:
            The client ids of the members that were removed; who is no member is not among them.

        Raises:
            BrokerUnreachable: the broker did not answer.
            KafkaError: the broker refused, e.g. for want of authorisation.
            NotLeading: another master leads.
        """
        if not self._may_act():
            raise NotLeading(f"removing {', '.join(client_ids)} from {group_id}")
        described = self._call(lambda client: client.describe_groups([group_id]))[group_id]
        found = {
            MemberToRemove(None if member["group_instance_id"] else member["member_id"], member["group_instance_id"],
                           reason): member["client_id"]
            for member in described["members"] if member["client_id"] in client_ids
        }  # fmt: skip
        if not found:
            return ()
        answers = self._call(lambda client: client.remove_group_members(group_id, list(found)))
        refused = {
            answer for answer in answers.values()
            if issubclass(answer, KafkaError) and not issubclass(answer, NoError | UnknownMemberIdError)
        }  # fmt: skip
        for answer in refused:
            raise answer(f"{group_id}: {', '.join(found.values())}")
        return tuple(sorted(set(found.values())))

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _committed(self, group: str) -> dict[tuple[str, int], int]:
        found = self._call(lambda client: client.list_group_offsets(group)).get(group, {})
        return {(tp.topic, tp.partition): at.offset for tp, at in found.items() if at.offset >= 0}

    def _offsets(self, topic: str, ids: Iterable[int], spec: int) -> dict[int, int]:
        specs = {TopicPartition(topic, p): spec for p in ids}
        found = self._call(lambda client: client.list_partition_offsets(specs)) if specs else {}
        return {tp.partition: at.offset for tp, at in found.items()}

    def _call(self, ask: Callable[[KafkaAdminClient], Result]) -> Result:
        for attempt in range(1, ATTEMPTS + 1):
            client = self._client = self._client or self._open()
            try:
                return ask(client)
            except AuthorizationError as error:
                user = self._options.get("sasl_plain_username", "ANONYMOUS")
                raise BrokerRefuses(
                    f"the Kafka broker refuses user {user} a right ({type(error).__name__}: {error}): grant what "
                    "docs/security.md lists"
                ) from error
            except (KafkaError, OSError) as error:
                if isinstance(error, KafkaError) and not error.retriable:
                    raise
                self.close()
                if attempt == ATTEMPTS:
                    raise self._unreachable(error) from error
            time.sleep(BACKOFF_S * 2 ** (attempt - 1))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _open(self) -> KafkaAdminClient:
        try:
            return open_admin(
                **self._options,
                client_id="fogverse-orchestrator",
                request_timeout_ms=REQUEST_TIMEOUT_MS,
                bootstrap_timeout_ms=BOOTSTRAP_TIMEOUT_MS,
                reconnect_backoff_max_ms=2_000,
            )
        except (KafkaError, OSError) as error:  # it has tried for as long as it may: no second attempt
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> BrokerUnreachable:
        servers = ",".join(self._options["bootstrap_servers"])
        what = str(error) if type(error).__name__ in str(error) else f"{type(error).__name__}: {error}"
        return BrokerUnreachable(
            f"no Kafka broker answers at {servers} ({what}); start it, or correct fogverse_kafka in the inventory"
        )


def _members(group: Mapping[str, Any]) -> Iterable[Member]:
    for member in group["members"]:
        subscription, assignment = member["member_metadata"], member["member_assignment"]
        # Both are decoded only while the group is stable; before that they are bytes.
        decoded = isinstance(assignment, Mapping)
        yield Member(
            client_id=member["client_id"],
            topics=tuple(subscription["topics"]) if isinstance(subscription, Mapping) else (),
            partitions={a["topic"]: tuple(a["partitions"]) for a in assignment["assigned_partitions"]}
            if decoded
            else {},
            member_id=member["member_id"],
        )
