"""An operator's word about a device: nothing new there, or everything off it, until it is taken back or expires."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Mark:
    """What an operator has ordered for one device.

    Attributes:
        kind: ``quarantine``: it gets nothing new, and what runs goes on; ``drain``: what runs there is stopped, too;
            ``none`` takes an earlier mark back.
        device: which.
        by: who ordered it, in words.
        at: when, seconds since the epoch.
        until: when it ends by itself, seconds since the epoch; None for never.
        services: those that it is about; empty for all.
    """

    kind: Literal["drain", "quarantine", "none"]
    device: str
    by: str
    at: float
    until: float | None = None
    services: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The mark as plain JSON values."""
        return {**asdict(self), "services": list(self.services)}

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Mark | None:
        """Read a mark; None when it is not one of ours."""
        try:
            kind, until = body["kind"], body.get("until")
            if kind not in ("drain", "quarantine", "none"):
                return None
            until = None if until is None else float(until)
            services = tuple(str(name) for name in body.get("services") or ())
            return cls(kind, str(body["device"]), str(body["by"]), float(body["at"]), until, services)
        except (KeyError, TypeError, ValueError):
            return None

    def holds(self, now: float) -> bool:
        """Whether it is in force."""
        return self.kind != "none" and (self.until is None or now < self.until)

    def bars(self, service: str, now: float) -> bool:
        """Whether the device gets no new instance of a service."""
        return self.holds(now) and (not self.services or service in self.services)

    def drains(self, service: str, now: float) -> bool:
        """Whether the device's instances of a service are to be stopped."""
        return self.kind == "drain" and self.bars(service, now)
