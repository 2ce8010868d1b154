"""Whatever order counts arrive in, the window agrees with a plain dictionary."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.window import Signal, Window

LENGTH = 20
SIGNALS = [Signal("k", name) for name in "abcdefghijkl"]
adds = st.lists(
    st.tuples(st.sampled_from(SIGNALS), st.integers(1000, 1100), st.floats(0, 1000)), min_size=1, max_size=200
)


@given(adds)
def test_window_agrees_with_a_dictionary(counted: list[tuple[Signal, int, float]]) -> None:
    """Lost otherwise: counts in the wrong second, or of another service."""
    window, expected, newest = Window(LENGTH), {}, None
    for signal, second, amount in counted:
        accepted = window.add(signal, second, amount)
        newest = second if newest is None else max(newest, second)
        assert accepted == (second > newest - LENGTH)
        if accepted:
            expected[signal, second] = expected.get((signal, second), 0.0) + amount
    assert newest is not None
    frame = window.frame(newest + 1)
    for signal in {signal for signal, _ in expected}:
        for second in range(newest - LENGTH + 1, newest + 1):
            known = expected.get((signal, second))
            value = frame.at[second, signal]
            assert math.isnan(value) if known is None else value == pytest.approx(known)


@given(st.floats(1000, 2000), st.floats(0.01, LENGTH - 1), st.floats(0, 1e6))
def test_spreading_loses_no_message(start: float, length: float, amount: float) -> None:
    """Lost otherwise: part of every report."""
    window = Window(LENGTH)
    window.spread(SIGNALS[0], start, start + length, amount)
    total = window.frame(math.ceil(start + length))[SIGNALS[0]].sum()
    assert total == pytest.approx(amount, rel=1e-6, abs=1e-6)
