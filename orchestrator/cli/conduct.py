"""Carrying out a playbook run before an operator's eyes: progress, the log, Ctrl-C, and the summary."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import click
from rich.console import Console

from orchestrator.act import runlog
from orchestrator.act.actuator import Actuator
from orchestrator.act.run import PlaybookRun
from orchestrator.act.runlog import RunLog
from orchestrator.cli.context import Context
from orchestrator.cli.progress_view import Board, Lines, View, redraws
from orchestrator.cli.summary import Summary
from orchestrator.clock import SystemClock
from orchestrator.core.outcome import results
from orchestrator.core.progress import Progress

#: How long the note is waited for when the run itself is over.
_NOTE_S = 3.0
_LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Operation:
    """What an operator has asked for.

    Attributes:
        title: in words, e.g. ``deploy analyzer``.
        request: the run.
        hosts: every device of it, in inventory order.
        deadline_s: of the whole run.
        last: the key of the report that each device's part ends with; empty when only the run's end tells.
        note: finds out what else the operator should know; asked while the run goes on.
    """

    title: str
    request: PlaybookRun
    hosts: tuple[str, ...]
    deadline_s: float
    last: str = ""
    note: Callable[[], str] = lambda: ""


def conduct(context: Context, operation: Operation, log: Path | None, *, as_json: bool) -> int:
    """Carry it out and say how it went; returns the exit code.

    Progress goes to standard error, the summary to standard output.

    Args:
        context: of the command.
        operation: what to do.
        log: file of the whole output; None for one of its own in ``.cache/runs``.
        as_json: whether the summary is a JSON object.

    Raises:
        click.ClickException: the log cannot be written.
    """
    clock, began = SystemClock(), SystemClock().now()
    folder = context.project / ".cache" / "runs"
    path = log or folder / runlog.name_of(began, *operation.title.split(), str(os.getpid()))
    run_log = _opened(path, context)
    if log is None:
        runlog.prune(folder)
    note = _Asked(operation.note)
    with _interruptible() as (stop, kill):
        follow = _Follow(Progress.of(operation.hosts, operation.last), run_log)
        run_log.write(f"{operation.title} on {', '.join(operation.hosts)}")
        with _view(operation, follow.progress, stop) as view:

            def on_event(event: Mapping[str, Any]) -> None:
                follow.take(event, clock.now())
                view.show(follow.progress)

            with Actuator(clock, operation.deadline_s) as actuator:
                outcome = actuator.run(operation.request, stop, on_event, kill)
                interrupted = outcome.error is not None and stop.is_set()
        now = clock.now()
        words = note.answer(0 if interrupted else _NOTE_S, stop)
    found = results(follow.progress, now, check=operation.request.check)
    error = None if interrupted else outcome.error
    summary = Summary(
        f"dry run of {operation.title}" if operation.request.check else operation.title,
        found,
        round(now - began, 1),
        path,
        interrupted,
        error,
        words,
    )
    run_log.write(json.dumps(summary.as_dict()))
    run_log.close()
    if as_json:
        click.echo(json.dumps(summary.as_dict(), indent=2))
    else:
        Console(soft_wrap=True).print(summary.view())
    return summary.code


class _Follow:
    """Takes in a run's events."""

    def __init__(self, progress: Progress, log: RunLog) -> None:
        self.progress = progress
        self._log = log

    def take(self, event: Mapping[str, Any], at: float) -> None:
        if event.get("event") in ("output", "error"):
            self._log.write(str(event.get("text")))
        self.progress = self.progress.take(event, at)


class _Asked:
    """A question that is answered in a thread of its own."""

    def __init__(self, question: Callable[[], str]) -> None:
        self._answer = ""
        self._thread = threading.Thread(target=self._ask, args=(question,), name="note", daemon=True)
        self._thread.start()

    def answer(self, within_s: float, stop: threading.Event) -> str:
        """The answer; empty when there is none within the time, or until somebody has had enough of waiting."""
        until = time.monotonic() + within_s
        while self._thread.is_alive() and time.monotonic() < until and not stop.is_set():
            self._thread.join(timeout=_LOOK_S)
        return self._answer

    def _ask(self, question: Callable[[], str]) -> None:
        self._answer = question()


def _view(operation: Operation, progress: Progress, stop: threading.Event) -> View:
    console = Console(stderr=True)
    if redraws(console):
        head = f"{operation.title}, at most {operation.deadline_s:g} s"
        return Board(console, head, progress, SystemClock(), stop)
    return Lines(lambda line: click.echo(line, err=True), operation.deadline_s, progress, SystemClock(), stop)


def _opened(path: Path, context: Context) -> RunLog:
    options = context.inventory.kafka.client_options()
    secrets = [str(value) for name, value in options.items() if "password" in name]
    try:
        return RunLog(path, secrets)
    except OSError as error:
        raise click.ClickException(
            f"{path} cannot be written: {error.strerror}; name another with --log FILE"
        ) from None


@contextmanager
def _interruptible() -> Iterator[tuple[threading.Event, threading.Event]]:
    """The first SIGINT or SIGTERM sets the first event, the next one the second."""
    stop, kill = threading.Event(), threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        (kill if stop.is_set() else stop).set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop, kill
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
