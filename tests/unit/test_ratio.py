"""Policy ratio: the seed's rule and what was mended in it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from orchestrator.core.features import Features, read
from orchestrator.core.fleet import Observed, ServiceFleet
from orchestrator.core.instance import Instance
from orchestrator.core.memory import Memory
from orchestrator.core.ratio import RatioRule, decide, z_score
from orchestrator.core.service import Service
from orchestrator.core.signals import ARRIVAL, REPORTED
from orchestrator.core.window import Signal, Window

SERVICE = Service(
    name="analyzer",
    source_topic="analyze",
    target_topic="client",
    group_id="analyzer",
    artifact="a",
    entrypoint="a:b",
    hosts="fog",
    max_instances=3,
)
RULE = RatioRule(threshold=0.8, z_value=3, refresh_s=10, deploy_delay_s=60, heartbeat_delay_s=120)
NOW = 1_000_000


def fleet(count: int) -> ServiceFleet:
    return ServiceFleet(
        tuple(Observed(Instance("analyzer", f"pi-{n}", 1), 0.5, True, (n,)) for n in range(1, count + 1))
    )


def features(arrived: list[float], finished: list[float], partitions: int = 1) -> Features:
    """The features after these messages per second, the last second being the newest."""
    window = Window(300)
    start = NOW - len(arrived)
    for second, (came, went) in enumerate(zip(arrived, finished, strict=True), start):
        if not math.isnan(came):
            window.add(Signal(ARRIVAL, "analyze"), second, came)
        if not math.isnan(went):
            window.add(Signal(REPORTED, "analyzer"), second, went)
    seen = read(window, NOW, RULE.refresh_s, {"analyzer": ("analyze", "client")}, {}, {"analyzer": partitions})
    return seen["analyzer"]


def answer(
    arrived: list[float], finished: list[float], *, count: int = 1, memory: Memory | None = None, **change: object
):
    service = SERVICE.model_copy(update=change)
    return decide(service, features(arrived, finished), fleet(count), memory or Memory(), RULE, float(NOW))


def test_an_overload_that_lasts_starts_one_more() -> None:
    """Lost otherwise: the mission."""
    decision = answer([100.0] * 60, [50.0] * 60)
    assert (decision.kind, decision.current, decision.desired, decision.direction) == ("scale-out", 1, 2, "up")
    assert "50/s out of 100/s in = 0.50, below 0.8" in decision.reason


def test_perfectly_even_traffic_is_decided_upon() -> None:
    """The seed divided by a deviation of zero here and never deployed."""
    seen = features([100.0] * 60, [50.0] * 60)
    assert seen.arrival.deviation == 0
    assert z_score(seen.arrival) == 0


def test_a_lone_spike_starts_nothing_and_is_named() -> None:
    """Lost otherwise: partitions, which cannot be taken back, for five seconds of noise."""
    decision = answer([100.0] * 53 + [1500.0] * 5 + [100.0] * 2, [100.0] * 53 + [200.0] * 7)
    assert decision.kind == "spike"
    assert decision.direction == "none"
    assert "deviations above its usual 100/s" in decision.reason


def test_a_spike_across_two_intervals_is_still_a_spike() -> None:
    """Lost otherwise: the spike would hide in its own baseline when the interval's border cuts it."""
    decision = answer([100.0] * 44 + [1500.0] * 9 + [100.0] * 7, [100.0] * 44 + [200.0] * 16)
    assert decision.kind == "spike"


def test_a_step_passes_once_it_has_lasted_two_intervals() -> None:
    """The seed held a lasting step for as long as it was rare in the window."""
    first = answer([100.0] * 50 + [400.0] * 10, [100.0] * 50 + [200.0] * 10)
    assert first.kind == "spike"
    second = answer([100.0] * 40 + [400.0] * 20, [100.0] * 40 + [200.0] * 20)
    assert second.kind == "scale-out"


def test_zero_input_is_idleness() -> None:
    """The seed ended its worker for good here."""
    assert answer([0.0] * 60, [0.0] * 60).kind == "idle"


def test_keeping_up_changes_nothing() -> None:
    """Lost otherwise: a fleet that grows for nothing."""
    decision = answer([100.0] * 60, [99.0] * 60)
    assert (decision.kind, decision.desired) == ("keeping-up", 1)


@pytest.mark.parametrize(
    ("arrived", "finished"),
    [([math.nan] * 60, [50.0] * 60), ([100.0] * 60, [math.nan] * 60), ([100.0] * 54 + [math.nan] * 6, [50.0] * 60)],
    ids=["no input known", "no output known", "most of the interval missing"],
)
def test_missing_data_holds(arrived: list[float], finished: list[float]) -> None:
    """An error is never a zero: nothing may be started because a broker was away."""
    decision = answer(arrived, finished)
    assert decision.kind == "unknown"
    assert decision.direction == "none"


def test_too_little_history_holds() -> None:
    """Lost otherwise: a master that scales in its first seconds, on a spike it cannot recognise."""
    decision = answer([100.0] * 25, [50.0] * 25)
    assert decision.kind == "unknown"
    assert "only 5 s of input" in decision.reason


def test_an_unknown_fleet_holds() -> None:
    """Lost otherwise: instances started twice while the group cannot be read."""
    seen = features([100.0] * 60, [50.0] * 60)
    decision = decide(SERVICE, seen, ServiceFleet(None), Memory(), RULE, float(NOW))
    assert (decision.kind, decision.desired) == ("unknown", None)


@pytest.mark.parametrize(
    ("memory", "words"),
    [
        (Memory(last_start_at=NOW - 30), "the last start was 30 s ago and 60 s must pass (30 s left)"),
        (Memory(last_start_at=NOW - 100, last_seen_new_at=NOW - 90), "first report was 90 s ago and 120 s must pass"),
    ],
    ids=["after a start", "after a heartbeat"],
)
def test_cooldowns_forbid_acting_and_say_how_long(memory: Memory, words: str) -> None:
    """Lost otherwise: a second start before the first could help."""
    decision = answer([100.0] * 60, [50.0] * 60, memory=memory)
    assert decision.kind == "cooldown"
    assert words in decision.reason


def test_a_cooldown_ends() -> None:
    """Lost otherwise: a fleet that never grows again."""
    memory = Memory(last_start_at=NOW - 60, last_seen_new_at=NOW - 120)
    assert answer([100.0] * 60, [50.0] * 60, memory=memory).kind == "scale-out"


def test_the_maximum_caps_and_is_named() -> None:
    """Lost otherwise: the user's limit, or the knowledge that it is what holds the fleet down."""
    decision = answer([100.0] * 60, [50.0] * 60, count=3)
    assert (decision.kind, decision.desired, decision.capped_by) == ("at-maximum", 3, "max_instances 3")


def test_a_keyed_topic_is_not_grown_behind_the_users_back() -> None:
    """Lost otherwise: the order of every key that moves to another partition."""
    decision = answer([100.0] * 60, [50.0] * 60, ordering="key")
    assert decision.kind == "keyed"
    assert "more workers" in decision.reason


def test_too_few_instances_are_started_whatever_the_traffic() -> None:
    """Lost otherwise: a service that is never started at all."""
    decision = answer([math.nan] * 60, [math.nan] * 60, count=0)
    assert (decision.kind, decision.current, decision.desired) == ("below-minimum", 0, 1)


def test_nothing_is_decided_while_an_action_is_under_way() -> None:
    """Lost otherwise: two starts for one shortage."""
    decision = answer([100.0] * 60, [50.0] * 60, memory=Memory(busy="analyzer@pi-2.1 is being started"))
    assert (decision.kind, decision.direction) == ("busy", "none")


def test_numbers_travel_with_the_decision() -> None:
    """Lost otherwise: the answer to 'why?'."""
    numbers = answer([100.0] * 60, [50.0] * 60).numbers
    assert numbers["ratio"] == 0.5
    assert numbers["input_per_s"] == 100
    assert numbers["output_from"] == "reports"
    assert numbers["z_input"] == 0


def test_the_seeds_own_z_score_could_never_see_a_spike_with_its_defaults() -> None:
    """Why the baseline excludes the interval: documented in the module, proved here."""
    window = [100.0] * 240 + [1e6] * 60
    mean = sum(window) / 300
    deviation = math.sqrt(sum((x - mean) ** 2 for x in window) / 300)
    assert (1e6 - mean) / deviation == pytest.approx(2.0)


def test_a_wiggle_in_even_traffic_is_no_spike() -> None:
    """Lost otherwise: an overload held for ever because 101/s is far from a deviation of zero."""
    seen = features([100.0] * 50 + [104.0] * 10, [50.0] * 60)
    decision = decide(SERVICE, replace(seen), fleet(1), Memory(), RULE, float(NOW))
    assert decision.kind == "scale-out"
