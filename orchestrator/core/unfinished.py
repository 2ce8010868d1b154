"""Starts that a master left in the middle: the next one takes them up again, by the same names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.core.instance import Instance

#: Steps that end a start.
_ENDS = frozenset(("proved", "unproved", "failed", "compensated", "interrupted", "drained", "lost"))


def unfinished_starts(steps: Iterable[Mapping[str, Any]], since: float) -> dict[Instance, float]:
    """Instances whose start has begun and whose end nobody has recorded, with the time it was placed.

    Starting is idempotent by the instance's name: taking a start up again cannot make two of one, while placing it
    anew could.

    Args:
        steps: bodies of the ledger's steps, oldest first.
        since: starts that began before are forgotten: what became of them is to be seen on the devices by now.
    """
    found: dict[Instance, float] = {}
    for step in steps:
        instance = Instance.parse(str(step.get("instance")))
        if instance is None:
            continue
        if step.get("name") == "placed":
            found[instance] = float(step["at"])
        elif step.get("name") in _ENDS:
            found.pop(instance, None)
    return {instance: at for instance, at in found.items() if at >= since}
