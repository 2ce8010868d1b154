"""What operators are shown of a run: its phases, how far each device is, and how it ended there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.outcome import DRAINED, STARTED, UPGRADED, results
from orchestrator.core.phase import phase_of
from orchestrator.core.progress import Progress

INSTANCE = {"instance": "analyzer@pi-1.1", "active": "active", "changed": True}


@pytest.mark.parametrize(
    ("task", "words", "on_device"),
    [
        ("The service and its devices must be known", "checking", False),
        ("fogverse_consumer : Name the release that should run", "checking", False),
        ("Validating arguments against arg spec 'main'", "checking", False),
        ("fogverse_device : Look at the device", "checking", True),
        ("Collect the wheels that it needs on the controller, once per platform", "collecting wheels", False),
        ("Make room for the release", "pushing release", True),
        ("Push its wheels", "pushing release", True),
        ("Push the wheels", "pushing runtime", True),
        ("Install the release on the device", "installing", True),
        ("Write the environment", "configuring", True),
        ("Switch to the release", "switching release", True),
        ("Start the instances", "starting", True),
        ("Restart the instances that run something older", "starting", True),
        ("Wait until the instances are members of their group", "member", True),
        ("Drain the instances", "draining", True),
        ("Report", "judging", False),
        ("my_role : Water the plants", "Water the plants", False),
    ],
)
def test_a_phase_is_a_word_of_the_operator_and_an_unknown_task_its_own_name(
    task: str, words: str, *, on_device: bool
) -> None:
    """Lost otherwise: what is going on, in a language of roles and tasks."""
    phase = phase_of(task)
    assert (phase.words, phase.on_device) == (words, on_device)


def told(hosts: str, *events: tuple[float, dict[str, Any]], last: str = "") -> Progress:
    progress = Progress.of(hosts.split(), last)
    for at, event in events:
        progress = progress.take(event, at)
    return progress


def started(host: str, task: str) -> dict[str, Any]:
    return {"event": "started", "host": host, "task": task}


def ok(host: str, task: str, *, changed: bool = False) -> dict[str, Any]:
    return {"event": "ok", "host": host, "task": task, "changed": changed}


def test_the_seconds_of_a_device_begin_with_its_own_first_event_and_end_with_its_own_last() -> None:
    """Lost otherwise: the slow device among the fast ones."""
    progress = told(
        "pi-1 pi-2 pi-3",
        (10, started("pi-1", "Start the instances")),
        (12, started("pi-2", "Start the instances")),
        (13, ok("pi-1", "Start the instances")),
        (14, {"event": "report", "host": "pi-1", "values": {STARTED: [INSTANCE]}}),
        last=STARTED,
    )
    seconds = {name: host.seconds(20) for name, host in progress.hosts.items()}
    assert seconds == {"pi-1": 4, "pi-2": 8, "pi-3": 0}
    phases = {name: host.phase(20) for name, host in progress.hosts.items()}
    assert phases == {"pi-1": "done", "pi-2": "connecting, starting", "pi-3": "waiting"}


def test_a_device_that_waits_for_others_does_not_look_as_if_it_were_slow() -> None:
    """Lost otherwise: which of them it is that hangs."""
    progress = told("pi-1", (1, started("pi-1", "Look at the device")), (2, ok("pi-1", "Look at the device")))
    assert progress.hosts["pi-1"].phase(2.5) == "checking"
    assert progress.hosts["pi-1"].phase(4) == "checking; waits for the others"
    busy = progress.take(started("pi-1", "Start the instances"), 5).hosts["pi-1"]
    assert busy.phase(50) == "starting", "it has answered: it is no longer being connected to"


def test_a_run_that_is_broken_off_says_of_each_device_how_far_it_was() -> None:
    """Lost otherwise: what is left running."""
    progress = told(
        "pi-1 pi-2 pi-3 pi-4",
        (1, started("pi-1", "Start the instances")),
        (1, started("pi-2", "Start the instances")),
        (1, started("pi-3", "Start the instances")),
        (2, ok("pi-1", "Start the instances")),
        (2, ok("pi-3", "Start the instances")),
        (3, {"event": "report", "host": "pi-1", "values": {STARTED: [INSTANCE]}}),
        last=STARTED,
    )
    found = results(progress, 5)
    assert [result.outcome for result in found] == ["started", "interrupted", "interrupted", "not-begun"]
    assert "in the middle of 'Start the instances'" in found[1].words
    assert "was done, and what comes after it was not" in found[2].words


@pytest.mark.parametrize(
    ("events", "outcome", "words"),
    [
        ([{"event": "report", "host": "pi-1", "values": {STARTED: [INSTANCE]}}], "started", "analyzer@pi-1.1 member"),
        (
            [{"event": "report", "host": "pi-1", "values": {STARTED: [{**INSTANCE, "active": "activating"}]}}],
            "started",
            "analyzer@pi-1.1 joining its group",
        ),
        (
            [{"event": "report", "host": "pi-1", "values": {STARTED: [{**INSTANCE, "changed": False}]}}],
            "unchanged",
            "analyzer@pi-1.1 member",
        ),
        (
            [{"event": "failed", "host": "pi-1", "task": "Fail with the reason", "reason": "exit code 3"}],
            "failed",
            "exit code 3",
        ),
        (
            [{"event": "report", "host": "pi-1", "values": {DRAINED: {"instances": [INSTANCE], "notes": []}}}],
            "drained",
            "analyzer@pi-1.1",
        ),
        (
            [
                {"event": "unreachable", "host": "pi-1", "task": "Drain the instances", "reason": "no route"},
                {"event": "report", "host": "pi-1", "values": {DRAINED: {"instances": [], "notes": ["drain it then"]}}},
            ],
            "unreachable",
            "no route; drain it then",
        ),
        (
            [{"event": "report", "host": "pi-1", "values": {UPGRADED: {
                "reachable": True, "from": "a1", "to": "b2", "outcome": "upgraded", "instances": [INSTANCE],
                "reason": "",
            }}}],
            "upgraded",
            "a1 -> b2; analyzer@pi-1.1 member",
        ),
        (
            [
                {"event": "failed", "host": "pi-1", "task": "Start the instances", "reason": "rc 1"},
                {"event": "report", "host": "pi-1", "values": {UPGRADED: {
                    "reachable": True, "from": "a1", "to": "b2", "outcome": "rolled-back", "instances": [INSTANCE],
                    "reason": "exit code 3",
                }}},
            ],
            "rolled-back",
            "exit code 3; a1 -> b2",
        ),
        (
            [
                {"event": "unreachable", "host": "pi-1", "task": "Look at what the device has", "reason": "no route"},
                {"event": "report", "host": "pi-1", "values": {UPGRADED: {
                    "reachable": False, "from": "", "to": "b2", "outcome": "unreachable", "instances": [],
                    "reason": "it keeps what it has",
                }}},
            ],
            "unreachable",
            "no route; it keeps what it has",
        ),
        (
            [
                {"event": "unreachable", "host": "pi-1", "task": "Drain, switch, start and prove", "reason": "broken"},
                {"event": "report", "host": "pi-1", "values": {UPGRADED: {
                    "reachable": False, "from": "a1", "to": "b2", "outcome": "unreachable", "instances": [],
                    "reason": "old or new",
                }}},
                {"event": "failed", "host": "pi-1", "task": "Fail with the reason", "reason": "old or new"},
            ],
            "unreachable",
            "old or new",
        ),
        ([ok("pi-1", "Push the wheels", changed=True)], "changed", "pushing runtime"),
        ([ok("pi-1", "Look at the device")], "unchanged", "all was there"),
    ],
)  # fmt: skip
def test_the_outcome_is_one_word_and_what_there_is_to_say(
    events: list[dict[str, Any]], outcome: str, words: str
) -> None:
    """Lost otherwise: whether it worked, in a wall of JSON."""
    progress = told("pi-1", *((1.0, event) for event in [started("pi-1", "x"), *events, {"event": "stats"}]))
    [result] = results(progress, 2)
    assert (result.outcome, result.words) == (outcome, words)
    assert result.well == (outcome in ("started", "unchanged", "drained", "upgraded", "changed"))


def test_a_dry_run_says_what_would_change() -> None:
    """Lost otherwise: a preview that reads as if it had been done."""
    changes = ok("pi-1", "Start the instances", changed=True)
    upgrades = {UPGRADED: {"reachable": True, "from": "a1", "to": "b2", "outcome": "upgraded", "instances": []}}
    progress = told(
        "pi-1 pi-2 pi-3",
        (1, changes),
        (1, ok("pi-2", "Look at the device")),
        (1, {"event": "report", "host": "pi-3", "values": upgrades}),
        (2, {"event": "stats"}),
    )
    assert [(r.outcome, r.words) for r in results(progress, 2, check=True)] == [
        ("would-change", "would change: starting"),
        ("unchanged", "nothing would change"),
        ("would-change", "would change: a1 -> b2"),
    ]


EVENTS = st.fixed_dictionaries(
    {
        "event": st.sampled_from(["started", "ok", "failed", "unreachable", "stats", "output", "play", "report"]),
        "host": st.sampled_from(["pi-1", "pi-2", "localhost", None]),
        "task": st.sampled_from(["Start the instances", "Report", "x"]),
        "values": st.sampled_from([{STARTED: [INSTANCE]}, {}]),
    }
)


@given(st.lists(EVENTS))
def test_no_order_of_events_loses_a_device_or_turns_a_failure_into_success(events: list[dict[str, Any]]) -> None:
    """Lost otherwise: a device that nobody hears of again."""
    progress = told("pi-1 pi-2", *((float(at), event) for at, event in enumerate(events)), last=STARTED)
    found = {result.host: result for result in results(progress, len(events))}
    assert set(found) == {"pi-1", "pi-2"}
    for name, result in found.items():
        ill = {e["event"] for e in events if e["host"] == name} & {"failed", "unreachable"}
        assert not (ill and result.well)
        assert 0 <= result.seconds <= len(events)
