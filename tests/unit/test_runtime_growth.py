"""Dynamic partition without a broker: counting members, and refusing what cannot be undone."""

from __future__ import annotations

import asyncio

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from fogverse.autoscaler import ConsumerAutoScaler, GrowthError, GrowthRefusedError
from fogverse.subscriptions import Group, Member, subscription


def metadata(*topics: str, more: bytes = b"") -> bytes:
    named = b"".join(len(t.encode()).to_bytes(2, "big") + t.encode() for t in topics)
    return b"\x00\x03" + len(topics).to_bytes(4, "big") + named + more


def nowhere() -> AdminClient:
    return AdminClient({"bootstrap.servers": "127.0.0.1:1", "log_level": 0})


def test_subscriptions_are_read_whatever_follows_them() -> None:
    """Newer clients append fields: misread, a topic would grow for members that do not want it."""
    assert subscription(metadata("a", "topic.b", more=b"\x00\x00\x00\x07user")) == ("a", "topic.b")
    assert subscription(metadata()) == ()


@pytest.mark.parametrize("broken", [b"", b"\x00\x01\x00\x00\x00\x02\x00\x01a", b"\x00\x01\x00\x00\x00\x01\xff\xff"])
def test_metadata_of_another_protocol_is_not_taken_for_a_subscription(broken: bytes) -> None:
    """Kafka Connect's groups have other metadata: their members must not be counted as consumers of anything."""
    with pytest.raises(ValueError, match="no subscription"):
        subscription(broken)


def test_a_killed_instance_that_came_back_counts_once() -> None:
    """Else each crash would leave one more partition behind for good."""
    topics = ("a",)
    group = Group(
        "g",
        "Stable",
        (
            Member("id-1", "analyzer@pi-3.1", topics),
            Member("id-2", "analyzer@pi-3.1", topics),
            Member("id-3", "analyzer@pi-3.2", ("a", "b")),
            Member("id-4", "rdkafka", topics),
            Member("id-5", "rdkafka", topics),
        ),
    )
    assert group.needed() == {"a": 4, "b": 1}


def test_a_group_in_the_midst_of_a_rebalance_is_not_counted() -> None:
    """The broker leaves subscriptions out then: a member that is not counted would stay without a partition."""
    assert not Group("g", "PreparingRebalance").settled
    assert not Group("g", "CompletingRebalance").settled
    assert Group("g", "").settled


@pytest.mark.parametrize("ordering", ["key", "partition"])
def test_topics_of_ordered_consumers_are_refused_with_the_alternatives(ordering: str) -> None:
    """Growth would move keys to other partitions while their older messages are still worked on."""
    scaler = ConsumerAutoScaler(nowhere(), ordering=ordering)
    with pytest.raises(GrowthRefusedError, match="use more workers in each process, or stop its producers"):
        scaler.ensure("g", ["a"])
    with pytest.raises(GrowthRefusedError):
        asyncio.run(scaler.async_start(consumer_group="g", consumer_topic="a"))


def test_what_cannot_be_started_is_told_before_anything_is_done() -> None:
    """Else the program hangs until a deadline that has nothing to do with it."""
    scaler = ConsumerAutoScaler(nowhere())
    with pytest.raises(TypeError, match=r"consumer=str has no start\(\): start it yourself"):
        asyncio.run(scaler.async_start(consumer="consumer", consumer_group="g", consumer_topic="a"))


def test_a_coordinator_that_is_coming_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a consumer that starts right after its broker ends with an error instead of a partition."""
    answers = iter([KafkaException(KafkaError(KafkaError.COORDINATOR_LOAD_IN_PROGRESS)), Group("g", "Stable")])

    def read(*_asked: object) -> Group:
        answer = next(answers)
        if isinstance(answer, KafkaException):
            raise answer
        return answer

    monkeypatch.setattr("fogverse.autoscaler.read_group", read)
    assert ConsumerAutoScaler(nowhere(), sleep_time=0.01).ensure("g") == {}
    refused = KafkaException(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED))
    answers = iter([refused])
    with pytest.raises(GrowthError, match="growth needs the rights"):
        ConsumerAutoScaler(nowhere()).ensure("g")
