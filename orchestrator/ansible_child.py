"""A child process for one Ansible run: ``python -m orchestrator.ansible_child``.

The request comes as JSON on standard input, events leave as JSON lines on standard output. ansible-runner takes
over signals, leaks state through its private folder, leaves children behind and writes the environment into its
artifacts: in a process of its own, with a fresh folder that is removed afterwards, none of that reaches the master.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, TextIO

from orchestrator.project import PROJECT

#: Fields of a failed task's result that may hold the reason, most telling first.
_REASONS = ("msg", "stderr", "module_stderr", "stdout", "module_stdout", "exception", "reason")
_LONGEST_REASON = 400
_PR_SET_PDEATHSIG = 1
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def reason_of(result: Any) -> str:
    """The first useful line of a failed task's result: its message, else the end of its error output."""
    if not isinstance(result, dict):
        return str(result)[:_LONGEST_REASON]
    if result.get("censored"):
        return "the task's output is hidden because it holds secrets (no_log)"
    for name in _REASONS:
        text = _ESCAPES.sub("", str(result.get(name) or "")).strip()
        if text and not text.startswith("MODULE FAILURE"):
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            chosen = lines if name == "msg" else lines[-1:]
            return " | ".join(chosen)[:_LONGEST_REASON]
    return "Ansible gave no reason"


class _Events:
    """Turns ansible-runner's events into our lines."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def emit(self, **fields: Any) -> None:
        self._out.write(json.dumps(fields, default=str) + "\n")
        self._out.flush()

    def __call__(self, event: dict[str, Any]) -> bool:
        name, data = event.get("event"), event.get("event_data") or {}
        match name:
            case "playbook_on_play_start":
                self.emit(event="play", name=data.get("play"))
            case "playbook_on_task_start":
                self.emit(event="task", name=data.get("task"))
            case "runner_on_ok" | "runner_on_skipped":
                self.emit(event="ok", host=data.get("host"), task=data.get("task"), duration=data.get("duration"))
            case "runner_on_failed" if not data.get("ignore_errors"):
                self._failure("failed", data)
            case "runner_on_unreachable":
                self._failure("unreachable", data)
            case "playbook_on_stats":
                counts = ("ok", "changed", "failures", "dark")
                self.emit(event="stats", **{count: data.get(count) or {} for count in counts})
            case "error" | "verbose" if event.get("stdout", "").startswith(("ERROR", "[ERROR]")):
                self.emit(event="error", text=_ESCAPES.sub("", event["stdout"])[:_LONGEST_REASON])
        return False  # ansible-runner would otherwise write each event into a file

    def _failure(self, verdict: str, data: dict[str, Any]) -> None:
        self.emit(event=verdict, host=data.get("host"), task=data.get("task"), reason=reason_of(data.get("res")))


def run(request: dict[str, Any], out: TextIO) -> int:
    """Carry out one request; returns Ansible's exit code."""
    import ansible_runner  # noqa: PLC0415 - 0.2 s that only this process pays

    events = _Events(out)
    folder = Path(tempfile.mkdtemp(prefix="fogverse-ansible-"))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        variables = folder / "variables.json"
        variables.write_text(json.dumps(request["variables"]))
        outcome = ansible_runner.run(
            private_data_dir=str(folder),
            playbook=str(PROJECT / "playbooks" / request["playbook"]),
            inventory=request["inventory"],
            limit=request["limit"],
            cmdline=f"-e @{variables}",
            envvars={"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_HOST_KEY_CHECKING": "True"},
            event_handler=events,
            cancel_callback=stop.is_set,
            suppress_env_files=True,
            quiet=True,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    events.emit(event="end", status=outcome.status, rc=outcome.rc)
    return int(outcome.rc or 0)


def end_with_the_parent() -> None:
    """Have this process asked to end when the master dies: a run that nobody watches must not go on.

    Source: prctl(2), PR_SET_PDEATHSIG; it looks at the thread that started the process, which waits for its end.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    end_with_the_parent()
    # events must not mix with what libraries print: they get a descriptor of their own
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.exit(run(json.load(sys.stdin), channel))
