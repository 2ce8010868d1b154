"""The queueing model: what a simulation's figures rest on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from orchestrator.core.instance import Instance
from orchestrator.simulate import fleet
from orchestrator.simulate.assignment import assign
from orchestrator.simulate.plant import Plant
from orchestrator.simulate.scenario import Delays, Failure, Scenario
from orchestrator.simulate.trace import delays
from orchestrator.simulate.traffic import Spread, Traffic

EXACT = Delays(startup_s=10, startup_spread=0, rebalance_s=3, drain_s=4, session_s=10, commit_s=0.5, metadata_s=1)


def world(rate: float, seconds: int = 60, partitions: int = 4, instances: int = 1, spread: Spread = "even") -> Scenario:
    traffic = Traffic(np.full(seconds, rate), spread=spread)
    return fleet.scenario("test", traffic, partitions=partitions, instances=instances, delays=EXACT)


def run(plant: Plant, seconds: int) -> None:
    for _ in range(seconds):
        plant.step()


@pytest.mark.parametrize("spread", ["even", "hot", "keyed"])
def test_no_message_is_made_or_lost(spread: Spread) -> None:
    """Lost otherwise: every lag that a simulation shows."""
    plant = Plant(world(250.0, instances=2, spread=spread))
    run(plant, 20)
    plant.start(Instance("simulated", "pi-9", 1))
    run(plant, 20)
    plant.grow(6)
    run(plant, 20)
    assert plant.ends.sum() == pytest.approx(250 * 60)
    assert plant.finished.sum() == pytest.approx(sum(r.finished for r in plant.running.values()))
    assert (plant.lags >= -1e-9).all()


def test_an_instance_finishes_what_its_device_manages() -> None:
    """Lost otherwise: the one number that everything else is computed from."""
    plant = Plant(world(250.0, instances=2))
    run(plant, 30)
    assert plant.lags.sum() == pytest.approx(30 * 50)
    assert all(r.busy_s == pytest.approx(1.0) for r in plant.running.values())


def test_a_start_takes_its_time_and_stops_only_what_moves() -> None:
    """Lost otherwise: what being late costs, which is why anybody simulates."""
    plant = Plant(world(100.0))
    instance = Instance("simulated", "pi-2", 1)
    assert plant.start(instance) == 10
    run(plant, 10)
    assert instance not in plant.owners.values()
    run(plant, 1)
    moved = [p for p, owner in plant.owners.items() if owner == instance]
    assert len(moved) == 2
    served = plant.served[-1]
    assert served[moved].sum() == 0, "partitions that change hands stand still"
    assert served.sum() == pytest.approx(50), "the others go on"
    run(plant, 3)
    assert plant.served[-1][moved].sum() > 0


def test_backlog_stays_where_it_is_when_the_topic_grows() -> None:
    """Lost otherwise: the truth that a new instance cannot help with what already waits in another's partition."""
    plant = Plant(world(300.0, partitions=1))
    run(plant, 20)
    waiting = plant.lags[0]
    plant.grow(3)
    assert plant.lags.tolist() == [waiting, 0, 0]


def test_a_lost_device_blocks_its_partitions_until_its_session_ends() -> None:
    """Lost otherwise: the cost of a failure that no policy can avoid."""
    plant = Plant(replace(world(100.0, instances=2), failures=(Failure("pi-1", 20),)))
    run(plant, 30)
    dead = Instance("simulated", "pi-1", 1)
    blocked = [p for p, owner in plant.owners.items() if owner == dead]
    assert blocked
    assert plant.lags[blocked].sum() == pytest.approx(10 * 50)
    run(plant, 6)
    assert dead not in plant.owners.values()


@pytest.mark.parametrize(("partitions", "members"), [(4, 3), (12, 5), (3, 7), (1, 1)])
def test_partitions_are_dealt_out_evenly_and_few_move(partitions: int, members: int) -> None:
    """Lost otherwise: the unevenness that makes four instances no better than three."""
    names = [Instance("s", f"d{n}", 1) for n in range(members)]
    before = assign(partitions, names, {})
    counts = [list(before.values()).count(name) for name in names]
    assert len(before) == partitions
    assert max(counts) - min(counts) <= 1
    after = assign(partitions, names[1:], before)
    for partition, owner in before.items():
        if owner in names[1:] and members > 1:
            assert after[partition] == owner


def test_the_age_of_the_oldest_message_is_that_of_its_queue() -> None:
    """Lost otherwise: time over the latency objective."""
    came = [np.array([10.0, 1.0])] * 5
    went = [np.array([0.0, 1.0])] * 5
    assert delays(came, went, 0.0).tolist() == [1, 2, 3, 4, 5]
    assert delays(came, came, 0.0).tolist() == [0] * 5
