"""Batches and drains on real parts: several instances in one decision, a dead device among them, and none lost."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import Consumer

from lab.netns import entered
from orchestrator.act.step import Step
from orchestrator.acting import Acting
from orchestrator.broker.observer import Observer
from orchestrator.cli.context import Options, open_context
from orchestrator.cli.run import devices_of, diagnosing
from orchestrator.clock import SystemClock
from orchestrator.core.decision import Decision
from orchestrator.watch import Watch
from tests.integration.test_master import Fleet, clean, master, raised, traffic

__all__ = ["clean"]  # a fixture: each test begins without instances, topics and history

pytestmark = [pytest.mark.lab, pytest.mark.timeout(420)]


@pytest.fixture(scope="module")
def fleet(device_base: Path, jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Four devices; the service wants two instances at least."""
    with raised(tmp_path_factory.mktemp("batch"), device_base, jars, 4, min_instances=2, max_instances=4) as fleet:
        yield fleet


def test_a_batch_starts_in_one_run_and_grows_the_topic_once(fleet: Fleet) -> None:
    """Lost otherwise: a fleet that is built one slow step after the other."""
    with master(fleet) as running:
        first = running.wait_for(r" proved: slow@pi-\d\.1")
        running.wait_for(r" proved: slow@pi-\d\.1", after=running.lines.index(first) + 1)
        assert sum("ansible-started" in line for line in running.lines) == 1
        assert [line.split("grown: ")[1] for line in running.lines if "partitions-grown" in line] == [
            "in: 1 -> 2: 2 members of slow subscribe to in"
        ]
    homes = set(fleet.running())
    assert len(homes) == 2
    listed = {row["name"]: row for row in json.loads(fleet.orchestrator("device", "list", "--json").stdout)}
    assert {name for name, row in listed.items() if row["ssh"] == "ok"} == {"pi-1", "pi-2", "pi-3", "pi-4"}
    for home in homes:
        [seen] = listed[home]["instances"]
        assert (seen["unit"], seen["group"], seen["partitions"]) == ("active (running)", "member", 1)
        assert "assigned in" in fleet.orchestrator("device", "logs", home, "slow").stdout


def test_a_device_that_dies_in_the_middle_fails_only_itself(fleet: Fleet) -> None:
    """Lost otherwise: every batch with one bad board in it; or one that waits for the next decision."""
    try:
        with master(fleet) as running:
            line = running.wait_for(r"placed: slow@pi-\d\.1")
            dead = line.split("placed: slow@")[1].split(".1")[0]
            fleet.lab.cut(dead)
            running.wait_for(rf"failed: slow@{dead}\.1 SSH does not get through")
            running.wait_for(rf"quarantined: slow@{dead}\.1")
            proved = set()
            for _ in range(2):
                number = max((running.lines.index(line) for line in running.lines if "proved: " in line), default=-1)
                proved.add(running.wait_for(r" proved: slow@pi-\d\.1", after=number + 1 if proved else 0))
            assert sum("below-minimum" in line for line in running.lines) == 1
    finally:
        fleet.lab.join(dead)
    assert len(set(fleet.running()) - {dead}) == 2


def test_a_drain_stops_what_is_missed_least_and_loses_nothing(fleet: Fleet) -> None:
    """Lost otherwise: messages, with every fleet that becomes smaller; or the last instances of a service."""
    names = ("pi-1", "pi-2", "pi-3", "pi-4")
    steps: list[Step] = []
    with entered(fleet.lab.hub_netns):
        context = open_context(Options(fleet.inventory))
        clock, stop, cluster = SystemClock(), threading.Event(), fleet.cluster()
        devices = devices_of(context, clock)
        observer = Observer(context.observer_options(), "observer", "observer", 60)
        watch = Watch(context.inventory, context.settings, clock, cluster, observer, devices, steps.append)
        assert cluster.create("in", 4)
        assert cluster.create("out", 1)
        assert cluster.create("observer", 1, {"message.timestamp.type": "LogAppendTime"})
    with traffic(fleet, 100) as acknowledged:
        fleet.playbook("deploy.yml", "-e", "service=slow")
        with entered(fleet.lab.hub_netns):
            try:
                watch.start()
                state = watch.states["slow"]
                until(lambda: watch.observe() or state.fleet.count == len(names))
                acting = Acting(
                    context.settings, clock, fleet.inventory, fleet.cluster, watch, devices, diagnosing(context),
                    steps.append, stop, lambda: True,
                )  # fmt: skip
                with closing(acting):
                    decision = Decision("slow", clock.now(), current=4, desired=0, kind="keeping-up", reason="")
                    acting.scale_in(state, decision)
                    until(lambda: watch.observe() or state.busy is None)
            finally:
                stop.set()
                watch.close()
    told = [step.name for step in steps]
    assert told.count("draining") == told.count("drained") == 2, [(s.name, s.detail) for s in steps]
    assert len(fleet.running()) == 2, "min_instances are kept"
    with entered(fleet.lab.hub_netns):
        arrived = read_all(fleet, acknowledged())
        cluster.close()
    assert len(arrived) == acknowledged()


def until(condition: object, timeout_s: float = 90) -> None:
    """Ask again and again until it is true."""
    assert callable(condition)
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "not in time"
        threading.Event().wait(0.5)


def read_all(fleet: Fleet, count: int, timeout_s: float = 60) -> set[bytes]:
    """The different values on the target topic, once there are as many as expected, or time is over."""
    consumer = Consumer(
        {
            "bootstrap.servers": fleet.lab.bootstrap,
            "group.id": "reader",
            "auto.offset.reset": "earliest",
            "log_level": 2,
        }
    )
    consumer.subscribe(["out"])
    values: set[bytes] = set()
    end = time.monotonic() + timeout_s
    while len(values) < count and time.monotonic() < end:
        message = consumer.poll(1)
        if message is not None and message.error() is None:
            values.add(message.value() or b"")
    consumer.close()
    return values
