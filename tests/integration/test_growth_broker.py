"""Dynamic partition on a real broker: who needs a partition gets one, whoever else is at it."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from kafka import KafkaAdminClient
from kafka.errors import InvalidPartitionsError
from test_runtime_broker import until

from fogverse.autoscaler import ConsumerAutoScaler, GrowthError
from fogverse.topics import partitions_of
from lab.broker import LocalBroker

pytestmark = pytest.mark.broker


class Member:
    """A member of a group that polls in a thread of its own, as ``async_start`` expects it."""

    def __init__(self, bootstrap: str, group: str, topics: list[str], client_id: str = "rdkafka") -> None:
        self._topics = topics
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group,
                "client.id": client_id,
                "group.protocol": "classic",
                "partition.assignment.strategy": "cooperative-sticky",
                "topic.metadata.refresh.interval.ms": 1000,
                "session.timeout.ms": 10_000,
                "log_level": 0,
            }
        )
        self._owned: set[tuple[str, int]] = set()
        self._leaving = threading.Event()
        self._joined = threading.Event()
        self._thread = threading.Thread(target=self._poll)

    def start(self) -> None:
        self._consumer.subscribe(self._topics, on_assign=self._assigned, on_revoke=self._revoked)
        self._thread.start()

    def assignment(self) -> set[tuple[str, int]]:
        """From the callbacks: the client's own ``assignment()`` must not be called beside a thread that polls."""
        return self._owned

    def topics(self) -> set[str]:
        return {topic for topic, _ in self._owned}

    def join(self) -> None:
        self.start()
        assert self._joined.wait(20)

    def leave(self) -> None:
        self._leaving.set()
        if self._thread.ident:
            self._thread.join()
        self._consumer.close()

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign(partitions)
        self._owned = self._owned | {(p.topic, p.partition) for p in partitions}
        self._joined.set()

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._owned = self._owned - {(p.topic, p.partition) for p in partitions}
        consumer.incremental_unassign(partitions)

    def _poll(self) -> None:
        while not self._leaving.is_set():
            self._consumer.poll(0.1)


class Cluster:
    """Topics and groups of one test; members leave at its end."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.name = uuid.uuid4().hex[:8]
        self.admin = self.client()
        self.scaler = ConsumerAutoScaler(self.admin)
        self.members: list[Member] = []

    def client(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def topic(self, name: str, partitions: int) -> str:
        full = f"{self.name}.{name}"
        self.admin.create_topics([NewTopic(full, partitions, 1)])[full].result(10)
        until(lambda: partitions_of(self.admin, full) == partitions)
        return full

    def member(self, *topics: str) -> Member:
        made = Member(self.bootstrap, self.name, list(topics))
        self.members.append(made)
        return made

    def close(self) -> None:
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(Member.leave, self.members))


@pytest.fixture
def cluster(broker: LocalBroker) -> Iterator[Cluster]:
    made = Cluster(broker.bootstrap)
    yield made
    made.close()


def test_the_seeds_case_a_third_member_for_a_when_both_others_consume_b(cluster: Cluster) -> None:
    """Group topics A (1 partition) and B (2), two members, a new one for A: counting members would grow A to 3."""
    a, b = cluster.topic("A", 1), cluster.topic("B", 2)
    cluster.member(b).join()
    cluster.member(b).join()
    new = cluster.member(a)
    asyncio.run(cluster.scaler.async_start(consumer=new, consumer_group=cluster.name, consumer_topic=a))
    assert [member.topics() for member in cluster.members] == [{b}, {b}, {a}]
    assert (partitions_of(cluster.admin, a), partitions_of(cluster.admin, b)) == (1, 2)


def test_the_seeds_other_case_one_member_in_each(cluster: Cluster) -> None:
    """The same counts, and yet A has to grow: without subscriptions nobody could tell the two cases apart."""
    a, b = cluster.topic("A", 1), cluster.topic("B", 2)
    cluster.member(a).join()
    cluster.member(b).join()
    new = cluster.member(a)
    asyncio.run(cluster.scaler.async_start(consumer=new, consumer_group=cluster.name, consumer_topic=a))
    assert [member.topics() for member in cluster.members] == [{a}, {b}, {a}]
    assert (partitions_of(cluster.admin, a), partitions_of(cluster.admin, b)) == (2, 2)


def test_every_topic_of_a_group_grows_to_its_own_subscribers(cluster: Cluster) -> None:
    """One call for the whole group, and a second one changes nothing."""
    a, b = cluster.topic("A", 1), cluster.topic("B", 1)
    cluster.member(a, b).join()
    cluster.member(a).join()
    cluster.member(a).join()
    assert cluster.scaler.ensure(cluster.name) == {a: 3, b: 1}
    assert cluster.scaler.ensure(cluster.name) == {a: 3, b: 1}
    until(lambda: all(member.topics() for member in cluster.members))


def test_ten_that_start_at_the_same_instant_get_ten_partitions(cluster: Cluster) -> None:
    """Without a lock, and the topic did not even exist: one too few idles a device, too many stay for good."""
    topic = f"{cluster.name}.new"
    members = [cluster.member(topic) for _ in range(10)]
    ready = threading.Barrier(10)

    def start(member: Member) -> None:
        scaler = ConsumerAutoScaler(cluster.client())
        ready.wait()
        asyncio.run(scaler.async_start(consumer=member, consumer_group=cluster.name, consumer_topic=topic))

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(start, members))
    until(lambda: all(len(member.assignment()) == 1 for member in members))
    assert partitions_of(cluster.admin, topic) == 10


def test_a_master_that_grows_the_same_topic_disturbs_nobody(cluster: Cluster) -> None:
    """Each asks for at least so many: whoever is late reads again instead of failing or growing on top."""
    topic = cluster.topic("A", 1)
    for _ in range(4):
        cluster.member(topic).join()
    master = KafkaAdminClient(bootstrap_servers=cluster.bootstrap)
    ready = threading.Barrier(5)
    refused = []

    def grow_as_master() -> None:
        ready.wait()
        for total in (2, 3, 4):
            try:
                master.create_partitions({topic: total})
            except InvalidPartitionsError as late:
                refused.append(late)

    def grow(_number: int) -> dict[str, int]:
        scaler = ConsumerAutoScaler(cluster.client())
        ready.wait()
        return scaler.ensure(cluster.name, [topic])

    try:
        with ThreadPoolExecutor(5) as pool:
            racing = pool.submit(grow_as_master)
            found = list(pool.map(grow, range(4)))
            racing.result(20)
    finally:
        master.close()
    assert found == [{topic: 4}] * 4
    assert partitions_of(cluster.admin, topic) == 4


def test_a_group_that_stays_in_a_rebalance_is_given_up_with_the_reason(cluster: Cluster) -> None:
    """Else a program hangs at its start, and nobody knows for whom it waits."""
    topic = cluster.topic("A", 1)
    cluster.member(topic).join()
    silent = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": cluster.name, "log_level": 0,
                       "partition.assignment.strategy": "cooperative-sticky"})  # fmt: skip
    silent.subscribe([topic])
    silent.poll(0.2)  # asks to join, and then nobody polls for it any more
    cluster.members[0]._leaving.set()  # nor for the other one, so that the rebalance does not end
    try:
        with pytest.raises(GrowthError, match="a member is slow to join again"):
            cluster.scaler.ensure(cluster.name, [topic], timeout_s=1)
    finally:
        silent.close()


def test_a_broker_that_is_away_is_told(cluster: Cluster) -> None:
    """One line, not a traceback of the client library."""
    away = ConsumerAutoScaler(AdminClient({"bootstrap.servers": "127.0.0.1:1", "log_level": 0}))
    from fogverse import topics  # noqa: PLC0415

    before, topics.REQUEST_S = topics.REQUEST_S, 0.5
    try:
        with pytest.raises(GrowthError, match="cannot look after the topics of group"):
            away.ensure(cluster.name, ["x"])
    finally:
        topics.REQUEST_S = before
