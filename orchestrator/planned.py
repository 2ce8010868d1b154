"""What a master would do for a service, for `plan` to tell."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.decision import Decision
from orchestrator.core.growth import Growth
from orchestrator.core.instance import Instance
from orchestrator.core.placement import Placement


@dataclass(frozen=True, slots=True)
class Planned:
    """What would be done for one service: the decision, what would start or stop, which topics would grow."""

    decision: Decision
    placement: Placement | None
    growth: tuple[Growth, ...]
    stops: tuple[Instance, ...] = ()
