"""The lab's network: a bridge in a control namespace without uplink, and a cable to each device.

Nothing sent to a device's address can leave the machine, since there is nowhere to go from here.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from lab import netns
from lab.commands import run
from lab.errors import LabError
from lab.netns import ip

_NET = "10.77.0"
_BRIDGE = "br0"
#: Address of the control namespace: there the broker listens.
HUB_ADDRESS = f"{_NET}.1"
#: By the first part of a name, the last part of the address of number 1. Brokers come before the devices.
_FIRST = {"kafka": 2, "pi": 11}
#: Devices that fit into the network.
MOST = 240
#: Brokers that fit before them.
MOST_BROKERS = _FIRST["pi"] - _FIRST["kafka"]
_NAME = re.compile(r"(kafka|pi)-([1-9][0-9]{0,2})")


def parts(name: str) -> tuple[str, int]:
    """What a device is, ``pi`` or ``kafka``, and its number, counted from 1; in this order devices are listed.

    Raises:
        LabError: no device has such a name.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise LabError(f"no device is called {name}: they are pi-1, pi-2, ... and kafka-1, kafka-2, ...")
    return found[1], int(found[2])


def require_room(devices: int, brokers: int) -> None:
    """Refuse more than there are addresses for.

    Raises:
        LabError: with how many there may be.
    """
    if not 1 <= devices <= MOST:
        raise LabError(f"a lab has 1 to {MOST} devices, not {devices}")
    if not 0 <= brokers <= MOST_BROKERS:
        raise LabError(f"a lab has at most {MOST_BROKERS} brokers, not {brokers}")


def prefix_of(folder: Path) -> str:
    """What the names of everything outside a lab's folder start with."""
    return f"fv-{hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:6]}"


@dataclass(frozen=True)
class Port:
    """Where one device is plugged in.

    Attributes:
        netns: the device's own namespace.
        address: its IP address.
        link: the hub's end of its cable.
    """

    netns: str
    address: str
    link: str


@dataclass(frozen=True)
class Network:
    """All names of one lab's network, made from the lab's prefix."""

    prefix: str

    @property
    def hub(self) -> str:
        """The control namespace."""
        return f"{self.prefix}-hub"

    def port(self, name: str) -> Port:
        """The place of the device of that name, e.g. ``pi-3`` or ``kafka-1``."""
        kind, number = parts(name)
        last = _FIRST[kind] + number - 1
        return Port(f"{self.prefix}-{name}", f"{_NET}.{last}", f"v{last}")

    def create(self) -> None:
        """Make the control namespace and its bridge, as far as they are missing."""
        netns.create(self.hub)
        if _BRIDGE not in self._links():
            ip("-n", self.hub, "link", "add", _BRIDGE, "type", "bridge")
            ip("-n", self.hub, "addr", "add", f"{HUB_ADDRESS}/24", "dev", _BRIDGE)
        ip("-n", self.hub, "link", "set", _BRIDGE, "up")

    def plug(self, port: Port) -> None:
        """Make a device's namespace and its cable, as far as they are missing; the cable is not joined."""
        netns.create(port.netns)
        if port.link not in self._links():
            ip(
                "link", "add", "name", port.link, "netns", self.hub,
                "type", "veth", "peer", "name", "eth0", "netns", port.netns,
            )  # fmt: skip
            ip("-n", self.hub, "link", "set", port.link, "master", _BRIDGE)

    def join(self, port: Port) -> None:
        """Let packets through a device's cable."""
        run(self._switch(port, "up"))

    def cut(self, port: Port) -> None:
        """Let nothing through a device's cable; nobody is told, as when it is pulled."""
        if port.link in self._links():
            run(self.silence(port))

    def silence(self, port: Port) -> list[str]:
        """The command that cuts a device's cable: the kernel answers for a device that is off otherwise."""
        return self._switch(port, "down")

    @staticmethod
    def fresh(port: Port) -> list[list[str]]:
        """The commands that give a device which boots its address, whatever it had before."""
        at = ["ip", "-n", port.netns]
        return [
            [*at, "addr", "flush", "dev", "eth0"],
            [*at, "addr", "add", f"{port.address}/24", "dev", "eth0"],
            [*at, "link", "set", "lo", "up"],
            [*at, "link", "set", "eth0", "up"],
            [*at, "route", "replace", "default", "via", HUB_ADDRESS],
        ]

    def _switch(self, port: Port, state: str) -> list[str]:
        return ["ip", "-n", self.hub, "link", "set", port.link, state]

    def _links(self) -> set[str]:
        return {link["ifname"] for link in json.loads(ip("-n", self.hub, "-j", "link", "show") or "[]")}
