"""Deploying, draining and upgrading by hand on real parts: a device that is off, one that hangs, and a real Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.netns import entered
from orchestrator.project import PROJECT
from tests.integration.test_master import PROGRAMS, Fleet, master, raised

pytestmark = [pytest.mark.lab, pytest.mark.timeout(420)]


@pytest.fixture(scope="module")
def fleet(device_base: Path, jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three prepared devices, of which the last has lost power."""
    with raised(tmp_path_factory.mktemp("operators"), device_base, jars, 3) as fleet:
        with entered(fleet.lab.hub_netns):
            cluster = fleet.cluster()
            for topic, partitions in (("in", 3), ("out", 1)):
                cluster.create(topic, partitions)
            cluster.close()
        fleet.lab.power_off("pi-3")
        yield fleet


def outcomes(said: dict[str, Any]) -> dict[str, str]:
    return {result["host"]: result["outcome"] for result in said["results"]}


def running(fleet: Fleet) -> set[str]:
    """Devices on which an instance runs, of those that are on."""
    return {
        name for name in ("pi-1", "pi-2") if "inactive" not in fleet.on(name, "systemctl is-active fogverse-slow@1")
    }


def test_a_deployment_says_of_each_device_how_it_went_and_where_the_whole_output_is(
    fleet: Fleet, tmp_path: Path
) -> None:
    """Lost otherwise: which of the boards is dead, in a wall of JSON."""
    preview = json.loads(fleet.orchestrator("deploy", "slow", "-l", "pi-1", "--check", "--json").stdout)
    assert outcomes(preview) == {"pi-1": "would-change"}
    assert running(fleet) == set()

    log = tmp_path / "deploy.log"
    done = fleet.orchestrator("deploy", "slow", "--json", "--log", str(log), check=False)
    said = json.loads(done.stdout)
    assert done.returncode == said["exit_code"] == 4, done.stderr
    assert outcomes(said) == {"pi-1": "started", "pi-2": "started", "pi-3": "unreachable"}
    assert said["results"][0]["words"] == "slow@pi-1.1 member"
    assert "pi-1: connecting, starting" in done.stderr
    assert "pi-3: unreachable after" in done.stderr
    assert "PLAY RECAP" in log.read_text()
    assert running(fleet) == {"pi-1", "pi-2"}

    drained = fleet.orchestrator("drain", "slow", "--on", "pi-1,pi-2")
    assert drained.stdout.count(" drained ") == 3, "two devices and the sum"
    assert "note:" not in drained.stdout, "no master runs"
    assert running(fleet) == set()


def test_what_cannot_be_meant_is_refused_and_nothing_is_started(fleet: Fleet) -> None:
    """Lost otherwise: a misspelt name, and a deployment on the others."""
    for arguments, words in (
        (("deploy", "slow", "-l", "pi-1,pi-9"), "no host and no group of that name"),
        (("upgrade", "slow", "-l", "fog:!fog"), "does not mean a device that may run slow"),
    ):
        done = fleet.orchestrator(*arguments, check=False)
        assert (done.returncode, words in done.stderr) == (2, True), done.stderr


def test_an_interrupted_deployment_says_how_far_each_device_was_and_leaves_nothing_of_ansible(fleet: Fleet) -> None:
    """Lost otherwise: an operator who does not know what is running now."""
    fleet.lab.freeze("pi-2")
    command = [str(PROGRAMS / "orchestrator"), "-i", str(fleet.inventory), "deploy", "slow", "-l", "pi-1,pi-2"]
    try:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=PROJECT
        ) as deploying:
            assert deploying.stdout is not None
            assert deploying.stderr is not None
            for line in deploying.stderr:
                if "pi-2: connecting, starting" in line:
                    deploying.send_signal(signal.SIGINT)
                    break
            rest, said = deploying.stderr.read(), deploying.stdout.read()
        assert deploying.returncode == 130, rest
    finally:
        fleet.lab.thaw("pi-2")
    assert "in the middle of 'Start the instances'" in said
    assert "deploy slow: interrupted: 2 interrupted" in said
    assert "what runs now: orchestrator device list" in said
    left = subprocess.run(["pgrep", "-af", str(fleet.inventory)], capture_output=True, text=True, check=False).stdout
    assert "playbook" not in left
    fleet.orchestrator("drain", "slow", "-l", "pi-1,pi-2")


def test_a_drain_names_the_master_that_may_undo_it_unless_it_was_told_to_pause(fleet: Fleet) -> None:
    """Lost otherwise: an operator who drains a device again and again."""
    with master(fleet) as leading:
        leading.wait_for("leading now")
        drained = fleet.orchestrator("drain", "slow", "-l", "pi-2")
        assert "to have it leave slow alone: orchestrator pause slow" in drained.stdout.splitlines()[-1]
        fleet.orchestrator("pause", "slow", "--for", "10m")
        assert "note:" not in fleet.orchestrator("drain", "slow", "-l", "pi-1,pi-2").stdout
    assert running(fleet) == set()


@pytest.mark.skipif(not (PROJECT / "playbooks" / "upgrade.yml").exists(), reason="playbooks/upgrade.yml is not there")
def test_an_upgrade_says_of_each_device_from_what_to_what(fleet: Fleet) -> None:
    """Lost otherwise: which boards run the old release."""
    fleet.orchestrator("deploy", "slow", "-l", "pi-1")
    artifact = fleet.inventory.parent / "artifact" / "slow.py"
    artifact.write_text(artifact.read_text() + "# newer\n")
    done = fleet.orchestrator("upgrade", "slow", "-l", "pi-1,pi-2", "--json", check=False)
    said = json.loads(done.stdout)
    assert outcomes(said) == {"pi-1": "upgraded", "pi-2": "staged"}, done.stderr
    assert " -> " in said["results"][0]["words"]
    assert done.returncode == 0
