"""``orchestrator check`` as a user runs it: real broker, broker that is down, devices that are not there."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kafka import KafkaAdminClient

from lab import jars
from lab.broker import LocalBroker
from lab.java import java_command
from lab.ports import free_port

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    running = LocalBroker(
        tmp_path_factory.mktemp("kafka"), jars.collect(PROJECT / ".lab/jars"), port=free_port("127.0.0.1")
    )
    try:
        running.up()
        admin = KafkaAdminClient(bootstrap_servers=running.bootstrap)
        admin.create_topics({"analyze": {"num_partitions": 2, "replication_factor": 1}})
        admin.close()
        yield running
    finally:
        running.purge()


@pytest.mark.broker
def test_all_is_well_and_says_so(tmp_path: Path, broker: LocalBroker) -> None:
    if os.geteuid() != 0:
        pytest.skip("this machine itself is the device, and check wants sudo of it")
    done, lines = check(inventory(tmp_path, broker.bootstrap))

    assert done.returncode == 0, done.stdout
    assert lines["broker", broker.bootstrap]["state"] == "ok"
    assert "Kafka 4" in lines["broker", broker.bootstrap]["text"]
    assert lines["topic", "analyze"]["text"].startswith("2 partitions")
    assert lines["topic", "observer"]["state"] == "note"
    assert lines["device", "here"]["state"] == "ok"


@pytest.mark.broker
def test_an_observer_topic_with_the_devices_times_is_told_and_its_mend_mends_it(
    tmp_path: Path, broker: LocalBroker
) -> None:
    """Lost otherwise: a start of the master that takes a Pi's stopped clock for the time of its reports."""
    path = inventory(tmp_path, broker.bootstrap)
    others = {"message.timestamp.type": "CreateTime", "retention.ms": "1000"}
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    try:
        admin.create_topics({"observer": {"num_partitions": 1, "replication_factor": 1, "configs": others}})

        told = [line for line in lines_of(path) if (line["name"], line["state"]) == ("observer", "warn")]

        assert "devices' clocks" in told[0]["text"]
        assert "retention.ms is 1000" in told[0]["text"]
        program, *arguments = told[0]["mend"].split()
        assert program == "kafka-configs.sh"
        mend = java_command(broker.jars, "kafka.admin.ConfigCommand", *arguments)
        subprocess.run(mend, check=True, capture_output=True, timeout=60)
        assert [line["state"] for line in lines_of(path) if line["name"] == "observer"] == ["ok"]
    finally:
        admin.delete_topics(["observer"])
        admin.close()


@pytest.mark.broker
def test_a_device_that_is_not_there_is_exit_code_4(tmp_path: Path, broker: LocalBroker) -> None:
    gone = {"ansible_host": "127.0.0.1", "ansible_port": closed_port()}

    done, lines = check(inventory(tmp_path, broker.bootstrap, gone=gone))

    assert done.returncode == 4, done.stdout
    assert "connection refused" in lines["device", "gone"]["text"]
    assert lines["broker", broker.bootstrap]["state"] == "ok"


def test_a_broker_that_is_down_is_exit_code_3_and_the_rest_is_looked_at(tmp_path: Path) -> None:
    """Who mends a site wants to know everything that is wrong with it."""
    servers = f"127.0.0.1:{closed_port()}"

    done, lines = check(inventory(tmp_path, servers))

    assert done.returncode == 3, done.stdout
    assert lines["broker", servers]["state"] == "fail"
    assert "correct fogverse_kafka" in lines["broker", servers]["mend"]
    assert lines["device", "here"]["text"].startswith("SSH")


def test_people_get_one_line_each_and_the_mend_below(tmp_path: Path) -> None:
    servers = f"127.0.0.1:{closed_port()}"

    done = orchestrator("-i", str(inventory(tmp_path, servers)), "check")

    (failing,) = [number for number, line in enumerate(done.stdout.splitlines()) if line.startswith("fail  broker")]
    assert "→ start the broker" in done.stdout.splitlines()[failing + 1]


def test_a_broken_inventory_is_exit_code_2_before_anything_is_contacted(tmp_path: Path) -> None:
    path = inventory(tmp_path, "no broker!")

    done = orchestrator("-i", str(path), "check")

    assert done.returncode == 2
    assert done.stdout == ""
    assert "fogverse_kafka.bootstrap_servers" in done.stderr


def test_a_lab_that_is_down_is_told_as_such(tmp_path: Path) -> None:
    """Without this the user would see timeouts of every device, and no cause."""
    path = inventory(tmp_path, "127.0.0.1:9092", netns="fv-no-such-hub")

    done = orchestrator("-i", str(path), "check")

    assert done.returncode == 2
    assert "orchestrator lab up" in done.stderr


def test_settings_of_the_environment_are_in_the_same_report(tmp_path: Path) -> None:
    path = inventory(tmp_path, "no broker!")

    done = orchestrator("-i", str(path), "check", DEPLOY_DELAY="soon")

    assert "2 problems" in done.stderr
    assert "environment variable DEPLOY_DELAY" in done.stderr


def test_an_inventory_named_in_the_environment_is_used(tmp_path: Path) -> None:
    path = tmp_path / "nothing here"

    done = orchestrator("check", FOGVERSE_INVENTORY=str(path))

    assert done.returncode == 2
    assert f"{path}" in done.stderr
    assert "no such file or folder" in done.stderr


def test_exit_codes_are_documented() -> None:
    done = orchestrator("--help")

    assert done.returncode == 0
    assert "3    no broker can be reached" in done.stdout


def inventory(folder: Path, servers: str, *, netns: str | None = None, **hosts: dict[str, Any]) -> Path:
    """An inventory whose one device is this machine itself, and more hosts if wanted."""
    path = folder / "inventory"
    (path / "group_vars").mkdir(parents=True)
    every = {"here": {"ansible_connection": "local"}, **hosts}
    (path / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": every}}))
    variables = {
        "fogverse_kafka": {"bootstrap_servers": servers},
        "fogverse_services": {
            "analyzer": {
                "source_topic": "analyze",
                "group_id": "analyzer",
                "artifact": "orchestrator",
                "entrypoint": "app:process",
                "hosts": "all",
            }
        },
        **({"fogverse_netns": netns} if netns else {}),
    }
    (path / "group_vars/all.yml").write_text(yaml.safe_dump(variables))
    return path


def lines_of(path: Path) -> list[dict[str, str]]:
    lines: list[dict[str, str]] = json.loads(orchestrator("-i", str(path), "check", "--json").stdout)["lines"]
    return lines


def check(path: Path) -> tuple[subprocess.CompletedProcess[str], dict[tuple[str, str], dict[str, str]]]:
    done = orchestrator("-i", str(path), "check", "--json")
    lines = json.loads(done.stdout)["lines"]
    return done, {(line["kind"], line["name"]): line for line in lines}


def orchestrator(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    program = "import sys; from orchestrator.cli.main import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=PROJECT,
        env={**os.environ, **environment},
        timeout=60,
    )


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port
