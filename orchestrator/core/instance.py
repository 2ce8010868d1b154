"""The name of one consumer process, the same everywhere: Kafka, systemd, reports, inventory."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = re.compile(r"(?P<service>[a-z][a-z0-9-]*)@(?P<device>[A-Za-z0-9_][A-Za-z0-9_.-]*)\.(?P<slot>[1-9][0-9]*)")


@dataclass(frozen=True, slots=True, order=True)
class Instance:
    """One consumer process of a service in a slot of a device, e.g. ``analyzer@pi-3.1``.

    ``str(instance)`` is its Kafka ``client_id`` and its name in every report and log;
    ``unit`` is its systemd unit on the device. ``slot`` counts from 1.
    """

    service: str
    device: str
    slot: int

    def __str__(self) -> str:
        return f"{self.service}@{self.device}.{self.slot}"

    @property
    def unit(self) -> str:
        """The systemd unit on the device, e.g. ``fogverse-analyzer@1.service``."""
        return f"fogverse-{self.service}@{self.slot}.service"

    @classmethod
    def parse(cls, name: str) -> Instance | None:
        """Read ``service@device.slot``; None for a name that is not of that form (a foreign client)."""
        found = _NAME.fullmatch(name)
        return cls(found["service"], found["device"], int(found["slot"])) if found else None
