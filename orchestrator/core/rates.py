"""What one instance manages on each device: told by the user, learned for its class, or that of the weakest class."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core.device import Device
from orchestrator.core.estimate import Estimate

#: The class of a device about which nothing is known.
UNKNOWN_CLASS = "unknown"


def class_of(devices: Mapping[str, Device], name: str) -> str:
    """The class of a device by its name."""
    device = devices.get(name)
    return UNKNOWN_CLASS if device is None or device.device_class is None else device.device_class


class Rates:
    """Messages per second of one busy instance, by device."""

    def __init__(self, devices: Mapping[str, Device], capacities: Mapping[str, Estimate]) -> None:
        """Take what is known.

        Args:
            devices: the devices that the service may use, by name.
            capacities: what was learned, by device class.
        """
        self.devices = devices
        self._by_class = {name: cautious(estimate) for name, estimate in capacities.items()}
        told = [device.capacity for device in devices.values() if device.capacity is not None]
        #: Of a device that nothing is known of: the weakest rate that is known; None when none is.
        self.usual = min([*self._by_class.values(), *told], default=None)

    def of(self, name: str) -> float | None:
        """The rate to reckon with on a device; None while nothing is known of any.

        ``fogverse_capacity``, or the estimate of its class less its standard error, or that of the weakest device.
        """
        device = self.devices.get(name)
        if device is None:
            return self._by_class.get(UNKNOWN_CLASS, self.usual)
        if device.capacity is not None:
            return device.capacity
        return self._by_class.get(device.device_class or UNKNOWN_CLASS, self.usual)


def cautious(estimate: Estimate) -> float:
    """An estimate less its standard error, but not less than half of it."""
    return max(estimate.rate - estimate.error, estimate.rate / 2)
