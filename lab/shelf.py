"""Where a lab's devices stand: one folder each, found again whatever state the device is in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.cgroup import Trees
from lab.device import Device
from lab.errors import LabError
from lab.network import Network, parts


@dataclass(frozen=True)
class Shelf:
    """The devices of one lab.

    Attributes:
        folder: holds a folder for each, absolute.
        network: that they are plugged in to.
    """

    folder: Path
    network: Network

    def place(self, name: str) -> Device:
        """The device of that name, which need not be there yet."""
        return Device(name, self.folder / name, self.network, Trees.detect())

    def devices(self) -> list[Device]:
        """Those that are there, by number; those of brokers first."""
        files = self.folder.glob("*/device.json")
        return [self.place(name) for name in sorted((file.parent.name for file in files), key=parts)]

    def named(self, name: str) -> Device:
        """The device of that name.

        Raises:
            LabError: there is none; it lists those there are.
        """
        devices = {device.name: device for device in self.devices()}
        if name not in devices:
            known = f"there are {', '.join(devices)}" if devices else "start some with 'orchestrator lab up'"
            raise LabError(f"no device {name}: {known}")
        return devices[name]
