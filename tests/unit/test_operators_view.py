"""How a run looks while it goes on and when it is over, its log, and what is refused before anything begins."""

from __future__ import annotations

import io
import os
import signal
import threading
from pathlib import Path

import click
import pytest
from rich.console import Console

from orchestrator.act.runlog import RunLog, name_of, prune
from orchestrator.ansible.events import Events
from orchestrator.cli.conduct import _interruptible
from orchestrator.cli.context import Context
from orchestrator.cli.deployment import _hosts, _require_room, batches
from orchestrator.cli.progress_view import Lines, drawn, redraws
from orchestrator.cli.summary import Summary
from orchestrator.core.device import Device
from orchestrator.core.outcome import HostResult, Outcome
from orchestrator.core.progress import Progress
from orchestrator.core.service import Service
from orchestrator.inventory import Inventory
from orchestrator.inventory.kafka import KafkaSettings
from orchestrator.settings import Settings

SERVICE = Service(
    name="slow", source_topic="in", group_id="g", artifact="a", entrypoint="m:f", hosts="fog", max_instances=2
)
STARTING = {"event": "started", "host": "pi-1", "task": "Start the instances"}


class Moment:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        return self.at

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        return stop.wait(seconds)


def text(view: object, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(view)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def summary(*outcomes: Outcome, interrupted: bool = False, error: str | None = None, note: str = "") -> Summary:
    results = tuple(HostResult(f"pi-{n}", one, "why", 1.0, "Start") for n, one in enumerate(outcomes, 1))
    return Summary("deploy slow", results, 3.2, Path("x.log"), interrupted, error, note)


@pytest.mark.parametrize(
    ("of", "code"),
    [
        (summary("started", "unchanged"), 0),
        (summary("started", "unreachable"), 4),
        (summary("failed", "unreachable"), 1),
        (summary("rolled-back", "not-begun"), 1),
        (summary("started", error="not done within 180 s"), 1),
        (summary("started", "interrupted", interrupted=True), 130),
    ],
)
def test_the_exit_code_says_what_was_the_worst(of: Summary, code: int) -> None:
    """Lost otherwise: scripts that go on after a failure."""
    assert of.code == of.as_dict()["exit_code"] == code


def test_the_summary_has_a_line_per_device_and_names_the_log() -> None:
    """Lost otherwise: where to look next."""
    lines = text(summary("failed", "started", interrupted=True, note="a master runs").view()).splitlines()
    assert lines[0].split() == ["pi-2", "started", "1.0", "s", "why"]
    assert lines[1].split()[:2] == ["pi-1", "failed"]
    assert "why (task 'Start')" in lines[1]
    assert lines[2:] == [
        "deploy slow: interrupted: 1 failed, 1 started in 3.2 s",
        "the whole output: x.log",
        "what runs now: orchestrator device list",
        "note: a master runs",
    ]


def test_a_terminal_shows_who_is_under_way_first_and_counts_who_has_no_room() -> None:
    """Lost otherwise: the one that hangs, below the edge of the screen."""
    progress = Progress.of(["pi-1", "pi-2", "pi-3", "pi-4"])
    for host in ("pi-3", "pi-4"):
        progress = progress.take({**STARTING, "host": host}, 10)
    progress = progress.take({"event": "unreachable", "host": "pi-4", "task": "x", "reason": "\x1b[2J off"}, 11)
    shown = text(drawn(progress, 52, "deploy slow, at most 180 s", 2)).splitlines()
    assert [line.split() for line in shown] == [
        ["deploy", "slow,", "at", "most", "180", "s"],
        ["pi-3", "42", "s", "connecting,", "starting"],
        ["pi-4", "1", "s", "unreachable", "?[2J", "off"],
        ["and", "2", "waiting"],
    ]


def test_a_narrow_terminal_cuts_the_end_of_lines_and_never_a_name() -> None:
    """Lost otherwise: which board it is that failed, for a reason that takes the whole line."""
    progress = Progress.of(["kitchen", "roof"])
    for host in ("kitchen", "roof"):
        progress = progress.take({**STARTING, "host": host}, 10)
    progress = progress.take({"event": "failed", "host": "roof", "task": "x", "reason": "no " * 50}, 11)
    shown = text(drawn(progress, 52, "upgrade incident-analyzer, at most 900 s", 5), width=30).splitlines()
    assert shown == [
        "upgrade incident-analyzer, at…",
        "kitchen    42 s  connecting, …",
        "roof        1 s  failed      …",
    ]
    tiny = text(drawn(progress, 52, "upgrade", -1), width=30).splitlines()
    assert tiny == ["upgrade"], "a window of two lines has no room for more"


def test_only_a_terminal_that_can_erase_is_drawn_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost otherwise: progress on a serial console; or a log full of erasures, where colours are forced."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    assert not redraws(Console(file=io.StringIO()))
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    assert redraws(Console(file=terminal))
    monkeypatch.setenv("TERM", "dumb")
    assert not redraws(Console(file=terminal))


def test_lines_tell_changes_and_remind_of_what_takes_long() -> None:
    """Lost otherwise: a log of a nightly job that cannot be read, or is silent while it hangs."""
    said: list[str] = []
    clock = Moment()
    before = Progress.of(["pi-1"])
    lines = Lines(said.append, 180, before, clock, threading.Event())
    progress = before.take(STARTING, 0)
    lines.show(progress)
    clock.at = 5
    lines.show(progress)
    clock.at = 11
    lines.show(progress)
    clock.at = 12
    lines.show(progress.take({"event": "failed", "host": "pi-1", "task": "Start the instances", "reason": "boom"}, 12))
    assert [line.split(" ", 1)[1] for line in said] == [
        "pi-1: connecting, starting",
        "pi-1: still connecting, starting, 11 s; the deadline of all is 180 s",
        "pi-1: failed after 12.0 s: boom",
    ]


def test_the_log_is_its_owners_alone_and_holds_no_secret(tmp_path: Path) -> None:
    """Lost otherwise: the broker's password, in a file that is sent around."""
    log = RunLog(tmp_path / "runs" / "x.log", ["hunter22"])
    log.write("fatal: SASL said hunter22 is wrong")
    log.close()
    assert log.path.read_text() == "fatal: SASL said ******** is wrong\n"
    assert log.path.stat().st_mode & 0o777 == 0o600


def test_only_the_newest_logs_are_kept_and_other_files_left_alone(tmp_path: Path) -> None:
    """Lost otherwise: a full card, or somebody's notes."""
    names = [name_of(1e9 + second, "deploy", "slow", "7") for second in range(5)]
    for name in [*names, "notes.txt"]:
        (tmp_path / name).write_text("")
    prune(tmp_path, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names[-2:], "notes.txt"])


def test_the_first_signal_asks_and_the_second_kills() -> None:
    """Lost otherwise: a way out when even the way out hangs."""
    before = signal.getsignal(signal.SIGINT)
    with _interruptible() as (stop, kill):
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.is_set()
        assert not kill.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        assert kill.is_set()
    assert signal.getsignal(signal.SIGINT) is before


def test_events_of_a_run_that_nobody_follows_are_no_more_than_the_master_needs() -> None:
    """Lost otherwise: time, on the path of every scale-out; or an operator's log and reports."""
    sent: list[bytes] = []
    events = Events(sent.append)
    report = {
        "event": "runner_on_ok",
        "stdout": "\x1b[32mok: [pi-1]\x1b[0m\r\n",
        "event_data": {"host": "pi-1", "task": "Report", "res": {"fogverse_instances": [], "changed": True}},
    }
    begun = {"event": "runner_on_start", "stdout": "", "event_data": {"host": "pi-1", "task": "Report"}}
    events(begun)
    events(report)
    assert len(sent) == 1
    events.followed = True
    events(begun)
    events(report)
    told = b"".join(sent[1:]).decode().splitlines()
    assert told[0] == '{"event": "started", "host": "pi-1", "task": "Report"}'
    assert '"changed": true' in told[1]
    assert told[2] == '{"event": "report", "host": "pi-1", "values": {"fogverse_instances": []}}'
    assert told[3] == '{"event": "output", "text": "ok: [pi-1]"}'


@pytest.mark.parametrize(("hosts", "number"), [(1, 1), (2, 2), (5, 5), (7, 7), (9, 5), (32, 5)])
def test_a_roll_has_a_deadline_for_each_of_its_batches(hosts: int, number: int) -> None:
    """Lost otherwise: large fleets, of which the last quarter is never upgraded."""
    assert batches(hosts) == number


def context(limit: tuple[str, ...] | None) -> Context:
    devices = tuple(Device(name, "192.0.2.1", slots) for name, slots in (("pi-1", 1), ("pi-2", 2), ("pi-3", 1)))
    kafka = KafkaSettings(bootstrap_servers=("kafka-1:9092",))
    of = {"slow": ("pi-1", "pi-2", "pi-3")}
    return Context(Path(), Inventory(Path(), (SERVICE,), devices, of, {}, kafka, {}, limit=limit), Settings())


def test_what_cannot_be_meant_is_refused_before_anything_begins() -> None:
    """Lost otherwise: a service on every board of the shelf, by a word that was forgotten."""
    assert _hosts(context(("pi-2", "other")), SERVICE, "x") == ("pi-2",)
    with pytest.raises(click.UsageError, match="-l other does not mean a device that may run slow; there are: pi-1"):
        _hosts(context(("other",)), SERVICE, "other")
    with pytest.raises(click.UsageError, match=r"may have 2 instances .* each of 3 devices"):
        _require_room(context(None), SERVICE, ("pi-1", "pi-2", "pi-3"), 1)
    with pytest.raises(click.UsageError, match="no slot 2 on every device: pi-1 has 1"):
        _require_room(context(None), SERVICE, ("pi-1", "pi-2"), 2)
