"""What was decided for a service, and why: the value that log, ledger, status and demo all show."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Direction = Literal["up", "none", "down"]
#: A plain JSON value that explains a decision; None is what is not known.
Number = float | int | str | None

#: Why a decision came out as it did; stable words for filters and tests, the reason says it in full.
Kind = Literal[
    "unknown",  # something needed was not known: the last decision is held
    "busy",  # an earlier decision is still being carried out
    "below-minimum",  # fewer instances than min_instances
    "idle",  # nothing came in
    "keeping-up",  # the ratio is fine
    "spike",  # the ratio is low, but the traffic is not usual and has not lasted
    "cooldown",  # an instance is missing, but the last start is too recent
    "at-maximum",  # an instance is missing, but the limit is reached
    "keyed",  # an instance is missing, but the topic is ordered by key and may not grow
    "scale-out",  # an instance is missing and is started
    "draining",  # there is a backlog, and the fleet works it off in time
    "stabilising",  # fewer instances would do, but not for long enough yet
    "scale-in",  # instances are not needed any more and are stopped
    "hot-partition",  # one partition has the backlog: more instances would not help it
    "stuck-record",  # a record is not got past: more instances would not help it
    "no-effect",  # the last scale-out did not help
    "shared-bottleneck",  # more instances finish no more: something that they share is full
    "slow-device",  # a new instance is far slower than others of its class
    "override",  # an operator has ordered a number of instances
    "paused",  # an operator has ordered that nothing is changed
]


@dataclass(frozen=True, slots=True)
class Decision:
    """One answer to "how many instances should this service have?"; doing nothing is an answer too.

    Attributes:
        service: whose.
        at: when, seconds since the epoch.
        current: instances observed, None when unknown.
        desired: instances wanted; equal to ``current`` when nothing is to be done.
        kind: the outcome in one word.
        reason: the outcome in one sentence with its numbers.
        numbers: the same numbers for machines; a value that is not known is None.
        capped_by: the limit that kept ``desired`` down, if any.
    """

    service: str
    at: float
    current: int | None
    desired: int | None
    kind: Kind
    reason: str
    numbers: dict[str, Number] = field(default_factory=dict)
    capped_by: str | None = None

    @property
    def direction(self) -> Direction:
        """Up, down, or none (also when something is unknown)."""
        if self.current is None or self.desired is None or self.current == self.desired:
            return "none"
        return "up" if self.desired > self.current else "down"

    def as_dict(self) -> dict[str, Any]:
        """The decision as plain JSON values, ``direction`` included."""
        return {**asdict(self), "direction": self.direction}
