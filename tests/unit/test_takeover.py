"""What a master takes over from the one before it."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from orchestrator.broker.ledger import Entry
from orchestrator.clock import SystemClock
from orchestrator.core.decision import Decision, Kind
from orchestrator.core.device import Device
from orchestrator.core.instance import Instance
from orchestrator.core.memory import Memory
from orchestrator.core.override import Override
from orchestrator.core.policy_settings import RatioSettings
from orchestrator.core.service import Service
from orchestrator.devices import Devices
from orchestrator.inventory import Inventory
from orchestrator.inventory.kafka import KafkaSettings
from orchestrator.service_state import ServiceState, rule_for
from orchestrator.settings import Settings
from orchestrator.ssh.probe import Probe
from orchestrator.takeover import give_order, take_over


def state() -> ServiceState:
    service = Service(name="slow", source_topic="in", group_id="g", artifact="a", entrypoint="m:f", hosts="fog")
    return ServiceState(service, rule_for(service, Settings()))


def devices() -> Devices:
    kafka = KafkaSettings(bootstrap_servers=("kafka-1:9092",))
    places = (Device("pi-1", "192.0.2.1"), Device("pi-2", "192.0.2.2"))
    service = state().service
    inventory = Inventory(Path(), (service,), places, {"slow": ("pi-1", "pi-2")}, {}, kafka, {})
    reachable = {place.name: Probe(reachable=True, reason="", elapsed_s=0.1) for place in places}
    return Devices(inventory, Settings(), SystemClock(), lambda _names: reachable, {})


def step(name: str, at: float, instance: str = "slow@pi-1.1", **numbers: object) -> Entry:
    body = {"name": name, "service": "slow", "at": at, "instance": instance, "numbers": numbers}
    return Entry("step", "slow", at, body)


def order(at: float, kind: str = "pause") -> Entry:
    return Entry("override", "slow", at, Override(kind, "ann@pc", at, at + 60).as_dict())  # type: ignore[arg-type]


def test_cooldowns_and_capacities_go_on_after_a_restart() -> None:
    mine = state()
    kept = [Entry("memory", "slow", 52.0, Memory(last_start_at=50.0, startups=(4.5,)).as_dict())]
    take_over({"slow": mine}, devices(), kept, [step("placed", 40.0), step("proved", 55.0)], since=0)
    assert mine.memory.last_start_at == 50.0
    assert mine.memory.last_seen_new_at == 55.0
    assert mine.memory.startups == (4.5,)


def test_a_start_after_the_last_memory_still_counts() -> None:
    mine = state()
    kept = [Entry("memory", "slow", 60.0, Memory(last_start_at=50.0).as_dict())]
    unfinished = take_over({"slow": mine}, devices(), kept, [step("placed", 61.0)], since=0)
    assert mine.memory.last_start_at == 61.0
    assert unfinished == {"slow": {Instance("slow", "pi-1", 1): 61.0}}


def test_what_belongs_to_no_service_of_the_inventory_is_left_alone() -> None:
    entries = [Entry("memory", "gone", 1.0, {}), Entry("override", "gone", 1.0, {})]
    foreign = Entry("step", "gone", 2.0, {"name": "placed", "at": 2.0, "instance": "gone@pi-1.1"})
    assert take_over({"slow": state()}, devices(), entries, [foreign], since=0) == {}


def test_a_memory_that_cannot_be_read_costs_the_memory_and_not_the_master(caplog: pytest.LogCaptureFixture) -> None:
    mine = state()
    with caplog.at_level(logging.WARNING):
        take_over({"slow": mine}, devices(), [Entry("memory", "slow", 1.0, {"startups": 3})], [], since=0)
    assert mine.memory == Memory()
    assert "slow: begins without the last master's memory" in caplog.text


def test_an_order_makes_the_next_decision_due_and_an_older_one_does_not_undo_it() -> None:
    mine = state()
    mine.next_at = 1_000.0
    give_order(mine, order(20.0))
    assert mine.next_at == 0.0
    give_order(mine, order(10.0, "none"))
    assert mine.override is not None
    assert mine.override.kind == "pause"


def test_an_order_that_cannot_be_read_is_named_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    mine = state()
    with caplog.at_level(logging.WARNING):
        give_order(mine, Entry("override", "slow", 1.0, {"kind": "destroy"}))
    assert mine.override is None
    assert "destroy" in caplog.text


@pytest.mark.parametrize(
    ("kinds", "sinces"),
    [
        (["idle", "idle", "idle"], [1.0, 1.0, 1.0]),
        (["idle", "spike", "idle"], [1.0, 2.0, 3.0]),
        (["idle", "scale-out", "idle"], [1.0, None, 3.0]),
    ],
)
def test_alike_decisions_form_a_row_until_something_else_is_decided(
    kinds: list[Kind], sinces: list[float | None]
) -> None:
    mine = state()
    found = [
        mine.row_of(Decision("slow", at, 1, 2 if kind == "scale-out" else 1, kind, "because"))
        for at, kind in enumerate(kinds, start=1)
    ]
    assert found == sinces


def test_a_device_in_quarantine_stays_there_when_the_master_changes() -> None:
    """Lost otherwise: the next master would begin with the device on which the last one failed."""
    found = devices()
    until = time.time() + 60
    failed = step("quarantined", 5.0, until=until, failures=2, reason="no space left on device")
    take_over({"slow": state()}, found, [], [failed], since=0)
    placement = found.place(state().service, 2, (), {})
    assert [instance.device for instance in placement.chosen] == ["pi-2"]
    take_over({"slow": state()}, found, [], [failed, step("proved", 6.0)], since=0)
    assert len(found.place(state().service, 2, (), {}).chosen) == 2


def test_who_runs_in_whose_place_is_known_to_the_next_master() -> None:
    """Lost otherwise: the surplus when the device comes back."""
    mine = state()
    replaced = step("replaced", 5.0, by="slow@pi-2.1")
    take_over({"slow": mine}, devices(), [], [replaced], since=0)
    assert mine.care.stand_ins == {Instance("slow", "pi-1", 1): Instance("slow", "pi-2", 1)}
    take_over({"slow": mine}, devices(), [], [replaced, step("surplus", 6.0)], since=0)
    assert mine.care.stand_ins == {}


@pytest.mark.parametrize(("due", "now", "then"), [(100.0, 100.9, 160.0), (100.0, 100.0, 160.0), (0.0, 500.0, 560.0)])
def test_late_ticks_do_not_make_the_beat_of_decisions_slower(due: float, now: float, then: float) -> None:
    mine = state()
    mine.rule = rule_for(mine.service.model_copy(update={"policy": RatioSettings(refresh_s=60)}), Settings())
    mine.next_at = due
    assert mine.beat_after(now) == then
