"""Devices that are drained, are gone, come back with an old release, or are given back clean: on real parts."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer

from lab.inventory import write
from lab.netns import entered
from tests.integration.test_master import PROGRAMS, PROJECT, SLOW, Fleet, clean, master, raised, traffic

__all__ = ["clean"]  # a fixture: each test begins without instances, topics and history

pytestmark = [pytest.mark.lab, pytest.mark.timeout(420)]

NEW = SLOW.replace("message.value", 'message.value + b" new"')
#: What a device has besides what it had before, of which nothing is ours.
NOT_OURS = (
    "/var/log/", "/var/cache/", "/var/lib/systemd/", "/var/lib/apt/", "/run/", "/proc/", "/sys/", "/dev/",
    "/tmp/", "/var/tmp/",
    "/root/.ansible/", "/home/",  # what Ansible itself and a login leave
    "/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-", "/etc/.pwd.lock",  # the user database's own copies
)  # fmt: skip


@pytest.fixture(scope="module")
def fleet(device_base: Path, jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three devices, and a service that works on four messages at once and is healed within seconds."""
    heal = {"notice_s": 3, "replace_after_s": 8}
    with raised(tmp_path_factory.mktemp("drain"), device_base, jars, 3, heal=heal, workers=4) as fleet:
        yield fleet


def outputs(fleet: Fleet, enough: Callable[[Counter[bytes]], bool], timeout_s: float = 60) -> Counter[bytes]:
    """How often each value is on the target topic, once there is enough, or time is over."""
    with entered(fleet.lab.hub_netns):
        consumer = Consumer(
            {"bootstrap.servers": fleet.lab.bootstrap, "group.id": "reader", "auto.offset.reset": "earliest",
             "enable.auto.commit": False, "log_level": 2}
        )  # fmt: skip
        consumer.subscribe(["out"])
        values: Counter[bytes] = Counter()
        until = time.monotonic() + timeout_s
        while not enough(values) and time.monotonic() < until:
            message = consumer.poll(1)
            if message is not None and message.error() is None:
                values[message.value() or b""] += 1
        consumer.close()
    return values


def create(fleet: Fleet, partitions: int) -> None:
    with entered(fleet.lab.hub_netns):
        cluster = fleet.cluster()
        cluster.create("in", partitions)
        cluster.create("out", 1)
        cluster.create("observer", 1, {"message.timestamp.type": "LogAppendTime"})
        cluster.close()


def members(fleet: Fleet) -> list[str]:
    with entered(fleet.lab.hub_netns):
        cluster = fleet.cluster()
        try:
            return sorted(member.client_id for member in cluster.groups(["slow"])["slow"].members)
        finally:
            cluster.close()


def until(condition: Callable[[], object], timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.3)


def site(fleet: Fleet) -> str:
    """Prepare what can be reached; a device that is off fails for itself."""
    command = [str(PROGRAMS / "ansible-playbook"), "-i", str(fleet.inventory), "playbooks/site.yml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=PROJECT)
    assert done.returncode in (0, 4), done.stdout[-3000:]
    return done.stdout


def test_a_device_is_drained_with_messages_in_flight_and_nothing_is_lost_or_done_twice(fleet: Fleet) -> None:
    """Lost otherwise: messages, with every board that is taken off its shelf."""
    create(fleet, 4)
    fleet.playbook("deploy.yml", "-e", "service=slow", "-l", "pi-1,pi-2")
    with traffic(fleet, 150) as acknowledged:
        until(lambda: acknowledged() > 300)
        done = fleet.orchestrator("device", "drain", "pi-1", "--json")
        assert members(fleet) == ["slow@pi-2.1"]
        at = acknowledged()
        until(lambda: acknowledged() > at + 150)
    [cleared] = json.loads(done.stdout)["cleared"]
    assert (cleared["outcome"], cleared["instances"]) == ("drained", ["slow@pi-1.1"])
    found = outputs(fleet, lambda values: len(values) >= acknowledged())
    assert len(found) == acknowledged()
    assert max(found.values()) == 1, "what was in hand was committed before it left"
    assert "\ndisabled" in fleet.on("pi-1", "echo; systemctl is-enabled fogverse-slow@1")
    listed = {row["name"]: row for row in json.loads(fleet.orchestrator("device", "list", "--json").stdout)}
    assert "drained by" in listed["pi-1"]["order"]
    assert listed["pi-2"]["order"] is None
    assert [mark["device"] for mark in json.loads(fleet.orchestrator("status", "--json").stdout)["marks"]] == ["pi-1"]
    fleet.orchestrator("device", "quarantine", "pi-2", "--for", "1h")
    fleet.orchestrator("device", "restore", "pi-1")
    now = json.loads(fleet.orchestrator("status", "--json").stdout)["marks"]
    assert [(mark["device"], mark["kind"]) for mark in now] == [("pi-2", "quarantine")]


def test_a_device_that_is_gone_is_drained_by_force_and_again_when_it_is_back(fleet: Fleet) -> None:
    """Lost otherwise: its partitions for the length of a session; or a board that works on behind one's back."""
    create(fleet, 1)
    with master(fleet) as running, traffic(fleet, 20) as acknowledged:
        first = running.wait_for(r" proved: slow@pi-\d\.1")
        home = first.split("proved: slow@")[1].split(".1")[0]
        fleet.lab.cut(home)
        refused = fleet.orchestrator("device", "drain", home, check=False)
        assert refused.returncode == 4
        assert f"device drain {home} --force" in refused.stderr
        done = json.loads(fleet.orchestrator("device", "drain", home, "--force", "--json").stdout)
        assert [(c["outcome"], c["service"]) for c in done["cleared"]] in ([("evicted", "slow")], [])
        assert f"slow@{home}.1" not in members(fleet)
        line = running.wait_for(r" proved: slow@pi-\d\.1", after=running.lines.index(first) + 1)
        assert f"slow@{home}" not in line, "nothing is placed on what was drained"
        seen = len(running.lines)
        fleet.lab.join(home)
        running.wait_for(rf"draining: slow@{home}\.1 {home} was drained by", after=seen, timeout_s=90)
        running.wait_for(rf"drained: slow@{home}\.1", after=seen)
        assert "set aside" in fleet.orchestrator("explain", "slow").stdout
        found = outputs(fleet, lambda values: len(values) >= acknowledged() - 20)
    assert list(fleet.running()) != [home]
    assert home not in fleet.running()
    assert len(found) >= acknowledged() - 40, "nothing is lost"


def test_a_device_that_was_off_during_an_upgrade_consumes_nothing_before_it_has_the_new_release(fleet: Fleet) -> None:
    """Lost otherwise: results of code that was replaced, whenever a board is switched on again."""
    artifact = fleet.inventory.parent / "artifact" / "slow.py"
    create(fleet, 2)
    fleet.playbook("deploy.yml", "-e", "service=slow", "-l", "pi-1,pi-2")
    fleet.lab.power_off("pi-1")
    artifact.write_text(NEW)
    try:
        assert "UNREACHABLE" in site(fleet)
        with traffic(fleet, 20) as acknowledged:
            fleet.lab.power_on("pi-1")
            status = "systemctl show -p StatusText --value fogverse-slow@1"
            until(lambda: "waits for release" in fleet.on("pi-1", status))
            assert members(fleet) == ["slow@pi-2.1"], "without a master it waits, and says for what"
            # it ends, and systemd starts it again: that is no way around
            fleet.on("pi-1", "sudo systemctl kill -s KILL fogverse-slow@1")
            fleet.lab.power_off("pi-1")
            with master(fleet) as running:
                running.wait_for("leading now")
                began = time.monotonic()
                fleet.lab.power_on("pi-1")
                running.wait_for(r"diagnosed: slow@pi-1\.1 has an old release", timeout_s=90)
                running.wait_for(r"upgraded: slow@pi-1\.1", timeout_s=90)
                running.wait_for(r"proved: slow@pi-1\.1", timeout_s=90)
                took = time.monotonic() - began
        found = outputs(fleet, lambda values: len(values) >= acknowledged())
        assert [value for value in found if not value.endswith(b" new")] == []
        assert len(found) == acknowledged()
        assert took < 120, f"{took:.0f} s from power to the new release"
    finally:
        artifact.write_text(SLOW)


def listing(fleet: Fleet, device: str) -> dict[str, str]:
    """Every file and folder of a device with its kind and link target, without what is not ours."""
    root, found = fleet.lab.root(device), {}
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = Path(folder, name)
            shown = f"/{path.relative_to(root)}"
            if shown.startswith(NOT_OURS) or "__pycache__" in shown:
                continue
            found[shown] = os.readlink(path) if path.is_symlink() else oct(path.lstat().st_mode)  # noqa: PTH115
    found["users"] = (root / "etc" / "passwd").read_text() + (root / "etc" / "group").read_text()
    return found


def test_what_is_removed_leaves_a_device_as_it_was(fleet: Fleet) -> None:
    """Lost otherwise: a user, units and folders on a board that goes to somebody else."""
    create(fleet, 2)
    fleet.lab.up(4, None)
    write(fleet.inventory, fleet.lab)
    before = listing(fleet, "pi-4")
    fleet.playbook("site.yml", "-l", "pi-4")
    fleet.playbook("deploy.yml", "-e", "service=slow", "-l", "pi-4")
    dropin = "/etc/systemd/system/fogverse-slow@1.service.d"
    fleet.on("pi-4", f"sudo mkdir {dropin}; sudo touch {dropin}/mine.conf")
    assert listing(fleet, "pi-4") != before
    preview = fleet.playbook("remove.yml", "-e", "everything=true", "-l", "pi-4", "--check")
    assert "changed=3" in preview, preview
    assert members(fleet) == ["slow@pi-4.1"], "a preview stops nothing"
    fleet.playbook("remove.yml", "-e", "everything=true", "-l", "pi-4")
    after = listing(fleet, "pi-4")
    assert {name: kind for name, kind in after.items() if before.get(name) != kind} == {}
    assert set(before) - set(after) == set()
    assert members(fleet) == []
    assert "changed=0" in fleet.playbook("remove.yml", "-e", "everything=true", "-l", "pi-4")
