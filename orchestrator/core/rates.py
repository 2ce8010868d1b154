"""What one instance manages on each device: told by the user, learned for its class, or that of the weakest class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.core.device import Device
from orchestrator.core.estimate import Estimate

#: The class of a device about which nothing is known.
UNKNOWN_CLASS = "unknown"


def class_of(devices: Mapping[str, Device], name: str) -> str:
    """The class of a device by its name."""
    device = devices.get(name)
    return UNKNOWN_CLASS if device is None or device.device_class is None else device.device_class


@dataclass(frozen=True, slots=True)
class Rates:
    """Messages per second of one busy instance, by device.

    Attributes:
        devices: the devices that the service may use, by name.
        capacities: what was learned, by device class.
    """

    devices: Mapping[str, Device]
    capacities: Mapping[str, Estimate]

    def of(self, name: str) -> float | None:
        """The rate to reckon with on a device: ``fogverse_capacity``, or the estimate less its standard error.

        A class that nothing is known of counts as the weakest that is known; None when none is.
        """
        device = self.devices.get(name)
        if device is not None and device.capacity is not None:
            return device.capacity
        estimate = self.capacities.get(class_of(self.devices, name))
        if estimate is not None:
            return cautious(estimate)
        told = [d.capacity for d in self.devices.values() if d.capacity is not None]
        return min([*(cautious(e) for e in self.capacities.values()), *told], default=None)


def cautious(estimate: Estimate) -> float:
    """An estimate less its standard error, but not less than half of it."""
    return max(estimate.rate - estimate.error, estimate.rate / 2)
