"""Members are taken out of their group, on a real broker: dynamic and static ones, and what they may do afterwards."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition

from lab.broker import LocalBroker
from orchestrator.broker.cluster import Cluster
from tests.integration.test_runtime_broker import until

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]


@pytest.fixture
def cluster(broker: LocalBroker) -> Iterator[Cluster]:
    with closing(Cluster({"bootstrap_servers": [broker.bootstrap]})) as cluster:
        yield cluster


@pytest.mark.parametrize("static", [False, True])
def test_an_evicted_member_is_gone_at_once_its_commits_are_refused_and_it_joins_again(
    broker: LocalBroker, cluster: Cluster, *, static: bool
) -> None:
    """Lost otherwise: the length of a session with each board that is gone; or the truth of what force means."""
    topic = group = f"evict-{uuid.uuid4().hex[:8]}"
    cluster.create(topic, 1)
    name = "slow@pi-1.1"
    config = {"bootstrap.servers": broker.bootstrap, "group.id": group, "client.id": name, "session.timeout.ms": 45_000}
    config |= {
        "enable.auto.commit": False,
        "group.protocol": "classic",
        "auto.offset.reset": "earliest",
        "log_level": 2,
    }
    consumer = Consumer(config | ({"group.instance.id": name} if static else {}))
    consumer.subscribe([topic])

    def members() -> list[str]:
        return [member.client_id for member in cluster.groups([group])[group].members]

    with closing(consumer):
        until(lambda: consumer.poll(0.2) or bool(consumer.assignment()), 60)
        assert members() == [name]
        assert cluster.evict(group, ["slow@pi-9.1"], "was never there") == ()
        assert cluster.evict(group, [name], "is gone") == (name,)
        assert members() == [], "a session of 45 s was not waited for"
        with pytest.raises(KafkaException):
            consumer.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)
        until(lambda: consumer.poll(0.2) or members() == [name], 60)
