"""Was it worth it? What more instances would not help with is named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.core import policy
from orchestrator.core.culprit import find
from orchestrator.core.decision import Decision
from orchestrator.core.device import Device
from orchestrator.core.efforts import Work
from orchestrator.core.estimate import Estimate
from orchestrator.core.features import Features, Level
from orchestrator.core.fleet import Observed, ServiceFleet
from orchestrator.core.instance import Instance
from orchestrator.core.memory import Memory, Trial
from orchestrator.core.partition import Partition, follow
from orchestrator.core.policy_settings import CapacitySettings
from orchestrator.core.service import Service
from orchestrator.core.traffic import Traffic

NOW = 1_000_000.0
RULE = CapacitySettings()
SERVICE = Service(
    name="s", source_topic="in", group_id="g", artifact="a", entrypoint="a:b", hosts="fog", max_instances=10
)
NONE = Level(None, None, None, None, None, 0)
DEVICES = {f"d{n}": Device(f"d{n}", "x", device_class="pi-4") for n in range(6)}
LEARNED = Memory(capacities={"pi-4": Estimate.of((100.0,) * 5, 5, NOW - 1)})


def seen(
    lags: dict[int, int], arrival: float = 150.0, output: float = 150.0, rates: dict[str, float] | None = None,
    still: dict[int, float] | None = None, stuck: tuple[str, ...] = (), drain: float = -1.0,
) -> Features:  # fmt: skip
    waits, since = float(sum(lags.values())), still or {}
    offsets = tuple(Partition(n, 5000 + lag, 5000, since.get(n, NOW) if lag else None) for n, lag in lags.items())
    work = {name: Work(rate, 1.0, 10) for name, rate in (rates or {}).items()}
    traffic = Traffic(*(arrival,) * 5, 0.0, output, output, waits, drain, waits, drain, "reports")
    return Features("s", int(NOW), 5, NONE, NONE, "reports", int(waits), len(lags), traffic, work, offsets, stuck)


def fleet(count: int) -> ServiceFleet:
    instances = (Instance("s", f"d{n}", 1) for n in range(count))
    observed = tuple(Observed(i, 0.5, True, (n,)) for n, i in enumerate(instances))
    return ServiceFleet(observed, devices=DEVICES)


def answer(features: Features, count: int = 2, memory: Memory = LEARNED) -> tuple[Decision, Memory]:
    return policy.decide(SERVICE, features, fleet(count), memory, RULE, NOW)


def test_a_hot_partition_is_named_instead_of_adding_consumers() -> None:
    """Lost otherwise: instances that can do nothing for the one partition that has the backlog."""
    decision, _ = answer(seen({0: 10, 1: 9000, 2: 5}), 3)
    assert (decision.kind, decision.desired) == ("hot-partition", 3)
    assert "in[1] has 9000 of 9015 waiting messages, and only its owner s@d1.1 can work on it" in decision.reason


def test_a_hot_partition_whose_owner_has_another_is_relieved() -> None:
    """Lost otherwise: the scale-out that takes the other partitions off its owner."""
    both = (Observed(Instance("s", "d0", 1), 0.5, True, (0, 1)), Observed(Instance("s", "d1", 1), 0.5, True, (2, 3)))
    crowded = ServiceFleet(both, devices=DEVICES)
    waiting = seen({0: 9000, 1: 0, 2: 0, 3: 0})
    assert find("in", waiting, crowded, RULE, NOW) == ()
    decision, _ = policy.decide(SERVICE, waiting, crowded, LEARNED, RULE, NOW)
    assert (decision.kind, decision.desired) == ("scale-out", 4)


def test_an_even_backlog_is_no_hot_partition() -> None:
    """Lost otherwise: the scale-out that would help."""
    decision, _ = answer(seen({0: 9000, 1: 9500}, arrival=190.0))
    assert decision.kind == "scale-out"


def test_a_stuck_record_is_named_with_its_partition_and_offset() -> None:
    """Lost otherwise: a poison record answered with ever more instances."""
    decision, _ = answer(seen({0: 0, 1: 9000}, still={1: NOW - 90}))
    assert (decision.kind, decision.direction) == ("stuck-record", "none")
    assert "in[1]@5000 is not got past: no commit on in[1] for 90 s while 9000 messages wait" in decision.reason


def test_a_record_that_a_report_names_is_believed_where_nothing_moves() -> None:
    """Lost otherwise: the only partition's poison record taken for a dead fleet."""
    alone = seen({0: 9000}, output=0.0, still={0: NOW - 90})
    assert find("in", alone, fleet(1), RULE, NOW) == ()
    [culprit] = find("in", replace(alone, stuck=("in[0]@5003",)), fleet(1), RULE, NOW)
    assert culprit.record == "in[0]@5003"


def test_a_new_owner_is_given_time() -> None:
    """Lost otherwise: every rebalance a poison record."""
    assert find("in", seen({0: 0, 1: 9000}, still={1: NOW - 20}), fleet(2), RULE, NOW)[0].kind == "hot-partition"


def trial(**change: object) -> Memory:
    """A scale-out from 2 to 4 that is due to be judged: 380/s were expected instead of 200/s."""
    opened = Trial(NOW - 100, 2, 4, 200.0, 380.0, 380.0, 2, ("s@d0.1", "s@d1.1"), reached_at=NOW - 40)
    return replace(LEARNED, trial=replace(opened, **change))  # type: ignore[arg-type]


LAGS = {0: 4000, 1: 4000, 2: 4000, 3: 4000}


def test_a_scale_out_that_helped_is_forgotten() -> None:
    """Lost otherwise: a finding against an instance that works."""
    _, memory = answer(seen(LAGS, 340.0, 370.0, drain=200.0), 4, trial())
    assert (memory.trial, memory.finding) == (None, None)


def test_nobody_is_blamed_when_nothing_is_missing() -> None:
    """Lost otherwise: a finding because the traffic went away."""
    _, memory = answer(seen({0: 0, 1: 0, 2: 0, 3: 0}, 100.0, 100.0), 4, trial())
    assert (memory.trial, memory.finding) == (None, None)


def test_a_shared_bottleneck_is_named_and_teaches_nothing() -> None:
    """Lost otherwise: a capacity that falls with every instance added, and a fleet sized for it."""
    rates = {f"s@d{n}.1": 50.0 for n in range(4)}
    decision, memory = answer(seen(LAGS, 380.0, 200.0, rates), 4, trial())
    assert decision.kind == "shared-bottleneck"
    assert "all 4 are busy, and each finishes 50/s where it was 100/s before" in decision.reason
    assert memory.capacities["pi-4"].rate == 100


def test_a_slow_device_is_named() -> None:
    """Lost otherwise: a throttled board that holds its partitions back."""
    rates = {"s@d0.1": 100.0, "s@d1.1": 100.0, "s@d2.1": 20.0, "s@d3.1": 30.0}
    decision, memory = answer(seen(LAGS, 380.0, 250.0, rates), 4, trial())
    assert decision.kind == "slow-device"
    assert memory.finding is not None
    assert memory.finding.device == "d2"
    assert decision.numbers["blamed_device"] == "d2"


def test_without_reports_it_is_still_said_that_it_did_not_help() -> None:
    """Lost otherwise: the effect check for services that do not report."""
    decision, _ = answer(seen(LAGS, 380.0, 210.0), 4, trial())
    assert decision.kind == "no-effect"
    assert "2 more instances raised the output by 10/s to 210/s, not by 180/s" in decision.reason


@pytest.mark.parametrize("reached_at", [None, NOW - 5])
def test_an_effect_is_judged_when_it_has_settled(reached_at: float | None) -> None:
    """Lost otherwise: an instance blamed in its first second."""
    _, memory = answer(seen(LAGS, 380.0, 210.0), 4, trial(reached_at=reached_at))
    assert memory.finding is None
    assert memory.trial is not None
    assert memory.trial.reached_at == (NOW if reached_at is None else reached_at)


def test_a_scale_out_of_which_nothing_came_is_dropped() -> None:
    """Lost otherwise: a service that is never scaled again because no device had room once."""
    _, memory = answer(seen({0: 0, 1: 0}, 100.0), 2, trial(reached_at=None, at=NOW - 40))
    assert memory.trial is None


def test_partitions_are_followed_over_time() -> None:
    """Lost otherwise: how long a partition has stood still."""
    first = follow({}, {0: 10, 1: 10}, {0: 10, 1: 4}, 100.0)
    second = follow(first, {0: 10, 1: 20}, {0: 10, 1: 4}, 130.0)
    third = follow(second, {0: 10, 1: 20}, {0: 10, 1: 5}, 140.0)
    assert [p[1].still_since for p in (first, second, third)] == [100.0, 100.0, 140.0]
    assert second[0].still_since is None
