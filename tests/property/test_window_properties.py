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


spans = st.lists(
    st.tuples(st.sampled_from(SIGNALS), st.floats(1000, 1100), st.floats(0.01, 40), st.floats(0, 1e6)),
    min_size=1,
    max_size=50,
)


@given(spans)
def test_many_spans_at_once_count_the_same_as_one_by_one(drawn: list[tuple[Signal, float, float, float]]) -> None:
    """Lost otherwise: the fast way would count something else than the plain one."""
    drawn = sorted(
        ((signal, at, at + length, amount) for signal, at, length, amount in drawn), key=lambda span: span[2]
    )
    one_by_one, at_once = Window(LENGTH), Window(LENGTH)
    # the newest second is known beforehand, so that both ways drop the same old ones
    until = max(math.ceil(end) for _, _, end, _ in drawn)
    for window in (one_by_one, at_once):
        window.add(SIGNALS[0], until - 1, 0.0)
    for span in drawn:
        one_by_one.spread(*span)
    at_once.spread_all(drawn)
    first, second = one_by_one.frame(until), at_once.frame(until)
    for signal in first.columns:
        assert second[signal].fillna(-1).tolist() == pytest.approx(
            first[signal].fillna(-1).tolist(), rel=1e-6, abs=1e-6
        )
