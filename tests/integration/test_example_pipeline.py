"""The example on a real broker: crawler ► analyzer ► alerts, counted by id."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from fogverse import Executor, ExitCode
from incident_detection import model
from incident_detection.crawler import Crawler
from incident_detection.labelled import read_labelled
from lab.broker import LocalBroker

pytestmark = pytest.mark.broker

EXAMPLE = Path(model.__file__).parents[1]
LEADER_IS_COMING = {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE}


class Topics:
    """The topics of one test."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.name = uuid.uuid4().hex[:8]
        self.source, self.target, self.observer = (f"{self.name}.{end}" for end in ("analyze", "client", "observer"))
        self.admin = AdminClient({"bootstrap.servers": bootstrap})
        new = [NewTopic(topic, 2, 1) for topic in (self.source, self.target, self.observer)]
        for future in self.admin.create_topics(new).values():
            future.result(10)
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": self.name, "enable.auto.commit": False})

    def sizes(self, topic: str) -> dict[int, int]:
        """Messages in each partition."""
        partitions = self._consumer.list_topics(topic, timeout=10).topics[topic].partitions
        return {partition: self._end(TopicPartition(topic, partition)) for partition in partitions}

    def _end(self, partition: TopicPartition) -> int:
        """The end offset; a partition that was just made has no leader for a moment."""
        deadline = time.monotonic() + 10
        while True:
            try:
                return self._consumer.get_watermark_offsets(partition, timeout=10)[1]
            except KafkaException as error:
                if error.args[0].code() not in LEADER_IS_COMING or time.monotonic() > deadline:
                    raise
            time.sleep(0.1)

    def read(self, topic: str, count: int, timeout_s: float = 60) -> list[dict[str, Any]]:
        """The first ``count`` messages."""
        self._consumer.assign([TopicPartition(topic, partition, 0) for partition in self.sizes(topic)])
        found: list[dict[str, Any]] = []
        deadline = time.monotonic() + timeout_s
        while len(found) < count and time.monotonic() < deadline:
            for message in self._consumer.consume(count - len(found), timeout=0.5):
                assert message.error() is None
                found.append(json.loads(message.value() or b""))
        return found

    def close(self) -> None:
        self._consumer.close()


@pytest.fixture
def topics(broker: LocalBroker) -> Iterator[Topics]:
    made = Topics(broker.bootstrap)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def analyzing(topics: Topics, tmp_path: Path) -> Iterator[None]:
    """An analyzer with a model of its own, in this process."""
    path = tmp_path / "model.json"
    model.Model.train(read_labelled()).save(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "DEFAULT_MODEL", path)
        patch.delitem(sys.modules, "incident_detection.analyzer", raising=False)
        process = importlib.import_module("incident_detection.analyzer").process
    executor = Executor(
        process,
        bootstrap_servers=topics.bootstrap,
        source_topic=topics.source,
        target_topic=topics.target,
        observer_topic=topics.observer,
        group_id=f"{topics.name}.analyzer",
    )
    codes: list[ExitCode] = []
    thread = threading.Thread(target=lambda: codes.append(executor.run()))
    thread.start()
    try:
        yield
    finally:
        executor.stop()
        thread.join(60)
    assert codes == [ExitCode.OK]


def command(module: str, *options: str, observer: str = "") -> subprocess.Popen[str]:
    path = os.pathsep.join(filter(None, [str(EXAMPLE), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-m", module, *options],
        env=os.environ | {"PYTHONPATH": path, "OBSERVER_TOPIC": observer},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_every_crawled_message_comes_out_judged_and_incidents_are_printed(topics: Topics, tmp_path: Path) -> None:
    """Lost: the example, and with it the demo's proof that nothing gets lost on the way."""
    count = 600
    crawler = Crawler(topics.bootstrap, topics.source, rate=400, count=count)
    with analyzing(topics, tmp_path):
        crawler.start()
        assert crawler.wait(30)
        assert crawler.stop() == count
        verdicts = topics.read(topics.target, count)
    assert {verdict["id"] for verdict in verdicts} == {f"{crawler.run}-{n:07d}" for n in range(1, count + 1)}
    assert all("sent_ms" in verdict and "error" not in verdict for verdict in verdicts)
    incidents = [verdict for verdict in verdicts if verdict["incident"]]
    assert 0.3 < len(incidents) / count < 0.7

    alerts = command(
        "incident_detection.alerts", "--bootstrap-servers", topics.bootstrap, "--topic", topics.target,
        "--group-id", f"{topics.name}.alerts", observer=topics.observer,
    )  # fmt: skip
    watchdog = threading.Timer(60, alerts.kill)
    watchdog.start()
    try:
        assert alerts.stdout is not None
        lines = [alerts.stdout.readline() for _ in incidents]
        alerts.send_signal(signal.SIGTERM)
        rest, errors = alerts.communicate(timeout=30)
    finally:
        watchdog.cancel()
        alerts.kill()
    assert all(lines), errors
    assert rest == ""
    assert alerts.returncode == 0, errors
    assert any("fire" in line for line in lines)


def test_messages_spread_evenly_and_reach_a_new_partition_soon(topics: Topics) -> None:
    """Lost: use of an added consumer; with the usual five minutes it would idle for that long."""
    crawler = Crawler(topics.bootstrap, topics.source, rate=500)
    crawler.start()
    try:
        while sum(topics.sizes(topics.source).values()) < 500:
            assert not crawler.wait(0.1)
        two = topics.sizes(topics.source)
        assert min(two.values()) > 0.35 * sum(two.values())
        topics.admin.create_partitions([NewPartitions(topics.source, 3)])[topics.source].result(10)
        deadline = time.monotonic() + 10
        while topics.sizes(topics.source).get(2, 0) == 0:
            assert time.monotonic() < deadline, "the new partition got nothing for 10 s"
            assert not crawler.wait(0.1)
    finally:
        acknowledged = crawler.stop()
    assert sum(topics.sizes(topics.source).values()) == acknowledged == crawler.sent


def test_the_command_ends_cleanly_when_terminated(topics: Topics) -> None:
    """Lost: the number to count against, when a crawler is stopped by hand or by systemd."""
    crawler = command(
        "incident_detection.crawler", "--bootstrap-servers", topics.bootstrap, "--topic", topics.source,
        "--rate", "300", "--verbose",
    )  # fmt: skip
    try:
        assert crawler.stdout is not None
        first = crawler.stdout.readline()
        crawler.send_signal(signal.SIGTERM)
        out, errors = crawler.communicate(timeout=30)
    finally:
        crawler.kill()
    assert crawler.returncode == 0, errors
    assert first.startswith("sent ")
    there = sum(topics.sizes(topics.source).values())
    assert there >= 200
    assert f"{there} of {there} messages acknowledged" in out


def test_a_missing_topic_is_an_error_that_says_so(broker: LocalBroker) -> None:
    """Lost: a minute of wondering why nothing arrives."""
    crawler = command(
        "incident_detection.crawler", "--bootstrap-servers", broker.bootstrap, "--topic", uuid.uuid4().hex
    )
    _, errors = crawler.communicate(timeout=30)
    assert crawler.returncode == 1
    assert "create it first" in errors
