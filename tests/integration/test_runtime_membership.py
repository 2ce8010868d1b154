"""Ready when a member, topics that grow by themselves, and `fogverse check`, on a real broker."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.cimpl import NewTopic
from test_runtime_broker import Pipeline, until

from fogverse.topics import partitions_of
from lab.broker import LocalBroker

pytestmark = pytest.mark.broker


@pytest.fixture
def pipeline(broker: LocalBroker, tmp_path: Path) -> Pipeline:
    return Pipeline(broker, tmp_path)


class Systemd:
    """Hears what one process tells its service manager."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self.heard: list[str] = []

    def hears(self, text: str, within_s: float = 20) -> str:
        """Wait for a datagram with this text."""
        deadline = time.monotonic() + within_s
        while (left := deadline - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                self.heard.append(self._socket.recv(4096).decode())
            except TimeoutError:
                break
            if text in self.heard[-1]:
                return self.heard[-1]
        pytest.fail(f"{text!r} was not told: {self.heard}")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemds(tmp_path: Path) -> Iterator[list[Systemd]]:
    made = [Systemd(tmp_path / "notify-1"), Systemd(tmp_path / "notify-2")]
    yield made
    for each in made:
        each.close()


def test_an_instance_is_ready_as_a_member_and_the_second_one_without_a_partition_too(
    pipeline: Pipeline, systemds: list[Systemd]
) -> None:
    """`systemctl start` would hang for an instance that waits for the master to grow the topic."""
    pipeline.create_all()
    first, second = systemds
    with pipeline.running("work", NOTIFY_SOCKET=first.path, WATCHDOG_USEC="3000000") as one:
        assert first.hears("EXTEND_TIMEOUT_USEC").startswith("EXTEND_TIMEOUT_USEC=150000000\nSTATUS=joining group")
        first.hears("READY=1")
        with pipeline.running("work", device="pi-2", NOTIFY_SOCKET=second.path) as two:
            second.hears("READY=1")
            pipeline.put(str(number) for number in range(100))
            first.hears("WATCHDOG=1")
            until(lambda: pipeline.committed() == [100])
            assert two.stop() == 0
            second.hears("STOPPING=1")
        first.hears("STATUS=owns 1 partition, ")
        assert one.stop() == 0
    first.hears("STOPPING=1\nSTATUS=draining (SIGTERM)")


def test_two_instances_on_one_partition_look_after_themselves(pipeline: Pipeline) -> None:
    """Without a master the second one would idle for ever; and nobody has to make the topic first."""
    pipeline.create(pipeline.target, pipeline.observer)
    with pipeline.running("work", FOGVERSE_AUTOSCALE="1") as one:
        one.says("assigned")
        until(lambda: partitions_of(pipeline.admin, pipeline.source) == 1)
        one.says(f"owns {pipeline.source}[0]")
        with pipeline.running("work", device="pi-2", FOGVERSE_AUTOSCALE="1") as two:
            two.says("assigned")
            joined = time.monotonic()
            two.says(f"owns {pipeline.source}[", within_s=15)
            assert time.monotonic() - joined < 15, "a look every 5 s and at each change; metadata is renewed every 2 s"
            assert partitions_of(pipeline.admin, pipeline.source) == 2
            pipeline.put([str(number) for number in range(50)], partition=0)
            pipeline.put([str(number) for number in range(50, 100)], partition=1)
            until(lambda: sum(pipeline.out().values()) == 100)
            began = time.monotonic()
            assert two.stop() == 0
            assert one.stop() == 0
            assert time.monotonic() - began < 20
    assert set(pipeline.out().values()) == {1}


def test_growth_that_is_refused_is_told_once_and_harms_nothing(pipeline: Pipeline) -> None:
    """A broker that forbids growth must not cost the messages of the partition that is there."""
    pipeline.create_all()
    (pipeline.folder / "sitecustomize.py").write_text(
        "import fogverse.autoscaler as a\n"
        "def refuse(*_): raise a.GrowthError('ALTER is not\\n allowed')\n"
        "a.ConsumerAutoScaler.ensure = refuse\n"
        "import fogverse.growth; fogverse.growth.LOOK_S = 0.1\n"
    )
    with pipeline.running("upper", FOGVERSE_AUTOSCALE="yes") as one:
        one.says("is not looked after: ALTER is not allowed (processing goes on)")
        pipeline.put(["a"])
        until(lambda: pipeline.committed() == [1])
        assert one.stop() == 0
    assert sum("looked after" in line for line in one.log) == 1


def check(pipeline: Pipeline, **variables: str) -> tuple[int, dict[str, dict[str, str]]]:
    environ = os.environ | {
        "PYTHONPATH": f"{pipeline.folder}:{os.environ.get('PYTHONPATH', '')}",
        "FOGVERSE_BOOTSTRAP_SERVERS": pipeline.bootstrap,
        "FOGVERSE_SOURCE_TOPIC": pipeline.source,
        "FOGVERSE_TARGET_TOPIC": pipeline.target,
        "FOGVERSE_GROUP_ID": pipeline.name,
        "FOGVERSE_INSTANCE": f"{pipeline.name}@pi-9.1",
        "OBSERVER_TOPIC": pipeline.observer,
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "fogverse", "check", "stages:upper", "--json"],
        env=environ | variables, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.stderr == ""
    told = json.loads(done.stdout)
    assert told["exit_code"] == done.returncode
    return done.returncode, {row["subject"]: row for row in told["checks"]}


def test_check_finds_nothing_where_a_run_would_work_and_writes_nothing(pipeline: Pipeline) -> None:
    pipeline.create(pipeline.source, pipeline.target)
    topic = NewTopic(pipeline.observer, 1, 1, config={"message.timestamp.type": "LogAppendTime"})
    pipeline.admin.create_topics([topic])[pipeline.observer].result(10)
    with pipeline.running("upper") as one:
        one.says("assigned")
        until(lambda: len(pipeline.reports()) > 0)
        code, told = check(pipeline, FOGVERSE_AUTOSCALE="1")
        crowded_code, crowded = check(pipeline)
        _twice_code, twice = check(pipeline, FOGVERSE_INSTANCE=f"{pipeline.name}@pi-1.1")
        assert one.stop() == 0
    assert (code, {row["level"] for row in told.values()}) == (0, {"ok"}), told
    assert told[f"source topic {pipeline.source}"]["text"] == "1 partition"
    assert told["clock"]["text"].startswith("within 2 s")
    group = crowded[f"group {pipeline.name}"]
    assert (crowded_code, group["level"]) == (0, "warn")
    assert group["text"] == "1 member for 1 partition: one more would wait for its own"
    assert twice[f"group {pipeline.name}"]["text"].endswith("is a member already")
    assert pipeline.records(pipeline.target) == []


def test_check_names_each_topic_that_is_missing(pipeline: Pipeline) -> None:
    """`run` would find out one after another, two minutes each."""
    code, told = check(pipeline, FOGVERSE_DEAD_LETTER_TOPIC=f"{pipeline.name}.dead")
    levels = {subject.split()[0]: row["level"] for subject, row in told.items() if " topic " in subject}
    assert (code, levels) == (4, {"source": "fail", "target": "fail", "dead-letter": "fail", "observer": "warn"})
    assert told[f"group {pipeline.name}"]["level"] == "ok"
    pipeline.create(pipeline.target)
    code, told = check(pipeline, FOGVERSE_AUTOSCALE="1")
    assert (code, told[f"source topic {pipeline.source}"]["level"]) == (0, "ok")
