"""Who ails, and what is done about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.act.heal import Healed
from orchestrator.care import Care
from orchestrator.core.diagnosis import Diagnosis
from orchestrator.core.fleet import Observed, ServiceFleet
from orchestrator.core.health import Ailment, Complaint, Sight, Vital, due, follow
from orchestrator.core.instance import Instance
from orchestrator.core.requirements import HealSettings
from orchestrator.core.treatment import treat
from orchestrator.ssh.diagnosis import parse

ONE, TWO = Instance("analyzer", "pi-1", 1), Instance("analyzer", "pi-2", 1)
HEAL = HealSettings(notice_s=10.0, stuck_s=30.0, restart_limit=2, restart_within_s=100.0, replace_after_s=40.0)
WELL = Observed(ONE, 1.0, member=True, partitions=(0,))


def sight(at: float, seen: Observed | None = WELL, committed: int = 0, *, reporting: bool = True) -> Sight:
    fleet = ServiceFleet(() if seen is None else (seen,))
    return Sight(fleet, {0: 100}, {0: committed}, reporting, at)


def complaints(*sights: Sight) -> list[str]:
    """What ONE is found to suffer from after each sight, the seconds between them counted."""
    vitals: dict[Instance, Vital] = {}
    found: tuple[Ailment, ...] = ()
    last = None
    for now in sights:
        gap = 0.0 if last is None else now.at - last
        vitals, found = follow(vitals, [ONE], replace(now, gap_s=gap), HEAL)
        last = now.at
    return [ailment.complaint for ailment in found]


def every_second(until: int, **how: Any) -> list[Sight]:
    return [sight(float(at), **how) for at in range(1, until + 1)]


@pytest.mark.parametrize(
    ("seen", "complaint"),
    [
        (None, "gone"),
        (Observed(ONE, 1.0, member=False, partitions=None), "left"),
        (Observed(ONE, 60.0, member=True, partitions=(0,)), "silent"),
    ],
)
def test_an_instance_that_fails_is_noticed_after_its_time(seen: Observed | None, complaint: str) -> None:
    """Lost otherwise: a service that stands still while the master watches, or one that is disturbed at each hiccup."""
    before = [sight(0.0)]
    moving = [sight(float(at), seen, committed=at) for at in range(1, 20)]
    assert complaints(*before, *moving[:9]) == []
    assert complaints(*before, *moving[:10]) == [complaint]


def test_offsets_that_stand_still_while_messages_wait_are_noticed() -> None:
    """Lost otherwise: a member that owns partitions for ever and finishes nothing."""
    assert complaints(*every_second(30)) == []
    assert complaints(*every_second(31)) == ["stuck"]
    assert complaints(*every_second(29), sight(30.0, committed=1), sight(31.0, committed=1)) == []


def test_nothing_to_do_is_not_standing_still() -> None:
    """Lost otherwise: idle services restarted all night; a transaction's end marker is no message."""
    assert complaints(*every_second(60, committed=100)) == []
    assert complaints(*every_second(60, committed=99)) == []


def test_a_silent_observer_topic_is_no_illness_of_the_instances() -> None:
    """Lost otherwise: a fleet restarted because nobody's report got through."""
    quiet = Observed(ONE, 60.0, member=True, partitions=(0,))
    assert complaints(*(sight(float(at), quiet, committed=at, reporting=False) for at in range(40))) == []


def test_time_in_which_nothing_was_seen_counts_against_nobody() -> None:
    """Lost otherwise: a fleet restarted after every outage of the broker."""
    assert complaints(sight(0.0), sight(5.0, None), sight(300.0, None), sight(301.0, None)) == []


def test_a_fleet_that_works_is_looked_at_now_and_then_and_one_that_does_not_at_once() -> None:
    """Lost otherwise: a tick that ten thousand instances make too long, or a missing one that a decision replaces."""
    care = Care(expected={ONE})
    care.follow(sight(10.0), HEAL)
    assert not care.due({ONE}, 12.0)
    assert care.due({ONE}, 15.0)
    assert care.due(set(), 12.0)


def test_an_instance_is_not_diagnosed_all_the_time() -> None:
    """Lost otherwise: an SSH connection per second to a device in trouble."""
    ailment = Ailment(ONE, "gone", 0.0, "")
    assert due([ailment], {ONE: Vital(0, 0, looked_at=None)}, 10.0) is ailment
    assert due([ailment], {ONE: Vital(0, 0, looked_at=9.0)}, 10.0) is None


STOPPED = Diagnosis(True, active="inactive", sub="dead", enabled=True, exit_code=0)
RUNS = Diagnosis(True, active="active", sub="running", enabled=True)
LOOPS = Diagnosis(True, active="activating", sub="auto-restart", enabled=True, exit_code=1, restarts=9)
AWAY = Diagnosis(False, "no route to host")


@pytest.mark.parametrize(
    ("complaint", "found", "missing_s", "restarts", "action"),
    [
        ("gone", STOPPED, 10, 0, "restart"),
        ("gone", replace(STOPPED, active="failed", exit_code=2), 10, 0, "restart"),
        ("gone", STOPPED, 10, 2, "give-up"),
        ("gone", replace(STOPPED, active="failed", exit_code=3), 10, 2, "leave"),
        ("gone", replace(STOPPED, enabled=False), 10, 0, "dismiss"),
        ("gone", AWAY, 39, 0, "wait"),
        ("gone", AWAY, 40, 0, "replace"),
        ("stuck", AWAY, 400, 0, "wait"),
        ("gone", LOOPS, 39, 0, "wait"),
        ("gone", LOOPS, 40, 0, "give-up"),
        ("gone", replace(LOOPS, sub="start", restarts=0), 400, 0, "wait"),
        ("gone", replace(LOOPS, sub="start"), 40, 0, "give-up"),
        ("left", RUNS, 20, 0, "wait"),
        ("silent", RUNS, 40, 0, "restart"),
        ("stuck", RUNS, 0, 0, "restart"),
        ("stuck", replace(LOOPS, exit_code=6), 0, 0, "leave"),
        ("gone", replace(RUNS, active="deactivating"), 400, 0, "wait"),
        ("gone", Diagnosis(True), 400, 0, "wait"),
    ],
)
def test_what_is_done_follows_from_what_the_device_says(
    complaint: Complaint, found: Diagnosis, missing_s: float, restarts: int, action: str
) -> None:
    """Lost otherwise: an instance restarted for ever, replaced too early, or left to rot."""
    vital = Vital(1000 - missing_s, 0, restarts=(950.0,) * restarts)
    assert treat(Ailment(ONE, complaint, 0.0, ""), found, vital, HEAL, 1000.0).action == action


def test_old_restarts_are_forgiven() -> None:
    """Lost otherwise: an instance given up because of last week's outage."""
    vital = Vital(990.0, 0, restarts=(100.0,) * 9)
    assert treat(Ailment(ONE, "gone", 0.0, ""), STOPPED, vital, HEAL, 1000.0).action == "restart"


def test_a_device_says_how_its_unit_ended_and_why() -> None:
    """Lost otherwise: the reason, which stands in a journal on a board in the attic."""
    found = parse(
        "ActiveState=activating\nSubState=auto-restart\nExecMainCode=1\nExecMainStatus=6\nNRestarts=4\nEnabled=yes\n"
        "Journal=starting\nJournal=bad record in[0]@17: a=b\x1b[31m\n"
    )
    assert (found.active, found.exit_code, found.signal, found.restarts, found.enabled) == (
        "activating",
        6,
        None,
        4,
        True,
    )
    assert "its code fails on a message" in found.words
    assert found.words.endswith("bad record in[0]@17: a=b[31m")
    assert parse("ExecMainCode=2\nExecMainStatus=9\n").signal == 9
    assert parse("garbage\n") == Diagnosis(True)


def test_who_was_stopped_by_us_is_not_missed_and_who_was_not_holds_decisions_up_for_a_while() -> None:
    """Lost otherwise: a drained instance that is started again, or a second one started beside a healing one."""
    care = Care()
    care.notice([], [ONE, TWO])
    care.expect_gone([TWO])
    care.notice([ONE, TWO], [])
    assert care.expected == {ONE}
    care.follow(sight(1.0), HEAL)
    care.follow(sight(2.0, None), HEAL)
    assert "analyzer@pi-1.1" in care.missing
    for at in range(3, 80):
        care.follow(sight(float(at), None), HEAL)
    assert care.missing == ""


def test_an_instance_that_comes_back_after_it_was_replaced_is_noticed_once_it_has_stayed() -> None:
    """Lost otherwise: one instance too many for ever, or a replacement stopped for a device that blinks."""
    care = Care(expected={ONE})
    care.follow(sight(0.0, None), HEAL)
    care.take(Healed(ONE, "replace", 1.0, "", by=TWO))
    assert (care.expected, care.stand_ins) == (set(), {ONE: TWO})
    care.follow(sight(2.0), HEAL)
    assert care.back_home(11.0, HEAL) is None
    care.follow(sight(3.0, None), HEAL)
    care.follow(sight(4.0), HEAL)
    assert care.back_home(13.9, HEAL) is None
    assert care.back_home(14.0, HEAL) == ONE
    care.stand_ins.pop(ONE)  # as whoever settles it does
    assert care.back_home(15.0, HEAL) is None, "settled once, also when nothing has been followed since"


def test_each_restart_counts_towards_the_limit() -> None:
    """Lost otherwise: an instance that is restarted for ever."""
    care = Care(expected={ONE})
    care.follow(sight(0.0, None), HEAL)
    care.take(Healed(ONE, "restart", 12.0, ""))
    care.take(Healed(ONE, "restart", 24.0, ""))
    assert care.vitals[ONE].restarts == (12.0, 24.0)
    assert care.vitals[ONE].well_at == 24.0
