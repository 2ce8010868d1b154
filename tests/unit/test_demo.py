"""The demo's verdict: it may only pass when everything that it claims is true."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lab.demo.report import DemoReport

GOOD = DemoReport(
    produced=100,
    processed=100,
    lost=0,
    duplicates=0,
    capacity_per_s=10,
    rates_per_s={},
    decisions=({"kind": "spike"}, {"kind": "scale-out"}),
    partitions_before=1,
    partitions_after=2,
    deployments_before_overload=0,
    second_instance="analyzer@pi-2.1",
    second_finished=40,
    time_to_scale_s={},
    recovered=True,
    lag_peak=50,
    lag_end=0,
    story_s=200,
)


def test_the_demo_passes_when_all_is_as_claimed() -> None:
    """Lost otherwise: a demo that can never pass."""
    assert GOOD.as_dict()["verdict"] == "passed"


@pytest.mark.parametrize(
    "change",
    [
        {"lost": 1},
        {"produced": 0},
        {"deployments_before_overload": 1},
        {"second_instance": None},
        {"second_finished": 0},
        {"partitions_after": 1},
        {"decisions": ({"kind": "scale-out"},)},
        {"recovered": False},
        {"lag_end": 5},
        {"lag_end": None},
    ],
    ids=str,
)
def test_each_broken_claim_fails_it(change: dict[str, Any]) -> None:
    """Lost otherwise: a demo that cannot fail."""
    report = replace(GOOD, **change).as_dict()
    assert report["verdict"] == "failed"
    assert len(report["failures"]) == 1
