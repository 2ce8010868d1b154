"""Runs Ansible: one child process per run, in a session of its own, with a deadline.

Whatever happens to Ansible, a hanging SSH or a leaking plugin, ends with that session: at the deadline, or when
the master is told to stop, the child is asked to end and then killed with all its children.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from orchestrator.act.run import DECISIVE, HostOutcome, PlaybookRun, RunOutcome
from orchestrator.clock import Clock
from orchestrator.errors import NotLeading
from orchestrator.project import PROJECT

log = logging.getLogger(__name__)

#: How long Ansible has to end by itself after it was asked to.
GRACE_S = 5.0
_LOOK_S = 0.1

OnEvent = Callable[[Mapping[str, Any]], None]


class Actuator:
    """Carries out playbook runs; may be used by several threads at once."""

    def __init__(self, clock: Clock, deadline_s: float, may_act: Callable[[], bool] = lambda: True) -> None:
        """Take the clock, the seconds that a run may last, and who is asked before each."""
        self._clock = clock
        self._deadline_s = deadline_s
        self._may_act = may_act

    def run(self, request: PlaybookRun, stop: threading.Event, on_event: OnEvent | None = None) -> RunOutcome:
        """Run a playbook and wait for its end.

        Args:
            request: what to run.
            stop: ends the run early.
            on_event: is called with each event of the child, for progress.

        Raises:
            NotLeading: another master leads.
        """
        if not self._may_act():
            raise NotLeading(f"{request.playbook} on {request.limit}")
        began = self._clock.now()
        child = subprocess.Popen(
            [sys.executable, "-m", "orchestrator.ansible_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": str(PROJECT), "PATH": _path()},
            start_new_session=True,
        )
        assert child.stdin is not None  # noqa: S101 - for the type checker: all three are pipes
        assert child.stdout is not None  # noqa: S101
        assert child.stderr is not None  # noqa: S101
        lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        errors: list[str] = []
        readers = [
            threading.Thread(target=_forward, args=(child.stdout, lines), name="ansible-events", daemon=True),
            threading.Thread(target=errors.extend, args=(child.stderr,), name="ansible-errors", daemon=True),
        ]
        for reader in readers:
            reader.start()
        result, ended = _Result(), "the master failed"
        try:
            child.stdin.write(json.dumps(request.as_request()))
            child.stdin.close()
            ended = self._follow(lines, result, began, stop, on_event)
        finally:
            _end(child, asked_to=bool(ended))
            for reader in readers:
                reader.join(timeout=GRACE_S)
            child.stdout.close()
            child.stderr.close()
        error = ended or result.error(child.returncode, errors)
        return RunOutcome(result.hosts, self._clock.now(), error)

    def _follow(
        self,
        lines: queue.SimpleQueue[str | None],
        result: _Result,
        began: float,
        stop: threading.Event,
        on_event: OnEvent | None,
    ) -> str:
        """Take in events until the last; returns why it was broken off, empty when it was not."""
        while True:
            if stop.is_set():
                return "interrupted: the master is stopping"
            if self._clock.now() - began > self._deadline_s:
                return f"not done within {self._deadline_s:g} s (deploy_deadline); last task: {result.task or 'none'}"
            try:
                line = lines.get(timeout=_LOOK_S)
            except queue.Empty:
                continue
            if line is None:
                return ""
            event = _decoded(line)
            if event is not None:
                result.take(event)
                if on_event is not None:
                    on_event(event)


class _Result:
    """Collects a run's events."""

    def __init__(self) -> None:
        self.hosts: dict[str, HostOutcome] = {}
        self.task: str | None = None
        self.words: str | None = None
        self.ended = False

    def take(self, event: Mapping[str, Any]) -> None:
        match event.get("event"):
            case "task":
                self.task = event.get("name")
            case "ok":
                before = self.hosts.get(event["host"], HostOutcome("ok"))
                if before.verdict == "ok":
                    decided = before.decided or event.get("task") in DECISIVE
                    self.hosts[event["host"]] = HostOutcome("ok", decided=decided)
            case "failed" | "unreachable" as verdict:
                self.hosts[event["host"]] = HostOutcome(verdict, event.get("task"), event.get("reason", ""))
            case "error":
                self.words = self.words or event.get("text")
            case "end":
                self.ended = True

    def error(self, code: int | None, stderr: list[str]) -> str | None:
        """Why the run failed as a whole; a host's failure is that host's, not the run's."""
        if self.ended and (code == 0 or any(h.verdict != "ok" for h in self.hosts.values())):
            return None
        last = next((line.strip() for line in reversed(stderr) if line.strip()), "")
        return self.words or last or f"Ansible ended with exit code {code} and gave no reason"


def _decoded(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        log.debug("not an event: %s", line.rstrip())
        return None
    return event if isinstance(event, dict) else None


def _forward(out: TextIO, lines: queue.SimpleQueue[str | None]) -> None:
    for line in out:
        lines.put(line)
    lines.put(None)


def _end(child: subprocess.Popen[str], *, asked_to: bool) -> None:
    """Wait for the child, and end whatever of its session is left.

    Args:
        child: leader of its own session.
        asked_to: it has not said its last word: it is asked to end before it is killed.
    """
    steps = [signal.SIGTERM, signal.SIGKILL] if asked_to else [None, signal.SIGTERM, signal.SIGKILL]
    for how in steps:
        if how is not None and not _signalled(child.pid, how):
            break
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=GRACE_S)
            break
    child.wait()
    _signalled(child.pid, signal.SIGKILL)  # what the child has left behind in its session


def _signalled(session: int, how: signal.Signals) -> bool:
    try:
        os.killpg(session, how)
    except ProcessLookupError:
        return False
    return True


def _path() -> str:
    # ansible-playbook of the same environment as this interpreter, whatever the shell's PATH
    return os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])  # noqa: PTH120
