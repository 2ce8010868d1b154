"""What ``orchestrator check`` says of what it was told, and which inventory it chooses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest

from orchestrator.checks.broker import copy_lines, topic_lines
from orchestrator.checks.devices import code_architectures, device_line
from orchestrator.checks.line import Line
from orchestrator.checks.observer_topic import observer_lines
from orchestrator.checks.services import service_lines
from orchestrator.cli.check import exit_code
from orchestrator.cli.context import find_inventory
from orchestrator.core.device import Device
from orchestrator.core.service import Service
from orchestrator.inventory import Connection, Inventory, KafkaSettings
from orchestrator.ssh.probe import Probe

WELL = Probe(
    reachable=True,
    reason="",
    elapsed_s=0.2,
    clock_offset_s=0.1,
    clock_uncertainty_s=0.05,
    python="3.11",
    arch="aarch64",
    disk_free_mb=9000,
    load=0.1,
    mem_available_mb=700,
    sudo=True,
    boot_id="b",
)

PI = Connection("pi-3", "192.0.2.3", 22, "pi")


def service(**values: Any) -> Service:
    usual = {
        "name": "analyzer",
        "source_topic": "analyze",
        "target_topic": "client",
        "group_id": "analyzer",
        "artifact": "app",
        "entrypoint": "app:process",
        "hosts": "fog",
        "max_instances": 4,
    }
    return Service.model_validate({**usual, **values})


def states(lines: tuple[Line, ...]) -> dict[str, str]:
    return {line.name: line.state for line in lines}


def test_topics_that_fit_are_well() -> None:
    lines = tuple(topic_lines({"observer": 1, "analyze": 2, "client": 1}, [service()], "observer"))

    assert states(lines) == {"observer": "ok", "analyze": "ok", "client": "ok"}
    assert "grown as instances need it" in lines[1].text


def test_a_keyed_topic_with_too_few_partitions_is_told_beforehand() -> None:
    """Such a topic is never grown: the instances beyond its partitions would be started and idle."""
    lines = tuple(topic_lines({"observer": 1, "analyze": 2, "client": 1}, [service(ordering="key")], "observer"))

    assert states(lines)["analyze"] == "warn"
    assert "instances beyond 2 would be idle" in lines[1].text
    assert "max_instances to 2" in lines[1].mend


def test_missing_topics_are_no_problem_since_run_creates_them() -> None:
    """Lost otherwise: a newcomer who creates topics by hand that the first run would have made."""
    lines = tuple(topic_lines({}, [service(min_instances=2)], "observer"))

    assert states(lines) == {"observer": "note", "analyze": "note", "client": "note"}
    assert all("creates it" in line.text for line in lines)


@pytest.mark.parametrize(
    ("change", "words", "mend"),
    [
        ({}, None, ""),
        ({"retention.ms": "604800000"}, None, ""),
        ({"retention.ms": "-1", "retention.bytes": "1000000"}, None, ""),
        ({"message.timestamp.type": "CreateTime"}, "their devices' clocks", "=LogAppendTime"),
        ({"retention.ms": "60000"}, "looks back 300 s", "--add-config retention.ms=3600000"),
        ({"retention.ms": "-1"}, "kept for ever", "--add-config retention.ms=3600000"),
        (
            {"message.timestamp.type": "CreateTime", "retention.ms": "60000"},
            "looks back 300 s",
            "--add-config message.timestamp.type=LogAppendTime,retention.ms=3600000",
        ),
    ],
)
def test_an_observer_topic_that_somebody_else_made_is_told_with_its_mend(
    change: dict[str, str], words: str | None, mend: str
) -> None:
    """Lost otherwise: counts in the wrong seconds after each start of a master, by one Pi whose clock has stopped."""
    configs = {"message.timestamp.type": "LogAppendTime", "retention.ms": "3600000", "retention.bytes": "-1", **change}

    lines = list(observer_lines("observer", configs, 300, "kafka-1:9092"))

    assert [line.state for line in lines] == ([] if words is None else ["warn"])
    for line in lines:
        assert words is not None
        assert words in line.text
        assert line.mend.startswith("kafka-configs.sh --bootstrap-server kafka-1:9092 --alter --entity-type topics")
        assert line.mend.endswith(mend)


def test_a_broker_that_does_not_tell_is_no_broker_that_is_well() -> None:
    """Lost otherwise: a check that says nothing because it may not look."""
    [line] = observer_lines("observer", {}, 300, "kafka-1:9092")
    assert line.state == "note"
    assert "DescribeConfigs" in line.mend


def test_a_topic_between_two_services_is_told_once() -> None:
    pipeline = [service(), service(name="alerts", source_topic="client", target_topic=None, group_id="alerts")]

    lines = tuple(topic_lines({"observer": 1, "analyze": 1, "client": 3}, pipeline, "observer"))

    assert [line.name for line in lines] == ["observer", "analyze", "client"]


def test_a_device_that_is_well_shows_its_figures() -> None:
    line = device_line(PI, WELL, {})

    assert (line.state, line.mend) == ("ok", "")
    assert "clock +0.10 ± 0.05 s" in line.text
    assert "8.8 GB free" in line.text


@pytest.mark.parametrize(
    ("change", "state", "text", "mend"),
    [
        ({"reachable": False, "reason": "SSH: no route to 192.0.2.1"}, "fail", "no route", ""),
        ({"sudo": False}, "fail", "sudo asks pi for a password", "/etc/sudoers.d/pi"),
        ({"python": None}, "fail", "python3 is missing", "apt install python3"),
        ({"python": "3.9"}, "fail", "Python 3.9 is older than 3.11", "3.11"),
        ({"arch": "armv7l"}, "fail", "no build for armv7l", "64-bit"),
        ({"clock_offset_s": -7.0}, "warn", "off by more than 2 s", "timedatectl"),
        ({"clock_offset_s": 2.5, "clock_uncertainty_s": 1.0}, "ok", "+2.50 ± 1.00", ""),
        ({"disk_free_mb": 90}, "warn", "less than 300 MB free", "journalctl"),
    ],
)
def test_what_is_wrong_with_a_device_comes_with_its_mend(
    change: dict[str, Any], state: str, text: str, mend: str
) -> None:
    line = device_line(PI, replace(WELL, **change), {})

    assert line.state == state
    assert text in line.text
    assert mend in line.mend


def test_everything_wrong_with_a_device_is_told_at_once() -> None:
    line = device_line(PI, replace(WELL, sudo=False, clock_offset_s=60.0), {})

    assert line.state == "fail"
    assert "sudo" in line.text
    assert "clock is off" in line.text


def test_sudo_may_ask_where_the_inventory_has_the_password() -> None:
    """Ansible answers it then; to demand sudo without a password would be asking for less security."""
    assert device_line(replace(PI, sudo_password=True), replace(WELL, sudo=False), {}).state == "ok"


def test_code_compiled_for_another_machine_is_told(tmp_path: Path) -> None:
    """It would be shipped, started, and fail at its import on every try."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app/fast.cpython-311-x86_64-linux-gnu.so").touch()
    (tmp_path / "app/plain.py").touch()

    made_for = code_architectures(tmp_path / "app")

    assert made_for == {"x86_64"}
    assert device_line(PI, WELL, {"analyzer": made_for}).state == "fail"
    assert code_architectures(tmp_path / "app-1.0-py3-none-any.whl") == frozenset()


@pytest.mark.parametrize(("slots", "state"), [(1, "warn"), (3, "note"), (4, "ok")])
def test_limits_that_the_devices_cannot_meet_are_told(tmp_path: Path, slots: int, state: str) -> None:
    inventory = Inventory(
        path=tmp_path,
        services=(service(min_instances=2),),
        devices=(Device("pi-1", "192.0.2.1", slots),),
        hosts={"analyzer": ("pi-1",)},
        connections={},
        kafka=KafkaSettings(bootstrap_servers=("kafka-1:9092",)),
        settings={},
    )

    assert [line.state for line in service_lines(inventory)] == [state]


@pytest.mark.parametrize(("failing", "code"), [([], 0), (["device"], 4), (["broker"], 3), (["device", "broker"], 3)])
def test_exit_codes_tell_scripts_what_is_the_matter(failing: list[Any], code: int) -> None:
    warning = Line("device", "pi-9", "warn", "the clock is off")

    assert exit_code([warning, *(Line(kind, "x", "fail", "") for kind in failing)]) == code


def test_the_labs_inventory_is_taken_before_all_others(tmp_path: Path) -> None:
    for name in ("example", "home", "lab", "work"):
        (tmp_path / name).mkdir()

    assert find_inventory(tmp_path) == tmp_path / "lab"


def test_the_only_inventory_need_not_be_named(tmp_path: Path) -> None:
    for name in ("example", "home", ".git"):
        (tmp_path / name).mkdir()

    assert find_inventory(tmp_path) == tmp_path / "home"


@pytest.mark.parametrize("names", [["example"], ["example", "home", "work"]])
def test_a_choice_is_never_guessed(tmp_path: Path, names: list[str]) -> None:
    """A master that scales the wrong fleet is worse than one that asks."""
    for name in names:
        (tmp_path / name).mkdir()

    with pytest.raises(click.UsageError, match="name one with -i PATH or in FOGVERSE_INVENTORY"):
        find_inventory(tmp_path)


def test_a_topic_with_a_single_copy_is_told_where_there_could_be_more() -> None:
    """Lost otherwise: the master's memory, with one host of a cluster that was bought to outlive it."""
    lines = tuple(copy_lines({"observer": 3, "fogverse-ledger": 1}, brokers=3))
    assert [(line.name, line.state) for line in lines] == [("fogverse-ledger", "warn")]
    assert "default.replication.factor=3" in lines[0].mend
    assert tuple(copy_lines({"observer": 1}, brokers=1)) == ()
