"""Where a group starts, and how soon new partitions are noticed, against a real broker."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from confluent_kafka.cimpl import NewPartitions

from fogverse import ExitCode
from lab.broker import LocalBroker
from tests.integration.test_runtime_broker import Pipeline, until

pytestmark = pytest.mark.broker

LATEST = {"FOGVERSE_START": "latest"}
STAGES = """
from fogverse import Output

def both_kinds(message):
    return [Output(b"keyed", message.value), Output(b"unkeyed")]
"""
NOTICED_S = 5.0


class Growing(Pipeline):
    """Topics that get more partitions."""

    def __init__(self, broker: LocalBroker, folder: Path) -> None:
        super().__init__(broker, folder)
        with (folder / "stages.py").open("a") as stages:
            stages.write(STAGES)

    def grow(self, topic: str, count: int) -> None:
        self.admin.create_partitions([NewPartitions(topic, count)])[topic].result(10)
        until(lambda: len(self.admin.list_topics(topic).topics[topic].partitions) == count)


@pytest.fixture
def pipeline(broker: LocalBroker, tmp_path: Path) -> Growing:
    return Growing(broker, tmp_path)


def test_latest_holds_once_at_the_birth_of_the_group(pipeline: Growing) -> None:
    """History is skipped; what comes while the service is down later is not."""
    pipeline.create_all()
    pipeline.put(f"old{n}" for n in range(100))
    with pipeline.running("upper", **LATEST) as instance:
        instance.says("1 partitions start at their present end")
        pipeline.put(["new"])
        until(lambda: pipeline.committed() == [101])
        assert instance.stop() == ExitCode.OK
    pipeline.put(["meanwhile"])
    with pipeline.running("upper", **LATEST) as instance:
        until(lambda: pipeline.committed() == [102])
        assert instance.stop() == ExitCode.OK
        assert not [line for line in instance.log if "is new to the group" in line]
    assert pipeline.out() == {"NEW": 1, "MEANWHILE": 1}


@pytest.mark.parametrize("settings", [{}, {"FOGVERSE_EXACTLY_ONCE": "true"}], ids=["at-least-once", "exactly-once"])
def test_many_that_start_at_the_same_instant_make_one_birth(pipeline: Growing, settings: dict[str, str]) -> None:
    """Two births would skip what came between them; a member that missed it would process the whole history."""
    pipeline.create_all()
    pipeline.grow(pipeline.source, 4)
    for partition in range(4):
        pipeline.put((f"old{n}" for n in range(50)), partition)
    with ExitStack() as running:
        instances = [
            running.enter_context(pipeline.running("upper", f"pi-{number}", **LATEST, **settings))
            for number in range(4)
        ]
        until(lambda: min(pipeline.committed(4)) == 50)
        for partition in range(4):
            pipeline.put((f"new{partition}-{n}" for n in range(50)), partition)
        until(lambda: pipeline.committed(4) == [100] * 4)
        assert [instance.stop() for instance in instances] == [ExitCode.OK] * 4
        births = [line for instance in instances for line in instance.log if "is new to the group" in line]
    assert len(births) == 1
    assert pipeline.out() == {f"NEW{partition}-{n}": 1 for partition in range(4) for n in range(50)}


def test_partitions_that_come_after_the_birth_are_read_from_their_first_message(pipeline: Growing) -> None:
    """Dynamic partition under load: with "latest" for each of them, messages would be lost."""
    pipeline.create_all()
    with pipeline.running("upper", **LATEST) as instance:
        instance.says("start at their present end")
        pipeline.grow(pipeline.source, 2)
        pipeline.put((f"m{n}" for n in range(100)), partition=1)
        instance.says(f"owns {pipeline.source}[0] {pipeline.source}[1]", within_s=3 * NOTICED_S)
        until(lambda: pipeline.committed(2)[1] == 100)
        assert instance.stop() == ExitCode.OK
    assert len(pipeline.out()) == 100


def test_a_topic_that_comes_after_the_service_is_read_from_its_first_message(pipeline: Growing) -> None:
    """The service was there first: all that the topic ever had is new to it."""
    pipeline.create(pipeline.target, pipeline.observer)
    with pipeline.running("upper", **LATEST) as instance:
        instance.says("does not exist (yet)")
        pipeline.create(pipeline.source)
        pipeline.put(["first"])
        instance.says("start at their first messages")
        until(lambda: pipeline.committed() == [1])
        assert instance.stop() == ExitCode.OK
    assert pipeline.out() == {"FIRST": 1}


@pytest.mark.parametrize("settings", [{}, {"FOGVERSE_EXACTLY_ONCE": "true"}], ids=["at-least-once", "exactly-once"])
def test_new_partitions_get_outputs_soon(pipeline: Growing, settings: dict[str, str]) -> None:
    """Keyed and unkeyed: else consumers downstream that were started for the new partition have nothing to do."""
    pipeline.create_all()
    producer = pipeline.producer()

    def both_kinds_are_in_partition_1() -> bool:
        producer.produce(pipeline.source, str(time.monotonic()))
        producer.flush(5)
        new = {record.value() for record in pipeline.records(pipeline.target) if record.partition() == 1}
        return new == {b"keyed", b"unkeyed"}

    with pipeline.running("both_kinds", **settings) as instance:
        assert not both_kinds_are_in_partition_1()
        instance.says("first message finished")
        pipeline.grow(pipeline.target, 2)
        until(both_kinds_are_in_partition_1, within_s=3 * NOTICED_S)
        assert instance.stop() == ExitCode.OK
