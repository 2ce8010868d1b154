"""Draining a device by hand, with Ansible and the broker replaced."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import cast

from orchestrator.act.actuator import Actuator
from orchestrator.act.clear import LEFT_S, clear
from orchestrator.act.run import HostOutcome, RunOutcome
from orchestrator.broker.cluster import Cluster
from orchestrator.core.fleet import Group, Member
from orchestrator.core.service import Service

SERVICE = Service(
    name="s", source_topic="a", group_id="g", artifact="x", entrypoint="x:y", hosts="fog", max_instances=9
)


class Ansible:
    """Drains at once."""

    def run(self, *_given: object) -> RunOutcome:
        return RunOutcome({"pi-1": HostOutcome("ok")}, 0.0)


class Broker:
    """Lists the member for ever; somebody has had enough of it at the second question."""

    def __init__(self, stop: threading.Event) -> None:
        self.stop, self.asked = stop, 0

    def groups(self, _names: object) -> dict[str, Group]:
        self.asked += 1
        if self.asked > 1:
            self.stop.set()
        return {"g": Group("g", "Stable", (Member("s@pi-1.1", (), {}),))}


def test_a_drain_that_is_broken_off_does_not_wait_for_the_group() -> None:
    """Lost: twenty seconds for each service, by an operator who has pressed Ctrl-C."""
    stop = threading.Event()
    broker, began = Broker(stop), time.monotonic()
    [done] = clear(
        "pi-1",
        [(SERVICE, ["s@pi-1.1"]), (SERVICE, ["s@pi-1.2"])],
        cast("Actuator", Ansible()),
        cast("Cluster", broker),
        Path("inventory"),
        stop,
        unreachable="",
        force=True,
        began=lambda _service: lambda _event: None,
    )
    assert time.monotonic() - began < LEFT_S / 2
    assert (done.outcome, done.reason) == ("failed", "it is stopped, but g still lists it")
