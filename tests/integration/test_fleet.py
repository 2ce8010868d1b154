"""Many at once on real parts: devices started in one decision, of which one is dead, one hangs, the systemd of one does
not answer, and one is slow; where the release is there already, and where it has to be brought.

All are copies of one prepared card, so that preparing them costs a minute and not ten. Sixteen are enough to wait for
one another; ``benchmarks/fleet_deploy.py`` starts 32.
"""

from __future__ import annotations

import math
import tempfile
import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from lab import files, image
from lab.fleet import Lab
from lab.inventory import write
from lab.netns import entered
from orchestrator.act.actuator import Actuator
from orchestrator.act.means import Means
from orchestrator.act.scaleout import ScaleOut
from orchestrator.act.starting import LATE_S
from orchestrator.act.step import Step
from orchestrator.broker.book import ReportBook
from orchestrator.broker.cluster import Cluster
from orchestrator.cli.context import Options, open_context
from orchestrator.clock import SystemClock
from orchestrator.core.instance import Instance
from orchestrator.core.placement import Placement
from orchestrator.core.quarantine import Quarantine
from tests.integration.test_master import Fleet, left_by_masters, raised

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

DEVICES = 16
DEAD, FROZEN, STUCK, SLOW = "pi-3", "pi-6", "pi-9", "pi-12"
BAD = {DEAD, FROZEN, STUCK, SLOW}
#: Longer than twelve devices on two cores need to start, and the best of the next batch to be given a release.
GIVEN_UP_S, LOOK_S = 45, 120
#: Those for which a release is brought, which costs two cores a hundred times what a start does.
FEW = ("pi-1", "pi-2", "pi-4", "pi-5", FROZEN, STUCK, SLOW)
#: What Ansible and our scripts run as on a device, and where they leave what they have not finished.
AT_WORK = "[B]ECOME-SUCCESS|[A]nsiballZ|[/]dev/fd/3"
UNFINISHED = (
    "opt/fogverse/incoming-*", "opt/fogverse/libs/incoming-*", "opt/fogverse/services/*/incoming-*",
    "home/*/.ansible/tmp/*", "root/.ansible/tmp/*", "tmp/*nsible*",
)  # fmt: skip
#: Takes the place of systemctl where systemd does not answer.
HANGS = "#!/bin/sh\nexec sleep 600\n"


@pytest.fixture(scope="module")
def fleet(device_base: Path, jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Copies of a prepared device, each told its own name."""
    folder = tmp_path_factory.mktemp("many")
    with raised(folder, device_base, jars, 1, max_instances=DEVICES) as one:
        given_up = {
            "fogverse_consumer_answer_timeout": GIVEN_UP_S, "fogverse_device_answer_timeout": LOOK_S,
            "fogverse_consumer_drain_timeout": 1,
        }  # fmt: skip
        (one.inventory / "group_vars" / "all" / "role.yml").write_text(yaml.safe_dump(given_up))
        one.lab.power_off("pi-1")
        lab = Lab(one.lab.folder, image.take(one.lab, "pi-1", folder / "card"))
        lab.up(DEVICES)
        write(one.inventory, lab)
        many = replace(one, lab=lab)
        many.playbook("site.yml", "--tags", "services", timeout_s=240)
        yield many


@dataclass
class Told:
    """A step, and when it was told."""

    step: Step
    at: float


class Story:
    """One decision for all devices, as the master carries it out."""

    def __init__(self, fleet: Fleet, devices: Collection[str]) -> None:
        self.told: list[Told] = []
        self.blamed: dict[str, str] = {}
        context = open_context(Options(fleet.inventory))
        self.batch = tuple(Instance("slow", device, 1) for device in devices)
        self._places = [Placement(self.batch, len(self.batch), {})]
        clock = SystemClock()
        actuator = Actuator(clock, context.settings.deploy_deadline)
        means = Means(
            actuator=actuator, open_cluster=fleet.cluster,
            reports=ReportBook(["slow"]), clock=clock, inventory=fleet.inventory, proof_deadline_s=90, retry_s=0,
            record=lambda step: self.told.append(Told(step, time.monotonic())), failed=self._failed,
            worked=lambda _: None, reserve=lambda _: True, release=lambda _: None,
            progress=lambda _instances, _words: None, stop=threading.Event(),
        )  # fmt: skip
        [service] = context.inventory.services
        with actuator:
            self.running = {
                i.device for i in ScaleOut(service, clock.now(), means, DEVICES).run(len(self.batch), self._choose)
            }

    def _failed(self, device: str, reason: str) -> Quarantine:
        self.blamed[device] = reason
        return Quarantine(device, reason, until=time.time() + 60)

    def _choose(self, count: int) -> Placement:
        return self._places.pop() if self._places else Placement((), count, {"quarantined": len(self.blamed)})

    def times(self, name: str) -> dict[str, float]:
        """When a step was told of each device."""
        return {
            i.device: t.at for i in self.batch for t in self.told if t.step.name == name and t.step.instance == str(i)
        }


@pytest.fixture(autouse=True)
def place(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ansible's process and its SSH connections are where nobody else's are."""
    fleet.lab.control_path.mkdir(mode=0o700, exist_ok=True)
    monkeypatch.setattr(tempfile, "tempdir", str(fleet.lab.control_path))


def left_behind(fleet: Fleet, within_s: float = 30) -> dict[str, list[str]]:
    """What is still under way, or lies about, on the master and on the devices that answer."""
    until = time.monotonic() + within_s
    while True:
        left = {"master": left_by_masters(fleet)}
        for device in fleet.lab.devices():
            if device.state == "on":
                root = fleet.lab.root(device.name)
                left[device.name] = fleet.on(device.name, f"pgrep -af '{AT_WORK}'").splitlines()
                left[device.name] += [str(path) for pattern in UNFINISHED for path in root.glob(pattern)]
        left = {name: found for name, found in left.items() if found}
        if not left or time.monotonic() > until:
            return left


def told_by(fleet: Fleet, devices: Collection[str]) -> Story:
    """One decision for these devices, in the lab's network."""
    with entered(fleet.lab.hub_netns):
        cluster: Cluster = fleet.cluster()
        for topic in ("in", "out"):
            cluster.create(topic, 1)
        cluster.close()
        return Story(fleet, devices)


def test_a_dead_a_hanging_and_a_slow_device_delay_none_of_the_others(fleet: Fleet) -> None:
    """Lost otherwise: every batch with one bad board in it waits for that board, or fails with it."""
    good = {device.name for device in fleet.lab.devices()} - BAD
    fleet.lab.power_off(DEAD)
    fleet.lab.freeze(FROZEN)
    files.write(fleet.lab.root(STUCK) / "usr/local/bin/systemctl", HANGS, mode=0o755)
    fleet.lab.cpu(SLOW, 1)
    story = told_by(fleet, [device.name for device in fleet.lab.devices()])
    proved, failed = story.times("proved"), story.times("failed")
    assert good <= set(proved), {d: story.blamed.get(d, "not proved") for d in good - set(proved)}
    assert story.running >= good
    assert sum(told.step.name == "ansible-started" and told.step.instance is None for told in story.told) == 1
    assert max(proved[device] for device in good) < failed[STUCK], "those that work waited for the one that hangs"
    assert "SSH does not get through" in story.blamed[DEAD]
    assert "SSH does not get through" in story.blamed[FROZEN]
    assert f"Timed out after {GIVEN_UP_S}" in story.blamed[STUCK]
    assert STUCK in story.times("late"), "it was named before it was given up"
    assert SLOW in {*story.times("late"), *failed}
    assert SLOW in {*proved, *failed}
    assert left_behind(fleet) == {}


def test_those_that_could_not_be_started_are_started_when_they_are_mended(fleet: Fleet) -> None:
    """Lost otherwise: a device that had a bad day stays useless; or a second instance of those that run."""
    fleet.lab.power_on(DEAD)
    fleet.lab.thaw(FROZEN)
    (fleet.lab.root(STUCK) / "usr/local/bin/systemctl").unlink()
    fleet.lab.cpu(SLOW, None)
    fleet.playbook("deploy.yml", "-e", "service=slow")
    assert len(fleet.running()) == DEVICES
    with entered(fleet.lab.hub_netns):
        cluster = fleet.cluster()
        members = {member.client_id for member in cluster.groups(["slow"])["slow"].members}
        cluster.close()
    assert members == {f"slow@pi-{number}.1" for number in range(1, DEVICES + 1)}


def test_nobody_waits_for_a_device_that_hangs_while_a_release_is_brought(fleet: Fleet) -> None:
    """Lost otherwise: after new code one bad board keeps every start waiting, task by task, until all have failed."""
    good = set(FEW) - BAD
    fleet.playbook("drain.yml", "-e", "service=slow", "-l", ",".join(FEW))
    with (fleet.inventory.parent / "artifact" / "slow.py").open("a") as code:
        code.write("\n# another release\n")
    fleet.lab.freeze(FROZEN)
    files.write(fleet.lab.root(STUCK) / "usr/local/bin/systemctl", HANGS, mode=0o755)
    fleet.lab.cpu(SLOW, 10)
    story = told_by(fleet, FEW)
    fleet.lab.thaw(FROZEN)
    (fleet.lab.root(STUCK) / "usr/local/bin/systemctl").unlink()
    fleet.lab.cpu(SLOW, None)
    proved, failed = story.times("proved"), story.times("failed")
    assert good <= set(proved), {d: story.blamed.get(d, "not proved") for d in good - set(proved)}
    assert max(proved[device] for device in good) < failed[STUCK], "those that work waited for the one that hangs"
    assert "SSH does not get through" in story.blamed[FROZEN]
    assert f"Timed out after {LOOK_S}" in story.blamed[STUCK]
    behind = proved.get(SLOW, math.inf) - max(proved[device] for device in good)
    assert SLOW in {*story.times("late"), *failed} or behind < 2 * LATE_S, "a slow one is named, unless all are slow"
    assert left_behind(fleet) == {}
    fleet.playbook("deploy.yml", "-e", "service=slow", "-l", ",".join(FEW))
    assert set(fleet.running()) >= set(FEW)
