"""Robust figures: what a spike does not move, and a lasting step moves at once."""

from __future__ import annotations

import math
import time

import pytest

from orchestrator.core.signals import ARRIVAL, COMMITTED, LAG, REPORTED, SENT
from orchestrator.core.traffic import Span, Traffic, read
from orchestrator.core.window import Signal, Window

SPAN = Span(10, 60, 2.0)
NAN = math.nan


def traffic(arrived: list[float], waiting: list[float] | None = None, **other: list[float]) -> Traffic:
    window = Window(300)
    columns = {
        Signal(ARRIVAL, "in"): arrived,
        Signal(LAG, "s"): waiting or [0.0] * len(arrived),
        Signal(REPORTED, "s"): other.get("reported", []),
        Signal(SENT, "out"): other.get("sent", []),
        Signal(COMMITTED, "s"): other.get("committed", []),
    }
    for signal, seconds in columns.items():
        for second, amount in enumerate(seconds, 1000 - len(seconds)):
            if not math.isnan(amount):
                window.add(signal, second, amount)
    [seen] = read(window, 1000, SPAN, [("s", "in", "out")])
    return seen


@pytest.mark.parametrize("width", [1, 2, 4])
def test_a_spike_does_not_move_the_arrival(width: int) -> None:
    """Lost otherwise: instances started for noise."""
    seen = traffic([100.0] * 100 + [1000.0] * width + [100.0] * 3)
    assert seen.arrival == 100
    assert seen.arrival_raw == 100 + 90 * width


def test_a_step_has_arrived_after_six_seconds() -> None:
    """Lost otherwise: a backlog that grows while the mean catches up."""
    assert traffic([100.0] * 95 + [400.0] * 5).arrival == 100
    seen = traffic([100.0] * 94 + [400.0] * 6)
    assert (seen.arrival, seen.arrival_newest) == (400, 400)


def test_usual_bursts_count_with_their_mean() -> None:
    """Lost otherwise: traffic that comes every fifth second has a median of zero."""
    assert traffic(([500.0] + [0.0] * 4) * 40).arrival == 100


def test_noise_lowers_what_the_arrival_is_at_least() -> None:
    """Lost otherwise: an action whenever noise touches the dead band."""
    seen = traffic([80.0, 80.0, 120.0, 120.0] * 40)
    assert seen.noise == pytest.approx(42, abs=1)
    assert seen.arrival_low is not None
    assert seen.arrival is not None
    assert seen.arrival_low < 0.9 * seen.arrival
    assert traffic([100.0] * 100).arrival_low == 100


def test_too_little_known_is_not_known() -> None:
    """An error is never a zero."""
    assert traffic([100.0] * 90 + [NAN] * 6 + [100.0] * 4).arrival is None
    assert traffic([100.0] * 90 + [NAN] * 4 + [100.0] * 6).arrival == 100
    assert traffic([100.0] * 60, [5.0] * 50 + [NAN] * 8 + [5.0] * 2).lag_least is None
    nothing = traffic([])
    assert (nothing.arrival, nothing.arrival_low, nothing.output, nothing.lag_drain) == (None,) * 4


def test_a_lag_is_what_has_lasted_and_how_fast_it_goes() -> None:
    """Lost otherwise: a backlog of one second, or one that is nearly gone, answered with instances."""
    seen = traffic([100.0] * 60, [0.0] * 55 + [900.0, 800.0, 700.0, 600.0, 500.0])
    assert seen.lag_least == 0
    draining = traffic([100.0] * 60, [1000.0 - 10 * n for n in range(60)])
    assert (draining.lag_least, draining.lag_drain) == (410, pytest.approx(10))


def test_output_comes_from_whoever_speaks() -> None:
    """Lost otherwise: unchanged FogVerse nodes, or consumers that report nothing at all."""
    every = {"reported": [1.0] * 60, "sent": [2.0] * 60, "committed": [3.0] * 60}
    assert traffic([1.0] * 60, **every).output_from == "reports"
    del every["reported"]
    assert (traffic([1.0] * 60, **every).output_from, traffic([1.0] * 60, **every).output) == ("throughput", 2)
    del every["sent"]
    assert (traffic([1.0] * 60, **every).output_from, traffic([1.0] * 60, **every).output) == ("offsets", 3)


def test_a_thousand_services_are_read_in_a_few_array_operations() -> None:
    """Lost otherwise: a tick that takes seconds; three times what it takes on a slow core is allowed here."""
    window, names = Window(300), [f"s{n}" for n in range(1000)]
    window.spread_all((Signal(ARRIVAL, name), 0.0, 300.0, 300.0) for name in names)
    began = time.process_time()
    found = read(window, 300, SPAN, [(name, name, None) for name in names])
    assert time.process_time() - began < 0.5
    assert {seen.arrival for seen in found} == {1.0}
