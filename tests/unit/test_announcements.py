"""What nodes announce is told once, whatever they send."""

from __future__ import annotations

import logging

import pytest

from orchestrator.announcements import MOST_PAIRS, Announcements
from orchestrator.core.service import Service

SERVICE = Service(
    name="slow", source_topic="in", target_topic="out", group_id="g", artifact="a", entrypoint="m:f", hosts="fog"
)


def test_a_pair_that_no_service_has_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Lost otherwise: why a node of the seed is not scaled; or a log with a line for each of its messages."""
    caplog.set_level(logging.INFO)
    heard = Announcements([SERVICE])
    for _ in range(2):
        heard.hear([("in", "out"), ("in", "elsewhere")])
    assert [record.getMessage() for record in caplog.records] == [
        "a node announced the pair in -> elsewhere, which no service of the inventory has"
    ]


def test_a_sender_of_ever_new_pairs_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Lost otherwise: the master's disk and memory, to whoever may write to the observer topic."""
    caplog.set_level(logging.INFO)
    Announcements([SERVICE]).hear((f"t{number}", "out") for number in range(3 * MOST_PAIRS))
    assert len(caplog.records) == MOST_PAIRS
