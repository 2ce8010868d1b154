"""A device: a host of the inventory that can run instances."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Device:
    """One inventory host, as far as placement cares.

    Attributes:
        name: inventory name.
        address: what SSH connects to.
        slots: instances it may run at once (``fogverse_slots``, 1 unless told).
        capacity: messages per second of one instance (``fogverse_capacity``), None when not told.
        device_class: devices of one class are taken to be equally fast (``fogverse_class``, else what the probe says:
            model, or architecture and processors); None when unknown.
    """

    name: str
    address: str
    slots: int = 1
    capacity: float | None = None
    device_class: str | None = None
