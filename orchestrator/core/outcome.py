"""How a playbook run ended, for each device and as a whole, as an operator wants to hear it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from orchestrator.core.phase import phase_of
from orchestrator.core.progress import HostProgress, Progress

#: ``staged``: the release is there and nothing runs. ``rolled-back``: the old release runs again. ``interrupted``: the
#: run was broken off in the middle of it. ``not-begun``: the run never got to it.
Outcome = Literal[
    "started",
    "drained",
    "upgraded",
    "staged",
    "changed",
    "unchanged",
    "would-change",
    "rolled-back",
    "failed",
    "unreachable",
    "interrupted",
    "not-begun",
]
_WELL: frozenset[Outcome] = frozenset(
    ("started", "drained", "upgraded", "staged", "changed", "unchanged", "would-change")
)

STARTED, DRAINED, UPGRADED = "fogverse_instances", "fogverse_drained", "fogverse_upgraded"


@dataclass(frozen=True, slots=True)
class HostResult:
    """How it ended on one device.

    Attributes:
        host: which.
        outcome: in one word.
        words: what there is to say: its instances, or the first useful line of the error.
        seconds: since its first event.
        task: the task that failed, or in which the run was broken off; None otherwise.
        instances: as the playbook reported them; empty when it did not.
    """

    host: str
    outcome: Outcome
    words: str
    seconds: float
    task: str | None = None
    instances: tuple[Mapping[str, Any], ...] = ()

    @property
    def well(self) -> bool:
        """Whether what was asked for is so."""
        return self.outcome in _WELL


def results(progress: Progress, now: float, *, check: bool = False) -> tuple[HostResult, ...]:
    """The result of each device of a run that is over.

    Args:
        progress: what became of it.
        now: when it was over, seconds since the epoch.
        check: whether it was a dry run.
    """
    return tuple(_judged(name, host, progress, now, check=check) for name, host in progress.hosts.items())


def _judged(name: str, host: HostProgress, progress: Progress, now: float, *, check: bool) -> HostResult:
    seconds = round(host.seconds(now), 1)
    if host.began_at is None:
        return HostResult(name, "not-begun", "nothing was done there", seconds)
    upgraded, drained = host.report.get(UPGRADED), host.report.get(DRAINED)
    if isinstance(upgraded, Mapping):
        return _upgraded(name, host, upgraded, seconds, check=check)
    if host.verdict != "ok":
        notes = " ".join(drained.get("notes") or ()) if isinstance(drained, Mapping) else ""
        words = "; ".join(part for part in (host.reason, notes) if part)
        return HostResult(name, host.verdict, words, seconds, host.task)
    if not progress.ended and host.ended_at is None:
        words = (
            f"in the middle of '{host.task}': what the device was told already goes on there"
            if host.at_work
            else f"'{host.task}' was done, and what comes after it was not"
        )
        return HostResult(name, "interrupted", words, seconds, host.task)
    if check:
        words = "would change: " + ", ".join(_phases(host)) if host.changed else "nothing would change"
        return HostResult(name, "would-change" if host.changed else "unchanged", words, seconds)
    if isinstance(drained, Mapping):
        instances = tuple(drained.get("instances") or ())
        stopped = [one["instance"] for one in instances if one.get("changed")]
        words = "; ".join([", ".join(stopped) or "nothing ran there", *(drained.get("notes") or ())])
        return HostResult(name, "drained" if stopped else "unchanged", words, seconds, None, instances)
    if STARTED in host.report:
        instances = tuple(host.report[STARTED] or ())
        changed = any(one.get("changed") for one in instances)
        words = ", ".join(_member(one) for one in instances) or "no instance was asked for there"
        return HostResult(name, "started" if changed else "unchanged", words, seconds, None, instances)
    words = ", ".join(_phases(host)) or "all was there"
    return HostResult(name, "changed" if host.changed else "unchanged", words, seconds)


def _upgraded(name: str, host: HostProgress, said: Mapping[str, Any], seconds: float, *, check: bool) -> HostResult:
    instances = tuple(said.get("instances") or ())
    outcome: Outcome = said["outcome"] if said.get("outcome") in get_args(Outcome) else "failed"
    if outcome in _WELL and host.verdict != "ok":
        outcome = host.verdict
    if outcome == "unreachable":
        # what it has is not known; SSH's own words come first
        why = host.reason if host.verdict == "unreachable" else ""
        words = "; ".join(part for part in (why, str(said.get("reason") or "")) if part)
        return HostResult(name, outcome, words, seconds, host.task, instances)
    old, new = said.get("from") or "nothing", said.get("to") or "?"
    move = f"{old} -> {new}" if old != new else f"release {new}"
    reason = str(said.get("reason") or (host.reason if outcome in ("rolled-back", "failed") else ""))
    if check and outcome in ("upgraded", "staged"):
        return HostResult(name, "would-change", f"would change: {move}", seconds, None, instances)
    parts = [reason, move] if reason else [move, *(_member(one) for one in instances)]
    task = host.task if host.verdict != "ok" else None
    return HostResult(name, outcome, "; ".join(parts), seconds, task, instances)


def _member(instance: Mapping[str, Any]) -> str:
    # systemd calls a unit active when its process has become a member of its group
    words = {"active": "member", "activating": "joining its group"}.get(instance["active"], instance["active"])
    return f"{instance['instance']} {words}"


def _phases(host: HostProgress) -> list[str]:
    return list(dict.fromkeys(phase_of(task).words for task in host.changed))
