"""What holds for policy capacity whatever the traffic."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core import policy
from orchestrator.core.decision import Decision
from orchestrator.core.estimate import Estimate
from orchestrator.core.features import Features, Level
from orchestrator.core.fleet import Observed, ServiceFleet
from orchestrator.core.growth import even
from orchestrator.core.instance import Instance
from orchestrator.core.memory import Finding, Memory, Trial
from orchestrator.core.policy_settings import CapacitySettings
from orchestrator.core.service import Service
from orchestrator.core.traffic import Traffic
from tests.fluid import Fluid

NOW = 1_000_000.0
RULE = CapacitySettings()
NONE = Level(None, None, None, None, None, 0)
#: Remembers that one instance was enough for long, so that nothing but the traffic forbids to shrink.
CALM = Memory(
    capacities={"unknown": Estimate.of((100.0,), 1, NOW)}, known_since=NOW - 900, known_at=NOW - 5, wanted=((NOW, 0),)
)

rates = st.floats(0, 1e6)
maybe = st.one_of(st.none(), rates)
moments = st.one_of(st.none(), st.floats(NOW - 1000, NOW))
estimates = st.lists(st.floats(0.1, 1e5), min_size=1, max_size=8).map(
    lambda samples: Estimate.of(tuple(samples), len(samples), NOW - 60)
)
trials = st.builds(
    Trial, at=st.floats(NOW - 500, NOW), current=st.integers(0, 9), desired=st.integers(1, 10), output_per_s=rates,
    expected_per_s=rates, arrival_per_s=rates, partitions=st.one_of(st.none(), st.integers(1, 9)),
    known=st.lists(st.sampled_from(["s@d0.1", "s@d1.1"]), unique=True).map(tuple), reached_at=moments,
)  # fmt: skip
findings = st.builds(
    Finding, kind=st.sampled_from(["no-effect", "slow-device"]), words=st.text(), at=st.floats(NOW - 900, NOW),
    instances=st.integers(0, 9), arrival_per_s=rates, partitions=st.none(), device=st.one_of(st.none(), st.just("d0")),
)  # fmt: skip
memories = st.builds(
    Memory, last_start_at=moments, last_seen_new_at=moments, last_stop_at=moments,
    startups=st.lists(st.floats(0, 600), max_size=5).map(tuple),
    capacities=st.dictionaries(st.sampled_from(["unknown", "pi-4"]), estimates), known_since=moments, known_at=moments,
    wanted=st.lists(st.tuples(st.floats(NOW - 400, NOW), st.integers(0, 12)), max_size=3).map(tuple),
    trial=st.one_of(st.none(), trials), finding=st.one_of(st.none(), findings),
)  # fmt: skip
services = st.builds(
    lambda least, extra, ordering, most: Service(
        name="s", source_topic="in", group_id="g", artifact="a", entrypoint="a:b", hosts="h", min_instances=least,
        max_instances=max(1, least + extra), ordering=ordering, max_partitions=most,
    ),
    st.integers(0, 3), st.integers(0, 9), st.sampled_from(["none", "key", "partition"]),
    st.one_of(st.none(), st.integers(1, 20)),
)  # fmt: skip


def features(
    arrival: float | None, lag: float | None, partitions: int | None = None, drain: float | None = 0.0
) -> Features:
    traffic = Traffic(*(arrival,) * 5, 0.0, arrival, arrival, lag, drain, lag, drain, "reports")
    waits = None if lag is None else int(lag)
    return Features("s", int(NOW), 5, NONE, NONE, "reports", waits, partitions, traffic)


def fleet(count: int | None) -> ServiceFleet:
    if count is None:
        return ServiceFleet(None)
    return ServiceFleet(tuple(Observed(Instance("s", f"d{n}", 1), 0.0, True, None) for n in range(count)))


def answer(service: Service, seen: Features, count: int | None, memory: Memory) -> Decision:
    return policy.decide(service, seen, fleet(count), memory, RULE, NOW)[0]


@given(services, maybe, maybe, st.one_of(st.none(), st.integers(-5000, 5000)), st.integers(0, 14), memories,
       st.one_of(st.none(), st.integers(1, 20)))  # fmt: skip
def test_limits_hold_for_all_traffic(
    service: Service, arrival: float | None, lag: float | None, drain: float | None, count: int, memory: Memory,
    partitions: int | None,
) -> None:  # fmt: skip
    """Lost otherwise: the user's limits on the one input nobody thought of, or an answer that is no JSON."""
    decision, after = policy.decide(service, features(arrival, lag, partitions, drain), fleet(count), memory, RULE, NOW)
    assert decision.reason
    assert decision.desired is not None
    if decision.direction == "up":
        assert decision.desired <= service.max_instances
        if decision.kind == "scale-out" and partitions is not None and service.ordering != "none":
            assert decision.desired <= partitions
    if decision.direction == "down":
        assert decision.desired >= service.min_instances
    if (arrival is None or lag is None) and service.min_instances <= count <= service.max_instances:
        assert decision.direction == "none"
    json.dumps(decision.as_dict(), allow_nan=False)
    assert Memory.from_dict(json.loads(json.dumps(after.as_dict(), allow_nan=False))) == replace(after, busy=None)


@given(services, memories, maybe, maybe)
def test_an_unknown_fleet_is_left_alone(
    service: Service, memory: Memory, arrival: float | None, lag: float | None
) -> None:
    """An error is never a zero: nothing is decided about instances that cannot be seen."""
    decision = answer(service, features(arrival, lag), None, memory)
    assert (decision.kind, decision.desired) == ("unknown", None)


@given(services, st.floats(0, 2000), st.floats(0, 2000), st.floats(0, 1e5), st.integers(0, 12),
       st.one_of(st.none(), st.integers(1, 20)))  # fmt: skip
def test_more_arrival_never_means_fewer_instances(
    service: Service, one: float, other: float, lag: float, count: int, partitions: int | None
) -> None:
    """Lost otherwise: a fleet that shrinks because the load grew."""
    # a backlog that keeps a fleet from shrinking may be none at a higher arrival: what is wanted is compared, not that
    fresh = replace(CALM, known_since=NOW, wanted=())
    low, high = (answer(service, features(a, lag, partitions), count, fresh) for a in sorted((one, other)))
    assert (low.desired or 0) <= (high.desired or 0)
    recommended = [decision.numbers.get("recommended") for decision in (low, high)]
    if None not in recommended:
        assert int(recommended[0] or 0) <= int(recommended[1] or 0)


@given(services, st.floats(0, 2000), st.floats(0, 1e5), st.floats(0, 1e5), st.integers(0, 12),
       st.one_of(st.none(), st.integers(1, 20)))  # fmt: skip
def test_more_lag_never_means_fewer_instances(
    service: Service, arrival: float, one: float, other: float, count: int, partitions: int | None
) -> None:
    """Lost otherwise: a fleet that shrinks because the backlog grew."""
    low, high = (answer(service, features(arrival, lag, partitions), count, CALM) for lag in sorted((one, other)))
    assert (low.desired or 0) <= (high.desired or 0)


@settings(max_examples=12)
@given(st.floats(1, 10), st.integers(100, 200), st.floats(0.1, 0.89), st.integers(1, 5), st.integers(0, 3))
def test_a_lone_spike_never_acts(height: float, when: int, share: float, count: int, seed: int) -> None:
    """Lost otherwise: partitions, which cannot be taken back, for one second of up to ten times the traffic."""
    noise, level = random.Random(seed), share * count * 100  # noqa: S311 - noise, not secrets
    world = Fluid(count=count)
    decisions = world.run(330, lambda n: level * (height if n == when else 1) * noise.uniform(0.98, 1.0))
    assert "up" not in {d.direction for d in decisions}


@settings(max_examples=8)
@given(st.floats(0.05, 0.4), st.floats(20, 700), st.integers(1, 9), st.integers(0, 3))
def test_a_noisy_plateau_settles(noise: float, level: float, count: int, seed: int) -> None:
    """Lost otherwise: instances that come and go for ever; once a size is found it is kept."""
    chance = random.Random(seed)  # noqa: S311 - noise, not secrets
    decisions = Fluid(count=count).run(1500, lambda _: max(0.0, chance.gauss(level, noise * level)))
    directions = [d.direction for d in decisions if d.direction != "none"]
    assert ("down", "up") not in set(pairwise(directions))
    assert len(directions) <= 3


@given(st.integers(1, 40), st.integers(1, 60), st.integers(1, 60))
def test_even_partitions_are_the_most_even_there_are(members: int, before: int, most: int) -> None:
    """Lost otherwise: one member with twice the work of another although the limit would have allowed better."""
    after = even(members, before, most)
    assert before <= after <= max(before, most)
    assert after >= min(members, most)

    def largest_share(partitions: int) -> float:
        return -(-partitions // members) / partitions

    if after >= members:
        assert all(largest_share(after) <= largest_share(p) for p in range(max(before, members), most + 1))
