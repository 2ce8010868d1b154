"""The lab's cluster of three brokers, made by the role kafka_broker: it is whole, rolls, and outlives a host."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient

from lab.fleet import Lab
from lab.inventory import write
from lab.netns import entered
from lab.prepare import prepare_brokers
from orchestrator.broker.cluster import Cluster
from orchestrator.broker.ledger import state_topic
from orchestrator.broker.topics import create_topics
from orchestrator.project import PROJECT
from orchestrator.settings import Settings

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]

BROKERS = ("kafka-1", "kafka-2", "kafka-3")
SCRIPTS = Path(sys.executable).parent


@dataclass(frozen=True)
class Site:
    """The lab with its brokers, and the playbook as a user runs it."""

    lab: Lab
    inventory: Path

    def play(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(SCRIPTS / "ansible-playbook"), "-i", str(self.inventory), "playbooks/kafka.yml", *arguments],
            cwd=PROJECT, capture_output=True, text=True, check=False, timeout=240, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def run(self, name: str, command: str) -> str:
        return subprocess.run(
            self.lab.ssh_command(name, command), capture_output=True, text=True, check=True, timeout=60
        ).stdout.strip()

    def pids(self) -> dict[str, str]:
        return {name: self.run(name, "systemctl show --value -p MainPID kafka") for name in BROKERS}

    def copies(self, topic: str) -> list[int]:
        """How many copies of each partition are up to date."""
        with entered(self.lab.hub_netns):
            found = AdminClient({"bootstrap.servers": self.lab.bootstrap}).list_topics(topic, timeout=20)
        return [len(partition.isrs) for partition in found.topics[topic].partitions.values()]

    def until_whole(self, topic: str, within_s: float = 60) -> None:
        deadline = time.monotonic() + within_s
        while set(found := self.copies(topic)) != {3}:
            assert time.monotonic() < deadline, f"copies of {topic}: {found}"
            time.sleep(0.5)


@pytest.fixture(scope="module")
def site(device_base: Path, jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("cluster")
    lab = Lab(folder / "lab", device_base)
    try:
        lab.up(1, None, brokers=len(BROKERS))
        write(folder / "inventory", lab, jars)
        prepare_brokers(folder / "inventory", folder / "kafka.log")
        with entered(lab.hub_netns):
            cluster = Cluster({"bootstrap_servers": lab.bootstrap.split(",")})
            try:
                create_topics(cluster, Settings(), ())
                cluster.create("stream", 3)
            finally:
                cluster.close()
        yield Site(lab, folder / "inventory")
    finally:
        lab.down()


def changed(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: int(count) for name, count in re.findall(r"^(kafka-\d).*changed=(\d+)", done.stdout, re.MULTILINE)}


@dataclass
class Stream:
    """Numbers that a producer sends and a consumer reads, while something happens to the brokers.

    Attributes:
        acknowledged: numbers that the cluster has promised to keep.
        read: numbers that the consumer has got.
        fewest: copies that the worst partition had at the worst moment that was seen.
    """

    site: Site
    group: str
    acknowledged: set[int] = field(default_factory=set)
    read: set[int] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)
    fewest: int = 3
    ready: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    complete: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def flowing(self) -> Iterator[Stream]:
        """Produce and consume for the length of the block; afterwards everything has arrived."""
        consuming, *sending = (threading.Thread(target=work) for work in (self.consume, self.watch, self.produce))
        consuming.start()
        try:
            assert self.ready.wait(60), "the consumer has read nothing"
            for thread in sending:
                thread.start()
            yield self
        finally:
            self.over.set()
            for thread in sending:
                if thread.ident is not None:
                    thread.join(90)
            deadline = time.monotonic() + 30
            while self.acknowledged - self.read and time.monotonic() < deadline:
                time.sleep(0.1)
            self.complete.set()
            consuming.join(30)
        assert self.refused == []
        assert len(self.acknowledged) > 100
        assert self.acknowledged - self.read == set(), "acknowledged and never read"

    def produce(self) -> None:
        with entered(self.site.lab.hub_netns):
            settings = {"acks": "all", "enable.idempotence": True}
            producer = Producer({"bootstrap.servers": self.site.lab.bootstrap, **settings})
            number = 0
            while not self.over.wait(0.01):
                producer.produce("stream", f"{self.group} {number}", on_delivery=self.judge)
                producer.poll(0)
                number += 1
            producer.flush(60)

    def judge(self, error: object, message: Message) -> None:
        if error is None:
            self.acknowledged.add(self.number(message))
        else:
            self.refused.append(str(error))

    def consume(self) -> None:
        with entered(self.site.lab.hub_netns):
            settings = {"group.id": self.group, "auto.offset.reset": "earliest"}
            consumer = Consumer({"bootstrap.servers": self.site.lab.bootstrap, **settings})
            consumer.subscribe(["stream"], on_assign=lambda *_: self.ready.set())
            while not self.complete.is_set():
                message = consumer.poll(0.2)
                if message is not None and message.error() is None and self.number(message) >= 0:
                    self.read.add(self.number(message))
            consumer.close()

    def watch(self) -> None:
        with entered(self.site.lab.hub_netns):
            admin = AdminClient({"bootstrap.servers": self.site.lab.bootstrap})
            while not self.over.wait(0.2):
                try:
                    found = admin.list_topics("stream", timeout=2).topics["stream"]
                except KafkaException:
                    continue
                self.fewest = min([self.fewest, *(len(part.isrs) for part in found.partitions.values())])

    def number(self, message: Message) -> int:
        """The number in a message; -1 for one of another test."""
        group, _, number = (message.value() or b"").decode().partition(" ")
        return int(number) if group == self.group else -1


def test_three_brokers_answer_and_keep_three_copies_of_what_the_master_needs(site: Site) -> None:
    """Lost otherwise: the master's memory, with the host that happens to have it."""
    done = subprocess.run(
        [str(SCRIPTS / "orchestrator"), "-i", str(site.inventory), "check", "--json"],
        cwd=PROJECT, capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    [line] = [line for line in json.loads(done.stdout)["lines"] if line["kind"] == "broker"]
    assert line["text"].startswith("3 brokers"), done.stdout
    settings = Settings()
    for topic in (settings.observer_consumer_topic, settings.ledger_topic, state_topic(settings.ledger_topic)):
        site.until_whole(topic)
    assert site.copies("stream") == [3, 3, 3]


def test_a_second_run_changes_nothing(site: Site) -> None:
    """Otherwise each run for safety's sake would restart a cluster that was fine."""
    before = site.pids()
    assert changed(site.play()) == dict.fromkeys(BROKERS, 0)
    assert site.pids() == before


def test_another_setting_and_release_roll_through_the_brokers_and_nobody_notices(
    site: Site, jars: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Lost otherwise: messages, or minutes of all services, for one setting or an upgrade."""
    before, release = site.pids(), site.run("kafka-3", "readlink /opt/kafka/current")
    mine = site.inventory / "group_vars" / "kafka"
    settings = (mine / "kafka.yml").read_text()
    (mine / "kafka.yml").write_text(settings.replace("session.timeout.ms: 1000", "session.timeout.ms: 1500"))
    tarball = tmp_path_factory.mktemp("dist") / "kafka_2.13-4.3.1.tgz"
    with tarfile.open(tarball, "w:gz", compresslevel=1) as tar:
        for jar in jars.glob("*.jar"):
            tar.add(jar, f"kafka_2.13-4.3.1/libs/{jar.name}")
    (mine / "lab.yml").write_text((mine / "lab.yml").read_text().replace(str(jars), str(tarball)))
    with Stream(site, "roll").flowing() as stream:
        done = site.play()
    assert all(count > 0 for count in changed(done).values())
    after = site.pids()
    assert all(after[name] != before[name] for name in BROKERS)
    assert stream.fewest >= 2, "two brokers were away at once"
    assert "min.session.timeout.ms=1500" in site.run("kafka-3", "sudo cat /etc/kafka/server.properties")
    assert site.run("kafka-3", "readlink /opt/kafka/current") != release


def test_a_broker_that_does_not_come_back_stops_the_roll(site: Site) -> None:
    """Otherwise one wrong word in a setting takes the whole cluster down, a broker at a time."""
    before = site.pids()
    wrong: dict[str, Any] = {"kafka_broker_properties": {"num.io.threads": "many"}}
    done = site.play("-e", json.dumps(wrong))
    assert done.returncode != 0
    assert "The broker on kafka-1 is not well" in done.stdout
    assert "num.io.threads" in done.stdout, "the journal's words are missing"
    after = site.pids()
    assert {name: after[name] for name in BROKERS[1:]} == {name: before[name] for name in BROKERS[1:]}
    active = site.run("kafka-2", "sudo cat /etc/kafka/server.properties")
    assert "many" not in active, "one that restarts by itself would fail as well"
    count = changed(site.play())
    assert count["kafka-1"] > 0
    assert {name: pid for name, pid in site.pids().items() if name != "kafka-1"} == {
        name: before[name] for name in BROKERS[1:]
    }


def test_a_host_without_power_is_done_without_and_comes_back_with_its_data(site: Site) -> None:
    """Three brokers are there for this moment; a storage formatted anew would lose what only this host had."""
    site.until_whole("stream")
    identity = (
        "sudo stat -c '%Y %i' /var/lib/kafka/logs/meta.properties && sudo cat /var/lib/kafka/logs/meta.properties"
    )
    before = site.run("kafka-2", identity)
    with Stream(site, "outage").flowing() as stream:
        site.lab.power_off("kafka-2")
        gone, deadline = len(stream.acknowledged), time.monotonic() + 60
        while len(stream.acknowledged) < gone + 200:
            assert time.monotonic() < deadline, "the cluster stopped with one of its hosts"
            time.sleep(0.1)
        site.lab.power_on("kafka-2")
        site.until_whole("stream")
    assert site.run("kafka-2", identity) == before


def test_what_does_not_belong_to_the_cluster_is_refused_before_anything_changes(site: Site) -> None:
    """A mistake in the inventory must not cost the data that it is about."""
    done = site.play("-e", "kafka_broker_data=/srv/kafka", "-e", "kafka_broker_cluster_id=AAAAAAAAAAAAAAAAAAAAAA")
    assert done.returncode != 0
    assert "its data is in /var/lib/kafka/logs, and kafka_broker_data says /srv/kafka" in done.stdout
    alone = ["-e", "kafka_broker_group=fog", "-e", "kafka_broker_java_home=", "-e", "kafka_broker_heap_mb=256"]
    offline = site.play(*alone, "-e", f"kafka_broker_dist={PROJECT / '.lab' / 'jars'}")
    assert offline.returncode != 0
    assert "pi-1 has no Java, and default-jre-headless cannot be installed" in offline.stdout
    assert site.run("pi-1", "ls /etc/kafka /opt/kafka 2>/dev/null || true") == ""
