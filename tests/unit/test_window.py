"""The window of counts per second."""

from __future__ import annotations

import math

import pytest

from orchestrator.core.features import read
from orchestrator.core.signals import ARRIVAL, COMMITTED, REPORTED, SENT
from orchestrator.core.window import Signal, Window

A = Signal("arrival", "a")


def test_gaps_stay_unknown() -> None:
    """Lost otherwise: a broker that was away would look like no traffic."""
    window = Window(10)
    window.add(A, 100, 5)
    window.add(A, 103, 7)
    values = window.frame(104)[A].tolist()
    assert values[-4:] == [5.0, pytest.approx(math.nan, nan_ok=True), pytest.approx(math.nan, nan_ok=True), 7.0]


def test_counts_of_one_second_add_up() -> None:
    """Lost otherwise: all instances but one."""
    window = Window(10)
    window.add(A, 100, 5)
    window.add(A, 100, 6)
    assert window.frame(101)[A].iloc[-1] == 11


def test_a_span_is_spread_over_its_seconds() -> None:
    """Lost otherwise: half a second of every report counted in the wrong second."""
    window = Window(10)
    window.spread(A, 100.5, 102.5, 20)
    assert window.frame(103)[A].iloc[-3:].tolist() == [5.0, 10.0, 5.0]


def test_what_is_older_than_the_window_is_refused() -> None:
    """Lost otherwise: a late report would overwrite the newest seconds of the ring."""
    window = Window(10)
    window.add(A, 200, 1)
    assert not window.add(A, 190, 99)
    assert window.frame(201)[A].sum() == 1


def test_an_old_second_is_forgotten_when_the_ring_comes_round() -> None:
    """Lost otherwise: counts of a window ago reappearing as new."""
    window = Window(10)
    window.add(A, 100, 5)
    window.add(A, 1000, 1)
    assert window.frame(1001)[A].sum() == 1


def test_a_frame_ahead_of_the_data_is_unknown_there() -> None:
    """Lost otherwise: the rows of a window ago shown as the present after an outage."""
    window = Window(10)
    for second in range(100, 110):
        window.add(A, second, 1)
    frame = window.frame(115)
    assert frame[A].isna().tolist() == [False] * 5 + [True] * 5


def test_an_endless_span_is_bounded_by_the_window() -> None:
    """Lost otherwise: a hostile report with an interval of a day would stall the loop."""
    window = Window(10)
    window.spread(A, 0, 1_000_000, 1_000_000)
    assert window.frame(1_000_000)[A].sum() == pytest.approx(10)


def test_an_empty_span_is_an_error() -> None:
    """Lost otherwise: messages that vanish."""
    with pytest.raises(ValueError, match="empty"):
        Window(10).spread(A, 5, 5, 1)


def _output_from(*kinds: str) -> str:
    window = Window(60)
    for second in range(40):
        window.add(Signal(ARRIVAL, "in"), second, 10)
        for kind in kinds:
            window.add(Signal(kind, "out" if kind == SENT else "s"), second, 10)
    return read(window, 40, 10, {"s": ("in", "out")}, {}, {})["s"].output_from


def test_output_comes_from_whoever_speaks() -> None:
    """Lost otherwise: unchanged FogVerse nodes, or consumers that report nothing at all."""
    assert _output_from(REPORTED, SENT, COMMITTED) == "reports"
    assert _output_from(SENT, COMMITTED) == "throughput"
    assert _output_from(COMMITTED) == "offsets"


def test_the_seeds_silence_is_zero_after_its_first_word() -> None:
    """Lost otherwise: a seed node that reports every 5 s would look five times as fast as it is."""
    window = Window(60)
    for second in range(40):
        window.add(Signal(ARRIVAL, "in"), second, 10)
    for second in range(4, 40, 5):
        window.add(Signal(SENT, "out"), second, 50)
    seen = read(window, 40, 10, {"s": ("in", "out")}, {}, {})["s"]
    assert seen.output.rate == pytest.approx(10)
