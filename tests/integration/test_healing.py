"""Healing on real parts: devices that lose power and come back, units that are stopped or killed by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lab.netns import entered
from tests.integration.test_master import Fleet, RunningMaster, clean, master, raised

__all__ = ["clean"]  # a fixture: each test begins without instances, topics and history

pytestmark = [pytest.mark.lab, pytest.mark.timeout(420)]

HEAL = {"notice_s": 3, "replace_after_s": 8, "restart_limit": 2}


@pytest.fixture(scope="module")
def fleet(device_base: Path, jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three devices, and a service that is healed within seconds."""
    with raised(tmp_path_factory.mktemp("heal"), device_base, jars, 3, heal=HEAL) as fleet:
        yield fleet


def home_of(running: RunningMaster) -> str:
    return running.wait_for(r" proved: slow@pi-\d\.1").split("proved: slow@")[1].split(".1")[0]


@pytest.mark.parametrize("returns", [True, False])
def test_a_device_that_loses_power_is_replaced_and_when_it_is_back_one_of_the_two_goes(
    fleet: Fleet, *, returns: bool
) -> None:
    """Lost otherwise: a stage of the pipeline with its board; or one instance too many for ever."""
    services = fleet.inventory / "group_vars" / "all" / "services.yml"
    before = services.read_text()
    changed = yaml.safe_load(before)
    changed["fogverse_services"]["slow"]["heal"]["return_home"] = returns
    services.write_text(yaml.safe_dump(changed))
    try:
        with master(fleet) as running:
            home = home_of(running)
            fleet.lab.power_off(home)
            running.wait_for(rf"diagnosed: slow@{home}\.1 neither reports .* its device does not answer")
            line = running.wait_for(rf"replaced: slow@{home}\.1 slow@pi-\d\.1 runs in its place")
            stand_in = line.split(".1 slow@")[1].split(".1")[0]
            assert sum("below-minimum" in line for line in running.lines) == 1, "decisions wait for the healing"
            fleet.lab.power_on(home)
            running.wait_for(rf"returned: slow@{home}\.1")
            running.wait_for(rf"surplus: slow@{home}\.1 is back")
            goes, stays = (stand_in, home) if returns else (home, stand_in)
            running.wait_for(rf"drained: slow@{goes}\.1")
            running.wait_for("idle: ", after=len(running.lines))
        assert set(fleet.running()) == {stays}
    finally:
        services.write_text(before)


def test_a_unit_stopped_by_hand_is_started_again_until_the_limit_and_then_elsewhere(fleet: Fleet) -> None:
    """Lost otherwise: an instance that somebody stopped by mistake; or a board on which it is started for ever."""
    with master(fleet) as running:
        home = home_of(running)
        for _ in range(HEAL["restart_limit"]):
            first = len(running.lines)
            fleet.on(home, "sudo systemctl stop fogverse-slow@1")
            assert "unit inactive (dead)" in running.wait_for(rf"diagnosed: slow@{home}\.1", after=first)
            running.wait_for(rf"restarted: slow@{home}\.1", after=first)
            running.wait_for(rf"proved: slow@{home}\.1", after=first)
            running.wait_for("idle: ", after=len(running.lines))
        fleet.on(home, "sudo systemctl stop fogverse-slow@1")
        assert "2 times within 600 s" in running.wait_for(rf"given-up: slow@{home}\.1")
        running.wait_for(rf"quarantined: slow@{home}\.1")
        running.wait_for(rf"replaced: slow@{home}\.1 slow@pi-\d\.1 runs in its place")
        running.wait_for("idle: ", after=len(running.lines))
    assert len(fleet.running()) == 1
    assert home not in fleet.running()


def test_what_systemd_restarts_by_itself_is_not_started_twice_and_costs_no_partition(fleet: Fleet) -> None:
    """Lost otherwise: a second instance, or a partition for ever, for each crash."""
    with master(fleet) as running:
        home = home_of(running)
        before, first = fleet.running()[home], len(running.lines)
        for _ in range(2):
            fleet.on(home, "sudo systemctl kill -s KILL fogverse-slow@1")
            running.wait_for("idle: ", after=len(running.lines))
            fleet.on(home, "until systemctl --quiet is-active fogverse-slow@1; do sleep 0.2; done")
        running.wait_for("idle: ", after=len(running.lines))
        running.wait_for("idle: ", after=len(running.lines))
        acted = [line for line in running.lines[first:] if re.search(" (placed|restarted|replaced): ", line)]
        assert acted == [], "\n".join(running.lines)
    after = fleet.running()
    assert list(after) == [home]
    assert after[home] != before
    with entered(fleet.lab.hub_netns):
        cluster = fleet.cluster()
        assert cluster.partitions(["in"]) == {"in": (0,)}
        cluster.close()


def test_an_instance_drained_by_hand_is_not_brought_back_against_the_operator(fleet: Fleet) -> None:
    """Lost otherwise: a tug of war between the master and whoever runs drain.yml."""
    with master(fleet) as running:
        home = home_of(running)
        other = next(device.name for device in fleet.lab.devices() if device.name != home)
        fleet.playbook("deploy.yml", "-e", "service=slow", "-l", other)
        running.wait_for(rf"adopted: slow@{other}\.1")
        fleet.playbook("drain.yml", "-e", "service=slow", "-l", other)
        running.wait_for(rf"dismissed: slow@{other}\.1")
        running.wait_for("idle: ", after=len(running.lines))
    assert list(fleet.running()) == [home]
