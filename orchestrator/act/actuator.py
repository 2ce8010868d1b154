"""Runs Ansible: one process per run, forked from a warm one, with a deadline.

Whatever happens to Ansible, a hanging SSH or a leaking plugin, ends with the run: at the deadline, or when the master
is told to stop, its process is asked to end and then killed, and the warm process kills what it leaves behind.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Self

from orchestrator.act.run import HostOutcome, PlaybookRun, RunOutcome
from orchestrator.ansible.warm import Warm
from orchestrator.clock import Clock
from orchestrator.errors import NotLeading

log = logging.getLogger(__name__)

#: How long Ansible has to end by itself after it was asked to.
GRACE_S = 5.0
_LOOK_S = 0.1
#: Exit codes of Ansible that tell of hosts, failed or unreachable. With any other it did not get to its end.
_OF_HOSTS = (2, 4)

OnEvent = Callable[[Mapping[str, Any]], None]


class Actuator:
    """Carries out playbook runs; may be used by several threads at once."""

    def __init__(self, clock: Clock, deadline_s: float, may_act: Callable[[], bool] = lambda: True) -> None:
        """Take the clock, the seconds that a run may last, and who is asked before each."""
        self._clock = clock
        self._deadline_s = deadline_s
        self._may_act = may_act
        self._warm = Warm()

    def start(self) -> None:
        """Have Ansible ready for the first run, which otherwise waits for its imports; returns at once."""
        self._warm.start()

    @property
    def server(self) -> int | None:
        """Process id of Ansible's warm process; None while there is none."""
        return self._warm.pid

    def close(self) -> None:
        """End Ansible's warm process and close its SSH connections; no run may be under way any more."""
        self._warm.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(
        self,
        request: PlaybookRun,
        stop: threading.Event,
        on_event: OnEvent | None = None,
        kill: threading.Event | None = None,
    ) -> RunOutcome:
        """Run a playbook and wait for its end.

        The warm process is started when it is not there; :meth:`start` does that ahead, :meth:`close` ends it. It ends
        with the master, too.

        Args:
            request: what to run.
            stop: ends the run early.
            on_event: is called with each event of the run, for progress.
            kill: takes the grace from a run that is being ended.

        Raises:
            NotLeading: another master leads.
        """
        if not self._may_act():
            raise NotLeading(f"{request.playbook} on {request.limit}")
        began, result = self._clock.now(), _Result()
        error = self._once(request, result, began, stop, on_event, kill or threading.Event())
        if result.pid is None and not stop.is_set():  # the warm process died with the run in its hands
            error = self._once(request, result, began, stop, on_event, kill or threading.Event())
        return RunOutcome(result.hosts, self._clock.now(), error, result.begun)

    def _once(
        self,
        request: PlaybookRun,
        result: _Result,
        began: float,
        stop: threading.Event,
        on_event: OnEvent | None,
        kill: threading.Event,
    ) -> str | None:
        """Run it; returns why it failed as a whole, None when it did not."""
        try:
            channel, errors = self._warm.submit(request.as_request())
        except OSError as error:
            return f"Ansible cannot be started: {error}"
        lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        said: list[str] = []
        readers = [
            threading.Thread(target=_forward, args=(channel, lines), name="ansible-events", daemon=True),
            threading.Thread(target=_collect, args=(errors, said), name="ansible-errors", daemon=True),
        ]
        for reader in readers:
            reader.start()
        ended = "the master failed"
        try:
            ended = self._follow(lines, result, began, stop, on_event)
        finally:
            if ended:
                _cancel(channel, readers[0], result, kill)
            for reader in readers:
                reader.join(timeout=GRACE_S)
            channel.close()
        return ended or result.error(said)

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
        self.begun = False
        self.task: str | None = None
        self.words: str | None = None
        self.pid: int | None = None
        self.code: int | None = None

    def take(self, event: Mapping[str, Any]) -> None:
        match event.get("event"):
            case "play":
                self.begun = True
            case "task":
                self.task = event.get("name")
            case "ok":
                before = self.hosts.get(event["host"], HostOutcome("ok"))
                if before.verdict == "ok":
                    decided = before.decided or bool(event.get("done"))
                    self.hosts[event["host"]] = HostOutcome("ok", decided=decided)
            case "failed" | "unreachable" as verdict:
                self.hosts[event["host"]] = HostOutcome(verdict, event.get("task"), event.get("reason", ""))
            case "error":
                self.words = self.words or event.get("text")
            case "began":
                self.pid = event["pid"]
            case "end":
                self.code = event["rc"]

    def error(self, stderr: list[str]) -> str | None:
        """Why the run failed as a whole; a host's failure is that host's, not the run's."""
        if self.code == 0 or (self.code in _OF_HOSTS and any(h.verdict != "ok" for h in self.hosts.values())):
            return None
        last = next((line.strip() for line in reversed(stderr) if line.strip()), "")
        how = "was killed" if self.code is None else f"ended with exit code {self.code}"
        return self.words or last or f"Ansible {how} and gave no reason"


def _decoded(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        log.debug("not an event: %s", line.rstrip())
        return None
    return event if isinstance(event, dict) else None


def _forward(channel: socket.socket, lines: queue.SimpleQueue[str | None]) -> None:
    """Pass on lines until the run's process has ended, whatever way."""
    try:
        with channel.makefile("r", encoding="utf-8", errors="replace") as events:
            for line in events:
                lines.put(line)
    except OSError as error:
        log.debug("the run's events ended with: %s", error)
    lines.put(None)


def _collect(errors: int, said: list[str]) -> None:
    with os.fdopen(errors, encoding="utf-8", errors="replace") as lines:
        said.extend(lines)


def _cancel(channel: socket.socket, reader: threading.Thread, result: _Result, kill: threading.Event) -> None:
    """Ask the run's process to end, and kill it if it does not; its parent kills what it leaves behind."""
    with contextlib.suppress(OSError):  # it has ended meanwhile
        channel.shutdown(socket.SHUT_WR)
    until = time.monotonic() + GRACE_S
    while reader.is_alive() and time.monotonic() < until and not kill.is_set():
        reader.join(timeout=_LOOK_S)
    if reader.is_alive() and result.pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(result.pid, signal.SIGKILL)
