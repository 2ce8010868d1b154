"""The local broker against the real thing: start, crash, data, purge."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

from lab.broker import LocalBroker
from lab.cli import lab
from lab.errors import LabError
from lab.ports import free_port
from lab.processes import running

pytestmark = pytest.mark.broker


@pytest.fixture
def own(jars: Path, tmp_path: Path) -> Iterator[LocalBroker]:
    broker = LocalBroker(tmp_path / "kafka", jars, port=free_port())
    try:
        yield broker
    finally:
        broker.purge()


def make_topic(broker: LocalBroker, name: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    try:
        admin.create_topics([NewTopic(name, 1, 1)])
    finally:
        admin.close()


def send(broker: LocalBroker, topic: str, value: bytes) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap, acks="all")
    try:
        producer.send(topic, value).get(timeout=20)
    finally:
        producer.close()


def read_one(broker: LocalBroker, topic: str) -> bytes:
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap)
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        [record] = consumer.poll(timeout_ms=20_000, max_records=1)[partition]
        value: bytes = record.value
        return value
    finally:
        consumer.close()


def processes_of(folder: Path) -> list[list[str]]:
    return [line for line in running().values() if any(str(folder) in word for word in line)]


def test_what_was_acknowledged_survives_a_kill_and_an_orderly_stop(own: LocalBroker) -> None:
    own.up()
    make_topic(own, "kept")  # at once: "up" must not return before topics can be made
    send(own, "kept", b"precious")
    own.kill()
    assert own.status().state == "stale"
    own.up()
    assert read_one(own, "kept") == b"precious"
    own.down()
    assert own.status().state == "stopped"
    own.up()
    assert read_one(own, "kept") == b"precious"


def test_data_can_be_started_on_another_port_after_an_orderly_stop(own: LocalBroker, jars: Path) -> None:
    """A lab brings the broker of a loopback session into the devices' network: its topics must come along."""
    own.up()
    make_topic(own, "moved")
    own.down()
    elsewhere = LocalBroker(own.folder, jars, port=free_port())
    elsewhere.up()
    admin = KafkaAdminClient(bootstrap_servers=elsewhere.bootstrap)
    try:
        assert "moved" in admin.list_topics()
    finally:
        admin.close()
    with pytest.raises(LabError, match=f"runs on {elsewhere.bootstrap} already: stop it"):
        own.up()


def test_two_commands_at_once_start_one_broker(own: LocalBroker) -> None:
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(own.up), pool.submit(own.up)]:
            done.result()
    assert len(processes_of(own.folder / "server.properties")) == 1


def test_a_taken_port_is_one_clear_line(own: LocalBroker) -> None:
    with socket.socket() as other:
        other.bind((own.host, own.port))
        other.listen()
        with pytest.raises(LabError, match=rf"^port {own.port} on 127.0.0.1 is in use by another process: .*$"):
            own.up()
    assert own.status().state == "stopped"


def test_a_broker_that_dies_at_its_start_shows_its_last_words(own: LocalBroker) -> None:
    (own.folder / "data").mkdir(parents=True)
    (own.folder / "data" / "meta.properties").write_text("version=1\nnode.id=7\ncluster.id=other\n")
    with pytest.raises(LabError, match=r"(?s)the broker died, see .*broker\.log:\n.*node") as caught:
        own.up()
    assert str(own.log) in str(caught.value)


def test_a_process_that_got_the_old_pid_is_never_stopped(own: LocalBroker) -> None:
    """After a crash the kernel gives the broker's number to somebody else: that one must live on."""
    own.folder.mkdir()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        try:
            (own.folder / "broker.pid").write_text(f"{stranger.pid}\n")
            assert own.status().state == "stale"
            own.kill()
            own.down()
            assert stranger.poll() is None
            assert own.status().state == "stopped"
        finally:
            stranger.kill()


def test_a_broker_that_is_there_for_everybody_answers(broker: LocalBroker) -> None:
    make_topic(broker, "session-check")
    send(broker, "session-check", b"hello")
    assert read_one(broker, "session-check") == b"hello"


def test_the_commands_start_show_stop_and_purge_it_without_a_trace(own: LocalBroker, jars: Path) -> None:
    folder = own.folder.parent
    (folder / "jars").symlink_to(jars)

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(lab, ["kafka", *arguments, "--folder", str(folder)])
        assert done.exit_code == 0, done.output
        return done.output

    assert f"broker {own.bootstrap} answers" in run("up", "--port", str(own.port))
    status = json.loads(run("status", "--json"))
    assert status["state"] == "running"
    assert status["bootstrap"] == own.bootstrap
    assert status["pid"] == own.status().pid
    run("down")
    assert run("status") == "stopped\n"
    assert (own.folder / "data").is_dir()
    run("up", "--port", str(own.port))
    run("down", "--purge")
    assert not own.folder.exists()
    assert processes_of(own.folder) == []
