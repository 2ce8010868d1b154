"""A batch as one transaction: what fails is undone, blamed and replaced, and what works stays."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, cast

from orchestrator.act.means import Means
from orchestrator.act.run import HostOutcome, PlaybookRun, RunOutcome
from orchestrator.act.scaleout import ScaleOut
from orchestrator.act.step import Step
from orchestrator.broker.book import ReportBook
from orchestrator.broker.look import Look
from orchestrator.core.fleet import Group, Member
from orchestrator.core.instance import Instance
from orchestrator.core.placement import Placement
from orchestrator.core.quarantine import Quarantine
from orchestrator.core.service import Service
from orchestrator.errors import BrokerUnreachable

SERVICE = Service(
    name="s", source_topic="a", group_id="g", artifact="x", entrypoint="x:y", hosts="fog", max_instances=9
)
INSTANCES = {name: Instance("s", name, 1) for name in ("pi-1", "pi-2", "pi-3")}


class FakeAnsible:
    """Runs playbooks on devices that fail as told, or start instances that never join their group."""

    def __init__(self, failing: Mapping[str, HostOutcome], silent: Collection[str]) -> None:
        self.failing, self.silent = failing, silent
        self.runs: list[PlaybookRun] = []
        #: Why no run begins.
        self.broken: str | None = None
        #: A run does not end before this is set; whether it was, of each run.
        self.hold: threading.Event | None = None
        self.held: list[bool] = []

    def run(
        self, request: PlaybookRun, _stop: threading.Event, on_event: Callable[[Mapping[str, Any]], None] | None = None
    ) -> RunOutcome:
        self.runs.append(request)
        if self.broken is not None:
            return RunOutcome({}, 0.0, self.broken, begun=False)
        if self.hold is not None and on_event is not None:
            for host in self.alive():
                on_event({"event": "ok", "host": host, "task": "Start the instances", "done": [str(INSTANCES[host])]})
            self.held.append(self.hold.wait(5))
        hosts = {host: self.failing.get(host, HostOutcome("ok")) for host in request.limit.split(",")}
        return RunOutcome(hosts if request.playbook == "deploy.yml" else {}, 0.0)

    def alive(self) -> list[str]:
        if self.broken is not None:
            return []
        hosts = [host for run in self.runs if run.playbook == "deploy.yml" for host in run.limit.split(",")]
        return [host for host in hosts if host not in self.failing]


class FakeCluster:
    """A group whose members are those whose device started them; a topic of one partition, and no messages."""

    def __init__(self, ansible: FakeAnsible, *, away: bool) -> None:
        self.ansible, self.away = ansible, away
        self.grown: list[int] = []

    def groups(self, _ids: Collection[str]) -> dict[str, Group]:
        if self.away:
            raise BrokerUnreachable("gone")
        alive = [host for host in self.ansible.alive() if host not in self.ansible.silent]
        owned = {"a": (0,)} if self.grown or len(alive) == 1 else {}
        members = [Member(str(INSTANCES[host]), ("a",), owned) for host in alive]
        return {"g": Group("g", "Stable", tuple(members))}

    def partitions(self, _topics: object) -> dict[str, tuple[int, ...]]:
        return {"a": (0,)}

    def grow(self, _topic: str, total: int) -> int:
        self.grown.append(total)
        return total

    def look(self, at: float, _topics: object, _groups: object) -> Look:
        return Look(at, {"a": {0: 0}}, {"g": {}}, {})

    def close(self) -> None: ...


class FakeClock:
    """Moves when it is waited for."""

    at = 0.0

    def now(self) -> float:
        return self.at

    def wait(self, _stop: threading.Event, seconds: float) -> bool:
        self.at += seconds
        return False


class Story:
    """One scale-out, and what was told of it."""

    def __init__(
        self,
        count: int,
        failing: Mapping[str, HostOutcome],
        *,
        away: bool = False,
        hold_until: str = "",
        silent: Collection[str] = (),
        broken: str | None = None,
    ) -> None:
        self.ansible = FakeAnsible(failing, silent)
        self.ansible.broken = broken
        self.ansible.hold = threading.Event() if hold_until else None
        self._hold_until = hold_until
        self.cluster = FakeCluster(self.ansible, away=away)
        self.steps: list[Step] = []
        self.blamed: list[str] = []
        means = Means(
            actuator=cast("Any", self.ansible), open_cluster=lambda: cast("Any", self.cluster),
            reports=ReportBook(["s"]), clock=FakeClock(), inventory=Path("i"), proof_deadline_s=10, retry_s=60,
            record=self._record, failed=self._failed, worked=lambda _: None, reserve=lambda _: True,
            release=lambda _: None, progress=lambda _instances, _words: None, stop=threading.Event(),
        )  # fmt: skip
        self.running = {i.device for i in ScaleOut(SERVICE, 0.0, means).run(count, self._choose)}
        self.limits = [run.limit for run in self.ansible.runs]

    def _record(self, step: Step) -> None:
        self.steps.append(step)
        told = [one.name for one in self.steps]
        proved = 2 - len(self.ansible.silent)
        if self.ansible.hold is not None and told.count("proved") == proved and self._hold_until in told:
            self.ansible.hold.set()

    def _failed(self, device: str, reason: str) -> Quarantine:
        self.blamed.append(device)
        return Quarantine(device, reason, until=9)

    def _choose(self, count: int) -> Placement:
        used = ",".join(run.limit for run in self.ansible.runs)
        left = tuple(instance for name, instance in INSTANCES.items() if name not in used)
        return Placement(left[:count], count, {"quarantined": len(self.blamed)})

    def told(self, device: str) -> list[str]:
        return [step.name for step in self.steps if step.instance == str(INSTANCES[device])]


def test_a_batch_is_one_run_and_the_topic_grows_once() -> None:
    """Lost otherwise: as many Ansible runs and rebalances as instances."""
    story = Story(3, {})
    assert story.running == set(INSTANCES)
    assert story.limits == ["pi-1,pi-2,pi-3"]
    assert len(story.cluster.grown) == 1
    assert story.cluster.grown[0] >= len(INSTANCES)
    assert story.told("pi-2")[-1] == "proved"


def test_a_device_that_is_gone_is_blamed_and_another_one_is_tried() -> None:
    """Lost otherwise: an instance too few until the next decision, or all of them with the one that failed."""
    story = Story(2, {"pi-1": HostOutcome("unreachable", "t", "no route")})
    assert story.running == {"pi-2", "pi-3"}
    assert story.blamed == ["pi-1"]
    assert story.told("pi-1") == ["placed", "failed", "quarantined"]
    assert story.limits == ["pi-1,pi-2", "pi-3"]


def test_what_fails_on_a_living_device_is_stopped_again_and_a_lack_of_devices_is_told() -> None:
    """Lost otherwise: a half-started unit that comes back at its own time; silence when nothing is left."""
    story = Story(3, {"pi-3": HostOutcome("failed", "t", "boom")})
    assert story.running == {"pi-1", "pi-2"}
    assert story.told("pi-3") == ["placed", "failed", "quarantined", "compensated"]
    assert [run.playbook for run in story.ansible.runs] == ["deploy.yml", "drain.yml"]
    assert "0 of 1 placed; removed: 1 quarantined" in story.steps[-1].detail


def test_a_broker_that_goes_away_blames_nobody_and_stops_nothing() -> None:
    """Lost otherwise: a fleet stopped, and its devices in quarantine, for an outage of the broker."""
    story = Story(2, {}, away=True)
    assert story.running == {"pi-1", "pi-2"}
    assert story.blamed == []
    assert story.told("pi-1")[-1] == "unproved"
    assert [run.playbook for run in story.ansible.runs] == ["deploy.yml"]


def test_an_ansible_that_cannot_begin_is_no_devices_fault() -> None:
    """Lost otherwise: the whole fleet, in quarantine for a typing mistake that was mended since."""
    story = Story(2, {}, broken="hosts.yml is no YAML")
    assert (story.running, story.blamed) == (set(), [])
    assert story.told("pi-1") == ["placed", "failed"]
    assert story.steps[-1].detail == "hosts.yml is no YAML"
    assert story.limits == ["pi-1,pi-2"], "it is not tried again and again"


def test_nobody_waits_for_the_slowest_of_a_batch_which_is_named() -> None:
    """Lost otherwise: thirty instances that idle, unproved, until SSH gives up the one device that is dead."""
    story = Story(3, {"pi-3": HostOutcome("unreachable", "t", "no route")}, hold_until="late")
    assert story.ansible.held[0], "the run ended only after two were proved and the third was named"
    assert story.running == {"pi-1", "pi-2"}
    assert story.told("pi-3") == ["placed", "late", "failed", "quarantined"]
    assert "2 of 3 run and do not wait for it" in next(step.detail for step in story.steps if step.name == "late")


def test_what_does_not_prove_itself_is_told_while_others_are_waited_for() -> None:
    """Lost otherwise: an operator looks at an instance that failed long ago, and reads that it is being started."""
    story = Story(3, {"pi-3": HostOutcome("unreachable", "t", "no route")}, hold_until="quarantined", silent=["pi-2"])
    assert story.ansible.held[0], "the run ended only after the one without a proof was told and blamed"
    assert story.running == {"pi-1"}
    assert story.blamed == ["pi-2", "pi-3"]
    assert story.told("pi-2") == ["placed", "process-alive", "failed", "quarantined", "compensated"]
    assert story.limits == ["pi-1,pi-2,pi-3", "pi-2"]
