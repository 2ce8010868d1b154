"""An operator's word against the policy's: so many instances, or hands off, until it expires."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from orchestrator.core.decision import Decision
from orchestrator.core.service import Service


@dataclass(frozen=True, slots=True)
class Override:
    """What an operator has ordered for one service.

    Attributes:
        kind: ``scale`` holds a number of instances, ``pause`` leaves the fleet as it is, ``none`` takes an earlier
            order back.
        by: who ordered it, in words.
        at: when, seconds since the epoch.
        until: when it ends by itself, seconds since the epoch.
        instances: wanted number, with ``scale`` only.
    """

    kind: Literal["scale", "pause", "none"]
    by: str
    at: float
    until: float
    instances: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """The order as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Override | None:
        """Read an order; None when it is not one of ours."""
        try:
            kind, instances = body["kind"], body.get("instances")
            if kind not in ("scale", "pause", "none") or (kind == "scale") != isinstance(instances, int):
                return None
            return cls(kind, str(body["by"]), float(body["at"]), float(body["until"]), instances)
        except (KeyError, TypeError, ValueError):
            return None

    def holds(self, now: float) -> bool:
        """Whether it is in force; an order ends at its time, never later."""
        return self.kind != "none" and now < self.until


def overridden(decision: Decision, override: Override | None, service: Service, now: float) -> Decision:
    """What becomes of the policy's decision under an order.

    What is under way is left alone (``busy``), and so is a fleet that cannot be seen: an order says how many instances
    there should be, not that any number may be started blindly.

    Args:
        decision: the policy's.
        override: the order; None when there is none.
        service: whose; its limits hold for orders too.
        now: seconds since the epoch.
    """
    if override is None or not override.holds(now) or decision.kind == "busy" or decision.current is None:
        return decision
    left = f"{override.until - now:.0f} s left"
    numbers = {**decision.numbers, "override_left_s": round(override.until - now), "policy_desired": decision.desired}
    policy = f"the policy says: {decision.kind}: {decision.reason}"
    if override.kind == "pause":
        reason = f"paused by {override.by} ({left}); {policy}"
        return replace(
            decision, desired=decision.current, kind="paused", reason=reason, numbers=numbers, capped_by="pause"
        )
    wanted = max(service.min_instances, min(override.instances or 0, service.max_instances))
    reason = f"{override.by} wants {override.instances} instances ({left}); {policy}"
    capped = None if wanted == override.instances else f"{service.min_instances} to {service.max_instances} instances"
    return replace(decision, desired=wanted, kind="override", reason=reason, numbers=numbers, capped_by=capped)
