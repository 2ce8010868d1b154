"""Orders of operators, and starts that a master left in the middle."""

from __future__ import annotations

import pytest

from orchestrator.broker.ledger import Entry, state_topic
from orchestrator.core.decision import Decision, Kind
from orchestrator.core.instance import Instance
from orchestrator.core.override import Override, overridden
from orchestrator.core.service import Service
from orchestrator.core.unfinished import unfinished_starts

SERVICE = Service(
    name="slow",
    source_topic="in",
    group_id="slow",
    artifact="a",
    entrypoint="m:f",
    hosts="fog",
    min_instances=1,
    max_instances=4,
)
NOW = 1_000.0


def decision(current: int | None = 2, desired: int | None = 3, kind: Kind = "scale-out") -> Decision:
    return Decision("slow", NOW, current, desired, kind, "0.5 is below 0.8", {"ratio": 0.5})


def test_a_pause_keeps_the_fleet_and_still_says_what_the_policy_would_do() -> None:
    paused = overridden(decision(), Override("pause", "ann@pc", 900, 1_060), SERVICE, NOW)
    assert (paused.desired, paused.direction, paused.kind) == (2, "none", "paused")
    assert "ann@pc" in paused.reason
    assert "60 s left" in paused.reason
    assert "0.5 is below 0.8" in paused.reason
    assert paused.numbers["policy_desired"] == 3


@pytest.mark.parametrize(("ordered", "desired"), [(1, 1), (4, 4), (2, 2), (9, 4), (0, 1)])
def test_an_ordered_number_holds_within_the_limits_of_the_service(ordered: int, desired: int) -> None:
    held = overridden(decision(), Override("scale", "ann@pc", 900, 1_060, ordered), SERVICE, NOW)
    assert (held.desired, held.kind) == (desired, "override")
    assert (held.capped_by is None) == (ordered == desired)


def test_an_order_ends_by_itself_and_can_be_taken_back() -> None:
    policys = decision()
    assert overridden(policys, Override("pause", "ann@pc", 900, NOW), SERVICE, NOW) is policys
    assert overridden(policys, Override("none", "ann@pc", 900, 2_000), SERVICE, NOW) is policys
    assert overridden(policys, None, SERVICE, NOW) is policys


@pytest.mark.parametrize("held", [decision(None, None, "unknown"), decision(kind="busy", desired=2)])
def test_an_order_starts_nothing_blindly_and_nothing_twice(held: Decision) -> None:
    assert overridden(held, Override("scale", "ann@pc", 900, 2_000, 4), SERVICE, NOW) is held


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"kind": "scale", "by": "x", "at": 1, "until": 2},
        {"kind": "pause", "by": "x", "at": 1, "until": 2, "instances": 3},
        {"kind": "stop", "by": "x", "at": 1, "until": 2},
        {"kind": "pause", "by": "x", "at": 1, "until": "soon"},
    ],
)
def test_rubbish_in_the_ledger_is_no_order(body: dict[str, object]) -> None:
    assert Override.from_dict(body) is None


def test_an_order_survives_the_ledger() -> None:
    order = Override("scale", "ann@pc", 900.5, 1_060.25, 3)
    entry = Entry.decode(Entry("override", "slow", 900.5, order.as_dict()).encode())
    assert entry is not None
    assert Override.from_dict(entry.body) == order


def test_the_state_keeps_the_last_per_service_and_the_history_every_decision() -> None:
    first, second = Entry("memory", "slow", 1.0), Entry("memory", "slow", 2.0)
    assert first.key == second.key
    assert first.topics("ledger") == (state_topic("ledger"),)
    assert set(Entry("override", "slow", 1.0).topics("ledger")) == {state_topic("ledger"), "ledger"}
    assert Entry("decision", "slow", 1.0).key != Entry("decision", "slow", 2.0).key


def test_a_row_of_alike_decisions_leaves_one_record_so_that_a_week_of_them_does_not_fill_the_broker() -> None:
    row = [Entry("decision", "slow", at, since=1.0) for at in (1.0, 2.0, 3.0)]
    assert len({entry.key for entry in row}) == 1
    assert Entry.decode(row[-1].encode()) == row[-1]


def step(name: str, instance: str, at: float = 50.0) -> dict[str, object]:
    return {"name": name, "service": "slow", "at": at, "instance": instance}


def test_a_start_that_nobody_ended_is_found_and_no_other() -> None:
    steps = [
        step("placed", "slow@pi-1.1"),
        step("proved", "slow@pi-1.1"),
        step("placed", "slow@pi-2.1"),
        step("failed", "slow@pi-2.1"),
        step("compensated", "slow@pi-2.1"),
        step("placed", "slow@pi-3.1", 60.0),
        step("process-alive", "slow@pi-3.1"),
        {"name": "partitions-grown", "service": "slow", "at": 61.0, "instance": None},
    ]
    assert unfinished_starts(steps, since=0) == {Instance("slow", "pi-3", 1): 60.0}


def test_a_start_of_long_ago_is_not_taken_up_again() -> None:
    assert unfinished_starts([step("placed", "slow@pi-3.1", 60.0)], since=61.0) == {}


def test_an_instance_that_failed_and_was_placed_again_is_unfinished_again() -> None:
    steps = [step("placed", "slow@pi-3.1"), step("failed", "slow@pi-3.1"), step("placed", "slow@pi-3.1", 70.0)]
    assert unfinished_starts(steps, since=0) == {Instance("slow", "pi-3", 1): 70.0}
