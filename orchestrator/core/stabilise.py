"""When a fleet may shrink: by the highest recommendation of a while, without a gap in what was known.

This is the Kubernetes HPA's ``behavior.scaleDown.stabilizationWindowSeconds`` (300 s by default there, too).
"""

from __future__ import annotations

from dataclasses import replace

from orchestrator.core.memory import Memory


def recommend(memory: Memory, wanted: int, now: float, span_s: float, gap_s: float) -> Memory:
    """Remember a recommendation.

    Args:
        memory: with the recommendations so far, each lower than the one before it.
        wanted: instances that would do now.
        now: seconds since the epoch.
        span_s: how long a recommendation counts.
        gap_s: time between two recommendations from which on nothing was known in between.
    """
    unbroken = memory.known_at is not None and now - memory.known_at <= gap_s
    young = [pair for pair in memory.wanted if unbroken and pair[0] > now - span_s and pair[1] > wanted]
    return replace(
        memory,
        wanted=(*young, (now, wanted)),
        known_since=memory.known_since if unbroken else now,
        known_at=now,
    )


def highest(memory: Memory) -> int | None:
    """The highest recommendation that counts; None when there is none."""
    return memory.wanted[0][1] if memory.wanted else None


def falls_at(memory: Memory, span_s: float) -> float | None:
    """When the highest recommendation stops counting and a lower one takes over; None when there is no lower one."""
    return memory.wanted[0][0] + span_s if len(memory.wanted) > 1 else None


def settled_at(memory: Memory, span_s: float) -> float | None:
    """When recommendations will have been known for the whole span; None when nothing is known."""
    return None if memory.known_since is None else memory.known_since + span_s
