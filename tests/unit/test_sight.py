"""What the shells read becomes counts: nothing is invented where nothing was read."""

from __future__ import annotations

import json

import pytest

from orchestrator.broker.book import ReportBook
from orchestrator.broker.ledger import Entry
from orchestrator.broker.look import Look
from orchestrator.core.fleet import Group
from orchestrator.core.instance import Instance
from orchestrator.core.service import Service
from orchestrator.core.signals import ARRIVAL, COMMITTED, REPORTED
from orchestrator.core.tally import Tally
from orchestrator.core.window import Signal, Window
from orchestrator.sight import count_offsets, count_reports

SERVICE = Service(name="s", source_topic="in", group_id="g", artifact="a", entrypoint="a:b", hosts="all")


REPORT = {
    "v": 1, "service": "s", "instance": "s@pi.1", "host": "pi", "source_topic": "in", "interval_s": 1.0,
    "consumed": 5, "emitted": 5,
}  # fmt: skip


def look(at: float, ends: dict[int, int] | None, committed: dict[int, int]) -> Look:
    return Look(
        at=at,
        ends={} if ends is None else {"in": ends},
        committed={"g": {("in", p): offset for p, offset in committed.items()}},
        groups={"g": Group("g", "Stable", ())},
    )


def test_arrivals_and_progress_are_differences_of_offsets() -> None:
    """Lost otherwise: rates that need the cooperation of producers."""
    window = Window(20)
    count_offsets(window, look(100, {0: 10}, {0: 5}), look(102, {0: 30, 1: 4}, {0: 25}), [SERVICE])
    frame = window.frame(102, 2)
    assert frame[Signal(ARRIVAL, "in")].tolist() == [12.0, 12.0]
    assert frame[Signal(COMMITTED, "s")].tolist() == [10.0, 10.0]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, look(102, {0: 30}, {})),
        (look(100, None, {}), look(102, {0: 30}, {})),
        (look(100, {0: 30}, {}), look(102, {0: 3}, {})),
    ],
    ids=["after a failed look", "new topic", "recreated topic"],
)
def test_where_nothing_is_known_nothing_is_counted(before: Look | None, after: Look) -> None:
    """Lost otherwise: a spike of a minute's traffic when the broker comes back."""
    window = Window(20)
    count_offsets(window, before, after, [SERVICE])
    frame = window.frame(102)
    assert Signal(ARRIVAL, "in") not in frame.columns


def test_strangers_fill_neither_the_window_nor_the_book() -> None:
    """Lost otherwise: the master's memory, to anyone who can write to the observer topic."""
    tally, window, book = Tally(), Window(20), ReportBook(["s"])
    for n in range(50):
        report = {**REPORT, "service": f"x{n}", "instance": f"x{n}@pi.1"}
        tally.add(json.dumps(report).encode(), 100.0)
        tally.add(json.dumps({"target_topic": f"t{n}", "total_messages": 1}).encode(), 100.0)
    tally.add(json.dumps(REPORT).encode(), 100.0)
    count_reports(window, tally, [SERVICE])
    book.enter(tally)
    assert list(window.frame(101).columns) == [Signal(REPORTED, "s")]
    assert book.ages("x1", 101.0) == {}
    assert book.ages("s", 101.0) == {"s@pi.1": 1.0}


def test_an_earlier_life_of_an_instance_proves_nothing() -> None:
    """Lost otherwise: a start declared a success by a report from before it."""
    tally, book, instance = Tally(), ReportBook(["s"]), Instance("s", "pi", 1)
    tally.add(json.dumps(REPORT).encode(), 100.0)
    book.enter(tally)
    assert book.progressed_at(instance) == 100.0
    book.forget(instance)
    assert book.progressed_at(instance) is None


def test_lag_counts_partitions_that_nobody_has_committed() -> None:
    """Lost otherwise: the backlog of a new partition."""
    seen = look(100, {0: 30, 1: 7}, {0: 25})
    assert seen.lag("g", "in") == 12
    assert seen.lag("g", "other") is None
    assert seen.lag("unread", "in") is None


def test_a_ledger_entry_survives_the_round_trip_and_rubbish_is_left_out() -> None:
    """Lost otherwise: cooldowns after a restart, or the restart itself to a foreign record."""
    entry = Entry("decision", "s", 12.5, {"kind": "idle"})
    assert Entry.decode(entry.encode()) == entry
    assert Entry.decode(b"rubbish") is None
    assert Entry.decode(b'{"kind": "x"}') is None
    assert Entry.decode(b"[1]") is None
