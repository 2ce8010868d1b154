"""A device: a host of the inventory that can run instances; and the condition that a probe found it in."""

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
        labels: what services may ask for (``fogverse_labels``).
    """

    name: str
    address: str
    slots: int = 1
    capacity: float | None = None
    device_class: str | None = None
    labels: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Condition:
    """How a device was when it was last asked; None for what it could not say.

    Attributes:
        reachable: whether it answered.
        reason: why not, in words; empty when it did.
        arch: machine architecture, e.g. ``aarch64``.
        model: what the board calls itself, e.g. ``Raspberry Pi 4 Model B Rev 1.4``.
        cpus: processors.
        load: processes running or waiting, mean of the last minute.
        memory_mb: memory that can be used without swapping.
        temperature_c: the hottest sensor, degrees Celsius.
    """

    reachable: bool
    reason: str = ""
    arch: str | None = None
    model: str | None = None
    cpus: int | None = None
    load: float | None = None
    memory_mb: int | None = None
    temperature_c: float | None = None

    @property
    def device_class(self) -> str | None:
        """The model, else architecture and number of processors; None when neither is known."""
        if self.model is not None:
            return self.model
        return None if self.arch is None or self.cpus is None else f"{self.arch} with {self.cpus} processors"
