"""The sample from which a report's percentiles are taken."""

from __future__ import annotations

import pytest

from fogverse.sample import Sample


@pytest.mark.parametrize("at_once", [1, 7, 100])
def test_few_values_are_all_kept(at_once: int) -> None:
    """Else a quiet service's slowest message is missing in its report."""
    sample = Sample(100)
    for first in range(0, 99, at_once):
        sample.add(range(first, min(99, first + at_once)))
    assert sample.values == list(range(99))


@pytest.mark.parametrize("at_once", [1, 64, 3_000, 50_000])
def test_of_many_values_each_is_kept_with_the_same_chance(at_once: int) -> None:
    """Else the beginning or the end of a second decides what its report says."""
    sample = Sample(1_000)
    for first in range(0, 50_000, at_once):
        sample.add(range(first, min(50_000, first + at_once)))
    assert len(set(sample.values)) == 1_000
    for fifth in range(5):
        share = sum(fifth * 10_000 <= value < (fifth + 1) * 10_000 for value in sample.values)
        assert 140 < share < 260  # 200 and five deviations
