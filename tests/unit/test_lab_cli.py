"""The lab's commands when something is not as they need it: one line, with what to do, and the right exit code."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from lab import commands as programs
from lab.cli import lab
from lab.errors import LabError
from lab.kafka_cli import kafka
from lab.network import prefix_of
from orchestrator.project import PROJECT


def run(*arguments: str) -> Result:
    return CliRunner().invoke(lab, arguments)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize(
    "arguments", [("up",), ("down",), ("exec", "true"), ("power-off", "pi-1")], ids=lambda arguments: arguments[0]
)
def test_without_root_the_user_is_told_to_use_sudo(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = run(arguments[0], "--folder", str(tmp_path / "lab"), *arguments[1:])
    assert done.exit_code == 1
    assert done.output == "Error: simulated devices need root: run with sudo\n"
    assert not (tmp_path / "lab").exists()


def test_missing_programs_come_with_the_line_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda program: None if "n" in program else f"/bin/{program}")
    with pytest.raises(LabError) as caught:
        programs.require_programs(["systemd-nspawn", "ip", "nsenter", "ssh"])
    assert str(caught.value) == (
        "missing: systemd-nspawn, nsenter; install with 'apt-get install systemd-container util-linux'"
    )


def test_without_java_the_broker_names_the_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("shutil.which", lambda _program: None)
    done = run("kafka", "up", "--folder", str(tmp_path))
    assert done.exit_code == 1
    assert done.output.splitlines()[-1].endswith("apt-get install openjdk-17-jre-headless maven")


def test_a_lab_that_was_never_started_lists_nothing(tmp_path: Path) -> None:
    assert run("ls", "--folder", str(tmp_path)).output == "no devices: start some with 'orchestrator lab up'\n"
    assert run("ls", "--json", "--folder", str(tmp_path)).output == "[]\n"
    assert run("kafka", "status", "--folder", str(tmp_path)).output == "stopped\n"
    assert list(tmp_path.iterdir()) == [], "looking must not leave anything"


@pytest.mark.parametrize(
    "arguments", [("up", "--devices", "0"), ("cpu", "pi-1", "much"), ("exec",), ("kafka", "up", "--port", "80")]
)
def test_wrong_usage_ends_with_code_2(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


def test_every_command_explains_itself_without_needing_anything() -> None:
    def paths(group: click.Group, above: tuple[str, ...]) -> list[tuple[str, ...]]:
        found = []
        for name, command in group.commands.items():
            inner = paths(command, (*above, name)) if isinstance(command, click.Group) else []
            found += [(*above, name), *inner]
        return found

    for path in paths(lab, ()):
        done = run(*path, "--help")
        assert done.exit_code == 0, path
        assert len(done.output.splitlines()) > 4, path


def test_two_checkouts_have_different_names_for_everything(tmp_path: Path) -> None:
    """Otherwise the "down" of one would end the devices of the other."""
    names = {prefix_of(tmp_path / name) for name in ("one/.lab", "two/.lab")}
    assert len(names) == 2
    assert all(len(name) == 9 for name in names), "a longer one does not fit into a socket's path"


def test_every_command_is_in_the_documentation() -> None:
    """A command that docs/lab.md does not name is found by nobody."""
    text = (PROJECT / "docs/lab.md").read_text()
    rows = "".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))
    names = [*(name for name in lab.commands if name != "kafka"), *(f"kafka {name}" for name in kafka.commands)]
    assert [name for name in names if f"`{name}`" not in rows and f"`{name} " not in rows] == []


def test_a_lab_with_a_cluster_says_where_its_brokers_are(tmp_path: Path) -> None:
    """Otherwise "kafka up" starts a second, empty Kafka beside the one that devices use."""
    folder = tmp_path / "devices" / "kafka-1"
    folder.mkdir(parents=True)
    (folder / "device.json").write_text('{"base": "/base", "cpu": null}')
    done = run("kafka", "status", "--folder", str(tmp_path))
    assert done.exit_code == 1
    assert done.output.startswith("Error: Kafka runs on devices of this lab, kafka-1: see 'orchestrator lab ls'")
