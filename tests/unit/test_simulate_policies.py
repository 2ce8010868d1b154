"""Who decides in a simulation: the live loop's own code, and rivals by their published rules."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.simulate import fleet
from orchestrator.simulate.rivals.ds2 import Ds2
from orchestrator.simulate.rivals.flink import Flink
from orchestrator.simulate.rivals.keda import Keda
from orchestrator.simulate.rivals.seed import Seed
from orchestrator.simulate.rivals.seen import Rival, Seen
from orchestrator.simulate.run import simulate
from orchestrator.simulate.traffic import Traffic


def seen(at: int, replicas: int, arrived: float, served: float, lag: float, rate: float = 100.0) -> Seen:
    work = tuple((served / replicas, served / replicas / rate) for _ in range(replicas))
    return Seen(at, replicas, replicas, arrived, served, (lag, *[0.0] * 11), work, most=12, least=1)


def last(rival: Rival, seconds: int, replicas: int, arrived: float, served: float, lag: float = 0.0) -> int | None:
    """The last opinion after so many seconds alike."""
    opinions = [rival.decide(seen(at, replicas, arrived, served, lag)) for at in range(1, seconds + 1)]
    return next((opinion for opinion in reversed(opinions) if opinion is not None), None)


def test_keda_divides_the_lag_and_grows_by_four_or_twofold() -> None:
    """Lost otherwise: a comparison with what KEDA really does."""
    assert last(Keda(), 15, 1, 100, 100, lag=35) == 4
    assert last(Keda(), 15, 1, 100, 100, lag=90) == 5, "at most 4 more in 15 s"
    assert last(Keda(), 15, 5, 100, 100, lag=54) == 5, "within 10 %"
    assert last(Keda(), 15, 6, 100, 100, lag=100_000) == 12, "never more than partitions"
    keda = Keda()
    assert last(keda, 15, 5, 100, 100, lag=100) == 10
    assert keda.decide(seen(30, 10, 100, 100, 10)) == 10, "the highest of the last 300 s"
    assert keda.decide(seen(330, 10, 100, 100, 10)) == 1


def test_ds2_divides_arrival_by_the_true_rate_in_one_step() -> None:
    """Lost otherwise: a comparison with what DS2 really does."""
    assert last(Ds2(), 10, 1, 450, 100) == 5
    assert last(Ds2(), 10, 5, 80, 80) == 1
    assert last(Ds2(), 9, 1, 450, 100) is None


def test_flink_waits_for_a_full_window_and_then_sizes_for_seventy_percent() -> None:
    """Lost otherwise: a comparison with what the Flink operator really does."""
    assert last(Flink(), 19 * 60, 1, 300, 100) is None
    # 300/0.7 + 300 * 300/1800 = 479/s; 5 of 12 partitions' owners have 3, so 6 is the next that lowers the load
    assert last(Flink(), 20 * 60, 1, 300, 100) == 6
    assert last(Flink(), 80 * 60, 6, 60, 60) == 3, "down by at most 60 %, after an hour: 2.4, aligned to 3"


def test_the_seed_keeps_its_faults() -> None:
    """Lost otherwise: knowing what was mended."""
    assert last(Seed(), 600, 1, 200, 100) is None, "even traffic: a deviation of zero"
    uneven = Seed()
    opinions = [uneven.decide(seen(at, 1, 200 + at % 7, 100 + at % 3, 0)) for at in range(1, 301)]
    assert [opinion for opinion in opinions if opinion] == [2, 2, 2, 2], "one more, each minute after the first two"
    ended = Seed()
    assert last(ended, 60, 1, 0, 0) is None
    assert [o for at in range(61, 601) if (o := ended.decide(seen(at, 1, 200 + at % 7, 100, 0)))] == []


@pytest.mark.parametrize("policy", ["capacity", "ratio"])
def test_the_live_loop_decides_in_a_simulation(policy: str) -> None:
    """Lost otherwise: that what a simulation says is what a master would do."""
    rates = np.array([60.0] * 400 + [240.0] * 400)
    trace = simulate(fleet.scenario("test", Traffic(rates, changes=(400,)), partitions=1), policy)
    first = trace.events[0]
    assert first.at > 400
    assert first.kind == "scale-out"
    assert trace.members[-1] > 1
    assert trace.grown == trace.partitions[-1] - 1 > 0, "the topic grows with its group, by the loop's own rule"
    assert sum(trace.kinds.values()) > len(trace.events)


def test_the_same_seed_gives_the_same_run() -> None:
    """Lost otherwise: comparing two settings of one policy."""
    scenario = fleet.scenario("test", Traffic(np.array([60.0] * 100 + [300.0] * 200)))
    first, second = (simulate(scenario, "capacity") for _ in range(2))
    assert first.events == second.events
    assert (first.lag == second.lag).all()
