"""How far a playbook run has come on each device: a fold over the run's events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from orchestrator.core.phase import phase_of

#: A device that has been done with its task for this long waits for others; below it, Ansible is between two tasks.
IDLE_S = 1.0


@dataclass(frozen=True, slots=True)
class HostProgress:
    """How far a run has come on one device; all times are seconds since the epoch.

    Attributes:
        began_at: first event; None when Ansible has not got to it.
        ended_at: when it was done with, well or not; None while it is under way.
        task: the last task that began.
        at_work: whether that has not ended yet.
        since: last event.
        reached: whether the device itself has answered.
        verdict: ``ok``, ``failed`` (a task failed) or ``unreachable`` (SSH did not get through).
        reason: the first useful line of the error; empty when ok.
        changed: tasks that changed something (in a dry run: would change), in order.
        report: what the playbook said of the device: ``fogverse_instances``, ``fogverse_drained``, …
    """

    began_at: float | None = None
    ended_at: float | None = None
    task: str = ""
    at_work: bool = False
    since: float = 0.0
    reached: bool = False
    verdict: Literal["ok", "failed", "unreachable"] = "ok"
    reason: str = ""
    changed: tuple[str, ...] = ()
    report: Mapping[str, Any] = field(default_factory=dict)

    def seconds(self, now: float) -> float:
        """Seconds since its first event, until it was done with; 0 before."""
        if self.began_at is None:
            return 0.0
        return max(0.0, (now if self.ended_at is None else self.ended_at) - self.began_at)

    def phase(self, now: float) -> str:
        """What it is going through, in words."""
        if self.began_at is None:
            return "waiting"
        if self.verdict != "ok":
            return self.verdict
        if self.ended_at is not None:
            return "done"
        phase = phase_of(self.task)
        if not self.at_work:
            return f"{phase.words}; waits for the others" if now - self.since >= IDLE_S else phase.words
        # Ansible connects and runs in one go, and says nothing in between
        return phase.words if self.reached or not phase.on_device else f"connecting, {phase.words}"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come.

    Attributes:
        hosts: every device of the run, in inventory order.
        last: the key of the report that a device's part ends with; empty when only the run's end tells.
        ended: whether Ansible has come to the end by itself.
    """

    hosts: Mapping[str, HostProgress]
    last: str = ""
    ended: bool = False

    @classmethod
    def of(cls, hosts: Iterable[str], last: str = "") -> Progress:
        """The progress of a run that has not begun."""
        return cls({host: HostProgress() for host in hosts}, last)

    def take(self, event: Mapping[str, Any], at: float) -> Progress:
        """The progress after an event of the run; events of hosts that are not in it are none of its business."""
        if event.get("event") == "stats":
            hosts = {name: _closed(host, at) for name, host in self.hosts.items()}
            return replace(self, hosts=hosts, ended=True)
        name = str(event.get("host"))
        if name not in self.hosts:
            return self
        host = self.hosts[name]
        began_at = at if host.began_at is None else host.began_at
        host = self._after(replace(host, began_at=began_at, since=at), event, at)
        return replace(self, hosts={**self.hosts, name: host})

    def _after(self, host: HostProgress, event: Mapping[str, Any], at: float) -> HostProgress:
        task = str(event.get("task") or host.task)
        match event.get("event"):
            case "started":
                # whatever comes after a failure is a rescue: it is not over yet
                ended_at = None if host.verdict == "failed" else host.ended_at
                return replace(host, task=task, at_work=True, ended_at=ended_at)
            case "ok":
                reached = host.reached or phase_of(task).on_device
                changed = (*host.changed, task) if event.get("changed") else host.changed
                return replace(host, task=task, at_work=False, reached=reached, changed=changed)
            case "failed" | "unreachable" as verdict:
                reason = str(event.get("reason") or "")
                return replace(host, task=task, at_work=False, verdict=verdict, reason=reason, ended_at=at)
            case "report":
                report = {**host.report, **event["values"]}
                return replace(host, at_work=False, report=report, ended_at=at if self.last in report else None)
        return host


def _closed(host: HostProgress, at: float) -> HostProgress:
    if host.began_at is None:
        return host
    return replace(host, at_work=False, ended_at=at if host.ended_at is None else host.ended_at)
