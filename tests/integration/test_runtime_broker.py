"""The runtime against a real broker, as separate processes, the way a device runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka import Message as Record
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic
from kafka import KafkaAdminClient
from kafka.admin import MemberToRemove

from fogverse import Executor, ExitCode, Message
from lab.broker import LocalBroker

pytestmark = pytest.mark.broker

#: What a broker answers for a moment after its start.
COORDINATOR_IS_COMING = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
)

STAGES = """
import time

def upper(message):
    return message.value.upper()

def work(message):
    time.sleep(0.002)
    return message.value

def nap(message):
    time.sleep(3)

def stuck(message):
    time.sleep(600)

def picky(message):
    if message.value == b"bad":
        raise ValueError("this one")
    return [message.value, message.value]
"""


class Pipeline:
    """Topics of one test and what is in them."""

    def __init__(self, broker: LocalBroker, folder: Path) -> None:
        self.bootstrap = broker.bootstrap
        self.name = uuid.uuid4().hex[:8]
        self.source, self.target, self.observer = (f"{self.name}.{end}" for end in ("in", "out", "obs"))
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap})
        self.folder = folder
        (folder / "stages.py").write_text(STAGES)

    def create(self, *topics: str) -> None:
        for future in self.admin.create_topics([NewTopic(topic, 1, 1) for topic in topics]).values():
            future.result(10)

    def create_all(self) -> None:
        self.create(self.source, self.target, self.observer)

    def producer(self) -> Producer:
        """One that keeps the order also when a partition that is new has no leader yet, and its first batch waits."""
        return Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 5, "enable.idempotence": True})

    def put(self, values: Iterable[str], partition: int = 0) -> None:
        producer = self.producer()
        for value in values:
            producer.produce(self.source, value, f"key of {value}", partition, headers=[("trace", value)])
        assert producer.flush(10) == 0

    def records(self, topic: str) -> list[Record]:
        """All that is in a topic now."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": uuid.uuid4().hex,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
            }
        )
        try:
            left = set(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
            consumer.assign([TopicPartition(topic, partition, 0) for partition in left])
            found = []
            while left:
                record = consumer.poll(10)
                assert record is not None, f"{topic} does not end"
                error = record.error()
                if error is None:
                    found.append(record)
                else:
                    assert error.code() == KafkaError._PARTITION_EOF
                    left.discard(record.partition() or 0)
            return found
        finally:
            consumer.close()

    def end(self, topic: str) -> int:
        """The end offset of a topic's partition 0, markers of transactions included."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.name})
        try:
            return consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)[1]
        finally:
            consumer.close()

    def out(self) -> Counter[str]:
        return Counter((record.value() or b"").decode() for record in self.records(self.target))

    def reports(self) -> list[dict[str, Any]]:
        return [json.loads(record.value() or b"") for record in self.records(self.observer)]

    def committed(self, partitions: int = 1) -> list[int]:
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.name})
        try:
            asked = [TopicPartition(self.source, number) for number in range(partitions)]
            return [answer.offset for answer in consumer.committed(asked, timeout=10)]
        except KafkaException as error:
            if error.args[0].code() in COORDINATOR_IS_COMING:
                return [-1] * partitions
            raise
        finally:
            consumer.close()

    def evict_members(self) -> None:
        """Do for a dead member what its session timeout would do after ten seconds."""
        group = self.admin.describe_consumer_groups([self.name])[self.name].result(10)
        remover = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            remover.remove_group_members(self.name, [MemberToRemove(member.member_id) for member in group.members])
        finally:
            remover.close()

    @contextmanager
    def running(self, function: str, device: str = "pi-1", **variables: str) -> Iterator[Instance]:
        """An instance in a process of its own; killed at the end if it has not ended."""
        instance = Instance(
            f"stages:{function}",
            os.environ
            | {
                "PYTHONPATH": f"{self.folder}:{os.environ.get('PYTHONPATH', '')}",
                "FOGVERSE_BOOTSTRAP_SERVERS": self.bootstrap,
                "FOGVERSE_SOURCE_TOPIC": self.source,
                "FOGVERSE_TARGET_TOPIC": self.target,
                "FOGVERSE_GROUP_ID": self.name,
                "FOGVERSE_INSTANCE": f"{self.name}@{device}.1",
                "OBSERVER_TOPIC": self.observer,
            }
            | variables,
        )
        try:
            yield instance
        finally:
            instance.kill()


class Instance:
    """One process of the runtime and its log."""

    def __init__(self, entrypoint: str, environ: dict[str, str]) -> None:
        command = [sys.executable, "-W", "error", "-m", "fogverse", "run", entrypoint]
        self.start(subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True))

    def start(self, process: subprocess.Popen[str]) -> None:
        """Begin to read a process' log."""
        self.process = process
        self.log: list[str] = []
        self._grown = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                with self._grown:
                    self.log.append(line.rstrip())
                    self._grown.notify_all()

    def says(self, text: str, within_s: float = 20) -> str:
        """Wait for a log line with this text."""
        with self._grown:
            found = self._grown.wait_for(lambda: [line for line in self.log if text in line], within_s)
        assert found, f"{text!r} is not in the log: {self.log}"
        return str(found[0])

    def ends(self, within_s: float = 20) -> int:
        """Wait for its exit code."""
        code = self.process.wait(within_s)
        self._reader.join()
        return code

    def stop(self, within_s: float = 20) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.ends(within_s)

    def kill(self) -> None:
        self.process.kill()
        self.ends()


def until(condition: Callable[[], bool], within_s: float = 20) -> None:
    """Ask the broker again and again until it is so."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.1)


@pytest.fixture
def pipeline(broker: LocalBroker, tmp_path: Path) -> Pipeline:
    return Pipeline(broker, tmp_path)


def test_every_message_goes_through_once_and_is_committed(pipeline: Pipeline) -> None:
    """The plain case, with key and headers kept; and the report that times the first message."""
    pipeline.create_all()
    pipeline.put(f"m{n}" for n in range(500))
    with pipeline.running("upper") as instance:
        instance.says("first message finished")
        until(lambda: pipeline.committed() == [500])
        assert instance.stop() == ExitCode.OK
    records = pipeline.records(pipeline.target)
    assert [record.value() for record in records] == [f"M{n}".encode() for n in range(500)]
    assert (records[7].key(), records[7].headers()) == (b"key of m7", [("trace", b"m7")])
    reports = pipeline.reports()
    assert sum(report["consumed"] for report in reports) == sum(report["emitted"] for report in reports) == 500
    assert (reports[0]["consumed"], reports[-1]["in_flight"]) == (0, 0)
    assert {report["instance"] for report in reports} == {f"{pipeline.name}@pi-1.1"}
    assert any(report["interval_s"] < 0.95 for report in reports[1:-1]), "no report at once after the first message"


def test_rebalances_and_stops_leave_nothing_to_repeat(pipeline: Pipeline) -> None:
    """Else every scale-out and every scale-in would make devices do work twice."""
    pipeline.create_all()
    pipeline.admin.create_partitions([NewPartitions(pipeline.source, 2)])[pipeline.source].result(10)
    until(lambda: len(pipeline.admin.list_topics(pipeline.source).topics[pipeline.source].partitions) == 2)
    for partition in (0, 1):
        pipeline.put((f"m{n}" for n in range(partition, 2000, 2)), partition)
    with pipeline.running("work") as first:
        first.says("first message finished")
        with pipeline.running("work", device="pi-2") as second:
            first.says("revoked")
            second.says("first message finished")
            first.process.send_signal(signal.SIGTERM)
            first.process.send_signal(signal.SIGINT)  # an impatient second one changes nothing
            assert first.ends() == ExitCode.OK
            assert sum(pipeline.committed(2)) < 2000
            until(lambda: pipeline.committed(2) == [1000, 1000])
            assert second.stop() == ExitCode.OK
    everything = pipeline.out()
    assert len(everything) == 2000
    assert set(everything.values()) == {1}


def test_a_killed_instance_loses_nothing(pipeline: Pipeline) -> None:
    """Power cuts are a device's daily life."""
    pipeline.create_all()
    pipeline.put(f"m{n}" for n in range(800))
    with pipeline.running("work") as first:
        until(lambda: pipeline.committed()[0] > 0)
        first.process.kill()
        assert first.ends() == -signal.SIGKILL
    pipeline.evict_members()
    [done] = pipeline.committed()
    assert 0 < done < 800
    with pipeline.running("work", device="pi-2") as second:
        until(lambda: pipeline.committed() == [800])
        assert second.stop() == ExitCode.OK
    assert set(pipeline.out()) == {f"m{n}" for n in range(800)}


def test_a_topic_that_grows_under_load_loses_nothing_and_feeds_a_second_instance(pipeline: Pipeline) -> None:
    """Dynamic partition: the instance that had to wait gets the new partition, from its first message on."""
    pipeline.create_all()
    pipeline.put(f"old{n}" for n in range(600))
    with pipeline.running("work") as first:
        first.says("first message finished")
        with pipeline.running("work", device="pi-2") as second:
            second.says("assigned nothing")
            grown = pipeline.admin.create_partitions([NewPartitions(pipeline.source, 2)])[pipeline.source]
            grown.result(10)
            # Messages are in the new partition before anybody owns it; the producer has to see it first.
            until(lambda: len(pipeline.admin.list_topics(pipeline.source).topics[pipeline.source].partitions) == 2)
            pipeline.put((f"new{n}" for n in range(300)), partition=1)
            second.says(f"owns {pipeline.source}[1]", within_s=6)
            until(lambda: pipeline.committed(2) == [600, 300])
            assert (first.stop(), second.stop()) == (ExitCode.OK, ExitCode.OK)
    everything = pipeline.out()
    assert set(everything) == {f"old{n}" for n in range(600)} | {f"new{n}" for n in range(300)}
    assert set(everything.values()) == {1}


def test_a_failing_function_ends_the_run_at_its_message(pipeline: Pipeline) -> None:
    """Nothing before it is repeated, it is not skipped, and the log says where it is."""
    pipeline.create_all()
    pipeline.put(["a", "b", "bad", "c"])
    with pipeline.running("picky") as instance:
        assert instance.ends() == ExitCode.CALLABLE_FAILED
        instance.says(f"failed on {pipeline.source}[0]@2: ValueError: this one")
    assert pipeline.committed() == [2]
    assert pipeline.out() == {"a": 2, "b": 2}
    assert sum(report["failed"] for report in pipeline.reports()) == 1


def test_reports_come_each_second_while_the_function_is_busy(pipeline: Pipeline) -> None:
    """Else a slow instance looks dead to the master and is replaced."""
    pipeline.create_all()
    pipeline.put(["x"])
    with pipeline.running("nap") as instance:
        instance.says("first message finished")
        assert instance.stop() == ExitCode.OK
    busy = [report for report in pipeline.reports() if report["busy_s"] > 0]
    full = [report for report in busy if report["busy_s"] == pytest.approx(1, abs=0.1)]
    assert len(full) >= 2
    assert all(report["interval_s"] < 1.2 for report in busy)
    assert sum(report["busy_s"] for report in busy) == pytest.approx(3, abs=0.1)
    assert max(report["in_flight"] for report in busy) == 1


def test_a_function_that_never_returns_does_not_hold_the_device(pipeline: Pipeline) -> None:
    """Else a drain hangs until somebody kills it, and the exit code says nothing."""
    pipeline.create_all()
    pipeline.put(["x"])
    with pipeline.running("stuck", FOGVERSE_DRAIN_TIMEOUT_S="0.5") as instance:
        until(lambda: any(report["in_flight"] for report in pipeline.reports()))
        began = time.monotonic()
        assert instance.stop() == ExitCode.DRAIN_OVERRUN
        assert time.monotonic() - began < 4
    assert pipeline.committed()[0] < 0


def test_topics_that_come_later_are_waited_for(pipeline: Pipeline) -> None:
    """The master may create them after the devices are up; reports nobody wants disturb nothing."""
    with pipeline.running("upper") as instance:
        instance.says(f"source topic {pipeline.source} does not exist (yet)")
        pipeline.create(pipeline.source, pipeline.target)
        pipeline.put(["x"])
        instance.says("first message finished")
        assert instance.stop() == ExitCode.OK
    assert pipeline.out() == {"X": 1}


def test_topics_that_never_come_end_the_run(pipeline: Pipeline) -> None:
    """Else a misspelt topic is found by nobody."""
    pipeline.create(pipeline.observer)
    with pipeline.running("upper", FOGVERSE_TOPIC_TIMEOUT_S="1") as instance:
        assert instance.ends() == ExitCode.REFUSED
        instance.says(f"source topic {pipeline.source} does not exist after")
    pipeline.create(pipeline.source)
    pipeline.put(["x"])
    with pipeline.running("upper", FOGVERSE_TOPIC_TIMEOUT_S="1") as instance:
        assert instance.ends() == ExitCode.REFUSED
        instance.says(f"an output for {pipeline.source}[0]@0 cannot be delivered")
    assert pipeline.committed()[0] < 0


def test_a_run_inside_a_program_can_be_stopped_and_leaves_no_thread(pipeline: Pipeline) -> None:
    """The library, in a thread that is not the main one."""
    pipeline.create_all()
    pipeline.put(["x", "y"])
    before = threading.active_count()
    seen: list[bytes] = []

    def process(message: Message) -> None:
        seen.append(message.value)
        if len(seen) == 2:
            executor.stop()

    executor = Executor(
        process,
        source_topic=pipeline.source,
        group_id=pipeline.name,
        bootstrap_servers=pipeline.bootstrap,
        observer_topic=pipeline.observer,
        host="here",
    )
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(executor.run()))
    thread.start()
    thread.join(20)
    assert (codes, seen, pipeline.committed()) == ([ExitCode.OK], [b"x", b"y"], [2])
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="once"):
        executor.run()


def test_a_restart_of_the_broker_is_survived(pipeline: Pipeline, broker: LocalBroker) -> None:
    """Else each maintenance of the broker would need a restart of every device."""
    pipeline.create_all()
    pipeline.put(f"m{n}" for n in range(2500))
    with pipeline.running("work") as instance:
        until(lambda: pipeline.committed()[0] > 0)
        broker.down()
        broker.up()
        until(lambda: pipeline.committed() == [2500], within_s=40)
        assert instance.stop() == ExitCode.OK
    assert set(pipeline.out()) == {f"m{n}" for n in range(2500)}
