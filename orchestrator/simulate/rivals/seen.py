"""What a rival may look at, once a second: the true state, without noise or delay, so none is put at a disadvantage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from orchestrator.simulate.plant import Plant


@dataclass(frozen=True, slots=True)
class Seen:
    """The last second.

    Attributes:
        at: seconds from the beginning.
        replicas: instances that run or are being started.
        ready: living members of the group.
        arrived: messages that came in.
        served: messages that were finished.
        lags: messages not committed, by partition.
        work: messages finished and seconds busy, of each living member.
        most: ``max_instances``.
        least: ``min_instances``, at least 1.
    """

    at: int
    replicas: int
    ready: int
    arrived: float
    served: float
    lags: tuple[float, ...]
    work: tuple[tuple[float, float], ...]
    most: int
    least: int

    @property
    def lag(self) -> float:
        """Messages not committed in all."""
        return sum(self.lags)

    @property
    def busy_s(self) -> float:
        """Seconds busy of all living members together."""
        return sum(busy for _, busy in self.work)

    def within(self, wanted: int) -> int:
        """``wanted`` within the limits."""
        return min(max(wanted, self.least), self.most)


class Rival(Protocol):
    """A rule that says how many instances there should be."""

    def decide(self, seen: Seen) -> int | None:
        """Called every second; None leaves things as they are."""


def look(plant: Plant, replicas: int) -> Seen:
    """Read the plant."""
    service, now = plant.scenario.service, plant.second
    living = [r for r in plant.running.values() if not r.dead and r.joined_at < now]
    return Seen(
        at=now,
        replicas=replicas,
        ready=len(living),
        arrived=float(plant.arrived[-1].sum()),
        served=float(plant.served[-1].sum()),
        lags=tuple(float(v) for v in plant.ends - plant.committed),
        work=tuple((r.busy_s * r.rate, r.busy_s) for r in living),
        most=service.max_instances,
        least=max(1, service.min_instances),
    )
