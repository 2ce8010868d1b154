"""Why it scaled or did not: what an operator is told."""

from __future__ import annotations

import pytest

from orchestrator.broker.ledger import Entry
from orchestrator.core.override import Override
from orchestrator.explanation import explain, figures, span


def decision(at: float, service: str = "slow", since: float | None = None, **numbers: object) -> Entry:
    body = {"kind": "idle", "current": 1, "desired": 1, "reason": "because", "numbers": numbers}
    return Entry("decision", service, at, body, since)


def step(at: float, name: str) -> Entry:
    return Entry("step", "slow", at, {"name": name, "at": at, "instance": "slow@pi-1.1", "detail": ""})


def test_the_last_decision_of_the_service_is_explained_with_its_next_look() -> None:
    history = [decision(1.0), decision(10.0, since=4.0, next_look_at=15.0), decision(11.0, "other")]
    found = explain("slow", history, {}, now=12.0)
    assert found is not None
    assert (found.age_s, found.alike_s, found.next_look_s, found.silent) == (2.0, 8.0, 3.0, False)


def test_a_service_without_a_decision_is_not_explained_by_anothers() -> None:
    assert explain("slow", [decision(1.0, "other")], {}, now=2.0) is None


def test_a_master_that_fell_silent_is_noticed() -> None:
    found = explain("slow", [decision(10.0, refresh_s=60)], {}, now=10.0 + 181)
    assert found is not None
    assert found.silent
    assert explain("slow", [decision(10.0, refresh_s=60)], {}, now=100.0).silent is False  # type: ignore[union-attr]


@pytest.mark.parametrize(("now", "shown"), [(50.0, True), (70.0, False)])
def test_an_order_is_told_as_long_as_it_holds(now: float, shown: bool) -> None:
    kept = {("override", "slow"): Entry("override", "slow", 1.0, Override("pause", "ann@pc", 1.0, 60.0).as_dict())}
    found = explain("slow", [decision(10.0)], kept, now)
    assert found is not None
    assert (found.order is not None) == shown


def test_only_the_steps_of_the_last_action_are_told() -> None:
    history = [step(1.0, "placed"), step(2.0, "proved"), step(3.0, "placed"), step(4.0, "failed"), decision(5.0)]
    found = explain("slow", history, {}, now=6.0)
    assert found is not None
    assert [s["name"] for s in found.steps] == ["placed", "failed"]


def test_numbers_have_units_and_what_is_not_known_is_said() -> None:
    numbers = {"arrival_per_s": 1234.5, "lag": None, "start_up_s": 4.0, "utilisation": 0.7, "next_look_at": 5.0}
    assert figures(numbers, seen=True) == ["arrival 1,234.5/s", "lag not known"]
    assert figures(numbers, seen=False) == ["start up 4 s", "utilisation 0.7"]


@pytest.mark.parametrize(
    ("seconds", "words"), [(5, "5 s"), (119, "119 s"), (120, "2 min"), (9000, "2 h"), (2e5, "2 d")]
)
def test_lengths_of_time_are_readable(seconds: float, words: str) -> None:
    assert span(seconds) == words
