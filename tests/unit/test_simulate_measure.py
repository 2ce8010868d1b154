"""Measures and the demand that they compare with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from orchestrator.simulate import fleet
from orchestrator.simulate.demand import demand, lasting
from orchestrator.simulate.measure import measure
from orchestrator.simulate.run import simulate
from orchestrator.simulate.trace import Event, Trace
from orchestrator.simulate.traffic import Traffic


def trace(members: list[int], rates: list[float], changes: tuple[int, ...] = ()) -> Trace:
    scenario = fleet.scenario("test", Traffic(np.array(rates), changes=changes), instances=1)
    zeros = np.zeros(len(rates))
    supply = np.array(members, dtype=float)
    return Trace(
        scenario, "test", np.array(rates), zeros, zeros, zeros, supply, supply, zeros + 12, zeros, (), {}, 0
    )  # fmt: skip


def test_elasticity_is_computed_as_its_source_says() -> None:
    """Lost otherwise: that the figures can be compared with other people's."""
    rates = [150.0] * 100  # two instances are needed all the time
    found = measure(trace([1] * 50 + [4] * 50, rates))
    assert found.accuracy_under == pytest.approx(100 * 0.5 * (1 / 2))
    assert found.accuracy_over == pytest.approx(100 * 0.5 * (2 / 2))
    assert (found.timeshare_under, found.timeshare_over) == (50, 50)
    assert found.jitter == pytest.approx(100 / 99)
    assert found.instance_s == 250


def test_a_lone_second_needs_no_instance_and_a_step_does_at_once() -> None:
    """Lost otherwise: a measure that punishes patience with spikes, or slowness at steps not at all."""
    rates = np.array([60.0] * 100 + [600.0] + [60.0] * 99 + [240.0] * 100)
    needed = demand(fleet.scenario("test", Traffic(rates)))
    assert set(needed[:199]) == {1}
    assert needed[200] == 3
    assert lasting(rates)[199] == 60


def test_demand_knows_that_partitions_cannot_be_divided() -> None:
    """Lost otherwise: policies blamed for instances that twelve partitions make necessary."""
    rates = np.full(100, 480.0)
    assert set(demand(fleet.scenario("test", Traffic(rates)))) == {6}, "5 instances own 3, 3, 2, 2, 2: 120/s in one"
    assert set(demand(fleet.scenario("test", Traffic(rates), partitions=5))) == {5}


def test_decisions_to_size_are_counted_per_change_of_load() -> None:
    """Lost otherwise: the claim that the size is reached in one decision."""
    rates = [60.0] * 100 + [240.0] * 100
    base = trace([1] * 120 + [2] * 20 + [3] * 60, rates, changes=(100,))
    ups = (Event(110, 1, 2, "x", ""), Event(130, 2, 3, "x", ""))
    assert measure(replace(base, events=ups)).first_size == 2
    assert measure(replace(base, events=ups[:1])).first_size is None
    assert measure(trace([3] * 200, rates, changes=(100,))).first_size == 0


def test_the_oracle_is_never_late_and_spends_less_than_the_peak() -> None:
    """Lost otherwise: the yardstick for everybody else."""
    rates = np.array([60.0] * 400 + [480.0] * 600 + [60.0] * 600)
    scenario = fleet.scenario("test", Traffic(rates, changes=(400, 1000)))
    oracle, peak = simulate(scenario, "oracle"), simulate(scenario, "static-peak")
    assert measure(oracle).late_s == 0
    assert measure(oracle).accuracy_under == 0
    assert oracle.held.sum() < peak.held.sum() / 1.5
    assert len(oracle.events) == 2
