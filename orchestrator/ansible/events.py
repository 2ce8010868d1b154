"""ansible-runner's events as our lines: one JSON object each."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from orchestrator.act.run import done_in

#: Fields of a failed task's result that may hold the reason, most telling first.
_REASONS = ("msg", "stderr", "module_stderr", "stdout", "module_stdout", "exception", "reason")
_LONGEST_REASON = 400
#: The task with which each playbook tells what it has done, and how the names of its structures begin.
_REPORT, _REPORTED = "Report", "fogverse_"
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def reason_of(result: Any) -> str:
    """The first useful line of a failed task's result: its message, else the end of its error output.

    Of a loop that of the first item that failed; its own message only says that there is one.
    """
    if not isinstance(result, dict):
        return str(result)[:_LONGEST_REASON]
    if result.get("censored"):
        return "the task's output is hidden because it holds secrets (no_log)"
    items = result.get("results")
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict) and item.get("failed"):
            return reason_of(item)
    for name in _REASONS:
        text = _ESCAPES.sub("", str(result.get(name) or "")).strip().removeprefix("Task failed: ")
        if text and not text.startswith("MODULE FAILURE"):
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            chosen = lines if name == "msg" else lines[-1:]
            return " | ".join(chosen)[:_LONGEST_REASON]
    return "Ansible gave no reason"


def of_host_key(host: str, said: str) -> str:
    """What ssh's words about a device's host key mean, with the mend; empty when they are about something else.

    Source: ``check_host_key`` of OpenSSH's sshconnect.c.
    """
    enroll = f"orchestrator device enroll {host}"
    if "HOST IDENTIFICATION HAS CHANGED" in said:
        now = f" (now {found[0]})" if (found := _FINGERPRINT.search(said)) else ""
        return (
            f"host key CHANGED{now}: if the device was set up anew, run: {enroll}, which says how to forget the old "
            "key; if it was not, somebody may be in between"
        )
    if "Host key verification failed" in said:
        return f"host key unknown: compare it on the device's console, then run: {enroll}"
    return ""


class Events:
    """Turns ansible-runner's events into our lines."""

    def __init__(self, send: Callable[[bytes], object]) -> None:
        """Take what sends a line; it may raise OSError when nobody listens any more."""
        self._send = send
        #: Whether each host's tasks and reports and the whole output are passed on, too.
        self.followed = False

    def emit(self, **fields: Any) -> None:
        """Send one event; one that nobody listens to is lost, which ends no run by itself."""
        try:
            self._send(json.dumps(fields, default=str).encode() + b"\n")
        except OSError:
            return

    def __call__(self, event: dict[str, Any]) -> bool:
        """Pass on what matters of an event of ansible-runner."""
        name, data = event.get("event"), event.get("event_data") or {}
        match name:
            case "playbook_on_play_start":
                self.emit(event="play", name=data.get("play"))
            case "playbook_on_task_start":
                self.emit(event="task", name=data.get("task"))
            case "runner_on_start" if self.followed:
                self.emit(event="started", host=data.get("host"), task=data.get("task"))
            case "runner_on_ok" | "runner_on_skipped":
                self._success(data)
            case "runner_on_failed" if not data.get("ignore_errors"):
                self._failure("failed", data)
            case "runner_on_unreachable":
                self._failure("unreachable", data)
            case "playbook_on_stats":
                counts = ("ok", "changed", "failures", "dark")
                self.emit(event="stats", **{count: data.get(count) or {} for count in counts})
            case "error" | "verbose" if event.get("stdout", "").startswith(("ERROR", "[ERROR]")):
                self.emit(event="error", text=_ESCAPES.sub("", event["stdout"])[:_LONGEST_REASON])
        if self.followed and (text := _ESCAPES.sub("", event.get("stdout") or "").strip("\r\n")):
            self.emit(event="output", text=text.replace("\r\n", "\n"))
        return False  # ansible-runner would otherwise write each event into a file

    def _success(self, data: dict[str, Any]) -> None:
        host, task, result = data.get("host"), data.get("task"), data.get("res")
        found = result if isinstance(result, dict) else {}
        changed, done = bool(found.get("changed")), done_in(task, result)
        self.emit(event="ok", host=host, task=task, duration=data.get("duration"), changed=changed, done=done)
        values = {name: value for name, value in found.items() if name.startswith(_REPORTED)}
        if self.followed and task == _REPORT and values:
            self.emit(event="report", host=host, values=values)

    def _failure(self, verdict: str, data: dict[str, Any]) -> None:
        host, result = str(data.get("host")), data.get("res")
        said = str(result.get("msg")) if verdict == "unreachable" and isinstance(result, dict) else ""
        reason = of_host_key(host, said) or reason_of(result)
        self.emit(event=verdict, host=host, task=data.get("task"), reason=reason)
