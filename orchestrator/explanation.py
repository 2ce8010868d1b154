"""Why a service has the instances that it has: the ledger's last words about it, put in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.broker.ledger import Entry
from orchestrator.core.mark import Mark
from orchestrator.core.override import Override

#: Beginnings of the names of numbers that tell what was seen; the others tell what was reckoned.
_SEEN = ("arrival", "input", "output", "lag", "partitions", "z_")
#: Numbers that the explanation says in words of its own.
_SAID = ("next_look_at", "override_left_s", "policy_desired")
#: Steps of the last action that are shown.
_STEPS = 12
#: Refresh intervals without a decision after which no master seems to run.
_SILENT = 3
_SHORTEST_SILENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is known about the last decision of a service.

    Attributes:
        service: whose.
        decision: the last one.
        age_s: seconds since it was made.
        alike_s: for how long decisions have been alike, seconds; None when the last one changed something.
        order: an operator's order in force; None when there is none.
        steps: of the last action, oldest first, at most a dozen.
        next_look_s: seconds until it is looked at again; negative when that should have happened already.
        silent: no master has decided for so long that none seems to run.
        marks: orders of operators in force for devices that the service may use.
    """

    service: str
    decision: Mapping[str, Any]
    age_s: float
    alike_s: float | None
    order: Override | None
    steps: Sequence[Mapping[str, Any]]
    next_look_s: float | None
    silent: bool
    marks: Sequence[Mark] = ()


def explain(
    service: str,
    history: Iterable[Entry],
    kept: Mapping[tuple[Any, str], Entry],
    now: float,
    devices: Iterable[str] = (),
) -> Explanation | None:
    """Find the last decision and what belongs to it; None when nothing was ever decided for the service.

    Args:
        service: its name.
        history: the ledger's history, oldest first.
        kept: the ledger's state.
        now: seconds since the epoch.
        devices: names of those that the service may use.
    """
    mine = [entry for entry in history if entry.service == service]
    last = next((entry for entry in reversed(mine) if entry.kind == "decision"), None)
    if last is None:
        return None
    numbers = last.body.get("numbers") or {}
    look_at = numbers.get("next_look_at")
    refresh_s = numbers.get("refresh_s")
    if look_at is None and refresh_s is not None:
        look_at = last.at + refresh_s
    written = kept.get(("override", service))
    order = Override.from_dict(written.body) if written is not None else None
    ordered = (Mark.from_dict(kept["device", name].body) for name in devices if ("device", name) in kept)
    beat_s = 0.0 if look_at is None else look_at - last.at
    return Explanation(
        service=service,
        decision=last.body,
        age_s=now - last.at,
        alike_s=None if last.since is None else now - last.since,
        order=order if order is not None and order.holds(now) else None,
        steps=_last_action([entry.body for entry in mine if entry.kind == "step"])[-_STEPS:],
        next_look_s=None if look_at is None else look_at - now,
        silent=now - last.at > max(_SHORTEST_SILENCE_S, _SILENT * beat_s),
        marks=[mark for mark in ordered if mark is not None and mark.bars(service, now)],
    )


def figures(numbers: Mapping[str, Any], *, seen: bool) -> list[str]:
    """Numbers with their names and units, those that were seen or those that were reckoned."""
    return [
        _figure(name, value)
        for name, value in numbers.items()
        if name.startswith(_SEEN) == seen and name not in _SAID and not name.endswith("_at")
    ]


def span(seconds: float) -> str:
    """A length of time for the eye."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _last_action(steps: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    begins = [n for n, step in enumerate(steps) if step.get("name") in ("placed", "draining")]
    return steps[begins[-1] :] if begins else steps[-1:]


def _figure(name: str, value: Any) -> str:
    unit = ""
    for ending, written in (("_per_s", "/s"), ("_s", " s"), ("_ms", " ms"), ("_mb", " MB")):
        if name.endswith(ending):
            name, unit = name.removesuffix(ending), written
            break
    words = name.replace("_", " ")
    if value is None:
        return f"{words} not known"
    shown = f"{value:,.6g}" if isinstance(value, float) else str(value)
    return f"{words} {shown}{unit}"
