"""Policy capacity: the size in one decision, and nothing for a spike, noise or what is not known."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from orchestrator.core import policy
from orchestrator.core.decision import Decision
from orchestrator.core.device import Device
from orchestrator.core.estimate import Estimate
from orchestrator.core.features import Features, Level
from orchestrator.core.fleet import Observed, ServiceFleet
from orchestrator.core.instance import Instance
from orchestrator.core.memory import Finding, Memory
from orchestrator.core.policy_settings import CapacitySettings
from orchestrator.core.service import Service
from orchestrator.core.traffic import Traffic
from tests.fluid import START, Fluid

NOW = 1_000_000.0
SERVICE = Service(
    name="s", source_topic="in", group_id="g", artifact="a", entrypoint="a:b", hosts="fog", max_instances=10
)
KNOWN = Memory(capacities={"unknown": Estimate.of((100.0,) * 5, 5, NOW - 60)})
NONE = Level(None, None, None, None, None, 0)


def seen(arrival: float | None, lag: int | None = 0, partitions: int | None = None, drain: float = 0.0) -> Features:
    """Steady traffic; a lag that has lasted and shrinks by ``drain`` messages/s."""
    waits = None if lag is None else float(lag)
    traffic = Traffic(
        arrival, arrival, arrival, arrival, arrival, 0.0, arrival, arrival, waits, drain, waits, drain, "reports"
    )
    return Features("s", int(NOW), 5, NONE, NONE, "reports", lag, partitions, traffic)


def fleet(count: int, **change: object) -> ServiceFleet:
    instances = (Instance("s", f"d{n}", 1) for n in range(count))
    return ServiceFleet(tuple(Observed(i, 0.5, True, None) for i in instances), **change)  # type: ignore[arg-type]


def answer(features: Features, count: int, memory: Memory = KNOWN, **change: object) -> Decision:
    service = SERVICE.model_copy(update=change)
    rule = service.policy
    assert isinstance(rule, CapacitySettings)
    return policy.decide(service, features, fleet(count), memory, rule, NOW)[0]


@pytest.mark.parametrize(
    ("arrival", "lag", "count", "kind", "desired"),
    [
        (85.0, 0, 1, "keeping-up", 1),  # inside the dead band
        (95.0, 0, 1, "scale-out", 2),
        (400.0, 0, 1, "scale-out", 7),  # 400 / 0.7 + 400 * 20 / 120 = 638
        (400.0, 0, 6, "keeping-up", 6),
        (400.0, 12_000, 5, "draining", 5),  # 100 messages/s are left over: gone in 120 s
        (400.0, 24_000, 5, "scale-out", 9),  # 638 + 24000 / 120 = 838
        (4000.0, 0, 1, "scale-out", 10),
        (0.0, 0, 1, "idle", 1),
    ],
)
def test_the_size_is_reached_in_one_decision(arrival: float, lag: int, count: int, kind: str, desired: int) -> None:
    """Lost otherwise: a fleet that grows one by one while the backlog grows faster."""
    decision = answer(seen(arrival, lag, drain=100.0), count)
    assert (decision.kind, decision.desired) == (kind, desired)


def test_numbers_explain_the_size() -> None:
    """Lost otherwise: the answer to 'why so many?'."""
    decision = answer(seen(400.0, 1200, partitions=1), 1)
    numbers = decision.numbers
    assert numbers["needed_for_arrival_per_s"] == pytest.approx(400 / 0.7, abs=0.01)
    assert numbers["needed_for_lag_per_s"] == 10
    assert numbers["needed_for_startup_per_s"] == pytest.approx(400 * 20 / 120, abs=0.01)
    assert numbers["instance_per_s"] == 100
    assert numbers["partitions_planned"] == decision.desired
    assert numbers["next_look_at"] == NOW + 5
    assert "7 instances manage 700/s with 1 of 7 partitions each, grown from 1" in decision.reason


def test_the_maximum_caps_and_is_named() -> None:
    """Lost otherwise: the knowledge that a limit holds the fleet down."""
    assert answer(seen(4000.0), 1).capped_by == "max_instances 10"
    assert answer(seen(4000.0), 10).kind == "at-maximum"


def test_a_message_that_nobody_commits_is_no_backlog() -> None:
    """Lost otherwise: an instance more for a single message on an idle topic."""
    assert answer(seen(0.0, 1), 1).direction == "none"


@pytest.mark.parametrize(
    "features",
    [
        seen(None),
        seen(400.0, None),
        replace(seen(400.0, 5000), lag=None),
        Features("s", int(NOW), 5, NONE, NONE, "reports"),
    ],
    ids=["arrival", "lag", "lag now", "all"],
)
def test_what_is_not_known_changes_nothing(features: Features) -> None:
    """An error is never a zero: nothing may be started or stopped because a broker was away."""
    decision = answer(features, 3)
    assert (decision.kind, decision.desired) == ("unknown", 3)


def test_capacity_told_by_the_user_needs_no_learning() -> None:
    """Lost otherwise: the first overload is met by guessing although the inventory says it."""
    devices = {f"d{n}": Device(f"d{n}", "x", capacity=200.0) for n in range(4)}
    rule = CapacitySettings()
    decision, _ = policy.decide(SERVICE, seen(400.0), fleet(1, devices=devices), Memory(), rule, NOW)
    assert (decision.kind, decision.desired, decision.numbers["instance_per_s"]) == ("scale-out", 4, 200)


def test_an_unknown_capacity_grows_by_a_factor_and_says_so() -> None:
    """Lost otherwise: a service that is overloaded from its first second on stays so."""
    decision = answer(seen(400.0, 5000), 2, Memory())
    assert (decision.kind, decision.desired) == ("scale-out", 4)
    assert "not known yet" in decision.reason


def test_no_free_slot_is_a_limit_of_its_own() -> None:
    """Lost otherwise: a wish repeated every five seconds that no device can fulfil."""
    devices = {"d0": Device("d0", "x"), "d1": Device("d1", "y")}
    full = fleet(1, devices=devices, free={"d0": 0, "d1": 0})
    decision, _ = policy.decide(SERVICE, seen(400.0), full, KNOWN, CapacitySettings(), NOW)
    assert (decision.kind, decision.capped_by) == ("at-maximum", "1 slots")


@pytest.mark.parametrize(
    ("memory", "words"),
    [
        (replace(KNOWN, last_start_at=NOW - 10), "the last start was 10 s ago and 30 s must pass (20 s left)"),
        (replace(KNOWN, last_seen_new_at=NOW - 29), "first report was 29 s ago"),
    ],
)
def test_a_cooldown_forbids_acting_but_not_observing(memory: Memory, words: str) -> None:
    """Lost otherwise: a second start before the first could help, or a window with a hole in it."""
    rule = CapacitySettings()
    decision, after = policy.decide(SERVICE, seen(400.0), fleet(1), memory, rule, NOW)
    assert decision.kind == "cooldown"
    assert words in decision.reason
    assert after.known_at == NOW


def test_what_did_not_help_is_not_repeated_until_something_changes() -> None:
    """Lost otherwise: a fleet that grows to its maximum in front of a full database."""
    finding = Finding("shared-bottleneck", "all are busy", NOW - 100, 2, 400.0, None)
    held = replace(KNOWN, finding=finding)
    decision = answer(seen(400.0), 2, held)
    assert (decision.kind, decision.desired) == ("shared-bottleneck", 2)
    assert "not repeated for 500 s" in decision.reason
    assert answer(seen(600.0), 2, held).kind == "scale-out"  # arrival rose by half
    assert answer(seen(400.0), 3, held).kind == "scale-out"  # another instance came
    assert answer(seen(400.0), 2, replace(KNOWN, finding=replace(finding, at=NOW - 600))).kind == "scale-out"


def test_too_few_are_started_once_and_not_every_five_seconds() -> None:
    """Lost otherwise: Ansible running without pause while no device fits."""
    rule, service = CapacitySettings(), SERVICE.model_copy(update={"min_instances": 2})
    first, memory = policy.decide(service, seen(0.0), fleet(1), KNOWN, rule, NOW)
    second, memory = policy.decide(service, seen(0.0), fleet(1), memory, rule, NOW + 5)
    third, _ = policy.decide(service, seen(0.0), fleet(1), memory, rule, NOW + 31)
    assert [d.kind for d in (first, second, third)] == ["below-minimum", "cooldown", "below-minimum"]


def test_a_step_is_sized_in_one_decision_and_within_twelve_seconds() -> None:
    """Lost otherwise: a backlog that is larger than it had to be, and several rebalances."""
    decisions = Fluid().run(900, lambda n: 80.0 if n < 300 else 400.0)
    changes = [d for d in decisions if d.direction != "none"]
    assert [(d.current, d.desired) for d in changes] == [(1, 7)]
    assert changes[0].at - START - 300 <= 12


def test_a_spike_that_is_left_behind_does_not_act_later() -> None:
    """Lost otherwise: partitions, which cannot be taken back, for one second of noise."""
    decisions = Fluid().run(700, lambda n: 890.0 if n in (200, 450) else 89.0)
    assert {d.direction for d in decisions} == {"none"}
    assert "draining" in {d.kind for d in decisions}


def test_a_noisy_plateau_does_not_swing() -> None:
    """Lost otherwise: instances that come and go with the noise."""
    noise = random.Random(7)  # noqa: S311 - noise, not secrets
    decisions = Fluid(count=4).run(3600, lambda _: max(0.0, noise.gauss(250, 75)))
    assert {d.direction for d in decisions} == {"none"}


def test_bursts_that_are_usual_are_not_taken_for_spikes() -> None:
    """Lost otherwise: traffic that comes once in five seconds would count as none."""
    decisions = Fluid(count=2).run(600, lambda n: 1500.0 if n % 5 == 0 else 0.0)
    assert max(d.desired or 0 for d in decisions) >= 4


def test_nothing_is_stopped_before_the_highest_recommendation_of_the_window_is_low() -> None:
    """Lost otherwise: a fleet that follows every lull."""
    decisions = Fluid(count=4).run(1000, lambda n: 280.0 if n < 400 else 60.0)
    [down] = [d for d in decisions if d.direction == "down"]
    assert (down.current, down.desired) == (4, 1)
    assert down.at - START >= 700


def test_nothing_is_stopped_while_a_backlog_is_worked_off() -> None:
    """Lost otherwise: a scale-in that feeds the backlog which it waits for."""
    world = Fluid(count=4)
    world.run(400, lambda _: 60.0)
    world.count, world.lag = 4, 30_000.0
    during = world.run(60, lambda _: 60.0)
    assert world.lag > 0
    assert {d.direction for d in during} == {"none"}


def test_a_hole_in_what_is_known_starts_the_window_of_a_scale_in_anew() -> None:
    """Lost otherwise: instances stopped on five minutes of which four were not seen."""
    rule, memory = CapacitySettings(), KNOWN
    for n in range(70):
        at = NOW + 5 * n
        features = seen(60.0) if n < 50 or n > 58 else seen(None)
        decision, memory = policy.decide(SERVICE, features, fleet(4), memory, rule, at)
    assert decision.kind == "stabilising"
    assert memory.known_since == NOW + 5 * 59


def test_a_service_that_does_not_report_is_sized_by_its_commits() -> None:
    """Lost otherwise: unchanged FogVerse nodes that grow by guessing."""
    decisions = Fluid(reports=False).run(700, lambda n: 20.0 if n < 300 else 400.0)
    changes = [d for d in decisions if d.direction != "none"]
    assert [(d.current, d.desired) for d in changes] == [(1, 7)]
    assert changes[0].at - START - 300 <= 20


def test_a_memory_survives_a_restart() -> None:
    """Lost otherwise: everything that was learned, cooldowns and findings, with every restart."""
    world = Fluid(bottleneck=150.0)
    world.run(300, lambda n: 50.0 if n < 100 else 300.0)
    assert world.memory.finding is not None
    assert Memory.from_dict(world.memory.as_dict()) == replace(world.memory, busy=None)
    with pytest.raises(ValueError, match="not a policy's memory"):
        Memory.from_dict({"trial": {"at": 1}})


def test_the_seed_rule_is_still_there_by_its_name() -> None:
    """Lost otherwise: inventories that ask for policy ratio."""
    service = Service.model_validate({**SERVICE.model_dump(), "policy": {"name": "ratio", "threshold": 0.5}})
    assert service.policy.name == "ratio"
    assert math.isclose(service.policy.threshold or 0, 0.5)
