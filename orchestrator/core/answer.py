"""Puts a decision of the policy ``capacity`` together, with every number that explains it."""

from __future__ import annotations

import math

from orchestrator.core.decision import Decision, Kind, Number
from orchestrator.core.features import Features
from orchestrator.core.policy_settings import CapacitySettings
from orchestrator.core.service import Service


class Answer:
    """The numbers of one decision as they become known, and the decision in the end."""

    def __init__(
        self, service: Service, features: Features, current: int | None, rule: CapacitySettings, now: float
    ) -> None:
        """Begin with what was seen."""
        self._service, self._current, self._now = service, current, now
        self._numbers: dict[str, Number] = {
            "lag": features.lag,
            "partitions": features.partitions,
            "target_utilisation": rule.utilisation,
            "utilisation_max": rule.utilisation_max,
            "catch_up_s": rule.catch_up_s,
            "next_look_at": now + rule.refresh_s,
        }
        traffic = features.traffic
        if traffic is not None:
            self.tell(
                arrival_per_s=traffic.arrival,
                arrival_low_per_s=traffic.arrival_low,
                arrival_steady_per_s=traffic.arrival_steady,
                arrival_noise_per_s=traffic.noise,
                output_per_s=traffic.output_now,
                output_from=traffic.output_from,
                lag_lasting=traffic.lag_least,
                lag_drain_per_s=traffic.lag_drain,
            )

    def tell(self, **numbers: Number) -> None:
        """Add numbers; None is what is not known."""
        for name, value in numbers.items():
            self._numbers[name] = _rounded(value) if isinstance(value, float) else value

    def __call__(self, kind: Kind, reason: str, *, desired: int | None = None, cap: str | None = None) -> Decision:
        """The decision; ``desired`` is the present number of instances unless told."""
        wanted = self._current if desired is None else desired
        return Decision(self._service.name, self._now, self._current, wanted, kind, reason, self._numbers, cap)


def _rounded(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None
