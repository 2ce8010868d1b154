"""What the devices are like now, as far as placing and giving back instances cares."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from orchestrator.core.device import Condition, Device
from orchestrator.core.instance import Instance


@dataclass(frozen=True, slots=True)
class Limits:
    """From when on a device is spared.

    Attributes:
        temperature_c: at this temperature it gets nothing more: boards slow themselves down.
        load: processes running or waiting per processor from which it comes last.
    """

    temperature_c: float = 80.0
    load: float = 2.0


@dataclass(frozen=True, slots=True)
class Ground:
    """What the devices are like now.

    Attributes:
        devices: those of the service's inventory pattern.
        conditions: how each answered, by name; one that was not asked is taken to be well.
        occupied: instances of every service that hold a slot.
        quarantined: names of devices that failed lately.
        capacities: messages per second of one instance of this service, by device; unknown ones are absent and count
            as the weakest that is known.
        limits: from when on a device is spared.
        drained: names of devices that an operator has drained of this service.
    """

    devices: Collection[Device]
    conditions: Mapping[str, Condition]
    occupied: Collection[Instance] = ()
    quarantined: Collection[str] = ()
    capacities: Mapping[str, float] | None = None
    limits: Limits = Limits()
    drained: Collection[str] = ()

    def capacity(self, device: str) -> float:
        """Messages per second of one instance; the weakest known where it is not, 0 when none is."""
        known = self.capacities or {}
        return known.get(device, min(known.values(), default=0.0))

    def overloaded(self, device: str) -> bool:
        """Whether more waits for its processors than they should have; unknown is no."""
        found = self.conditions.get(device)
        if found is None or found.load is None or found.cpus is None:
            return False
        return found.load > self.limits.load * found.cpus

    def hot(self, device: str) -> bool:
        """Whether it is too hot for more; unknown is no."""
        found = self.conditions.get(device)
        return (
            found is not None and found.temperature_c is not None and found.temperature_c >= self.limits.temperature_c
        )
