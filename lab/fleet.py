"""A lab: some simulated devices, one network, one key; everything found again by its folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lab import leftovers, netns
from lab.base import require_base
from lab.broker import LocalBroker
from lab.commands import require_programs, require_root
from lab.device import Device
from lab.errors import LabError
from lab.guard import Guard
from lab.inotify import allow_devices
from lab.keys import Keys
from lab.locks import locked
from lab.login import login_command, wait_for_login, write_wrappers
from lab.network import HUB_ADDRESS, Network, parts, prefix_of, require_room
from lab.record import DeviceStatus
from lab.shelf import Shelf

_PROGRAMS = ("ip", "mount", "nsenter", "setsid", "ssh", "ssh-keygen", "systemd-nspawn")
_BROKER_PORT = 9092
_AT_ONCE = 4


@dataclass(frozen=True)
class Lab:
    """The lab of one folder. It may be down: every method says what it needs.

    Attributes:
        folder: devices, keys and broker of this lab.
        base: root file system that new devices start from, see :func:`lab.base.build`.
    """

    folder: Path
    base: Path

    @property
    def prefix(self) -> str:
        """Starts the names of its namespaces, control groups and mounts; no other lab has it."""
        return prefix_of(self.folder)

    @property
    def hub_netns(self) -> str:
        """Network namespace from which the devices are reached, and where the broker runs."""
        return self._network.hub

    @property
    def keys(self) -> Keys:
        """Its SSH keys and known hosts."""
        return Keys(self.folder.absolute() / "ssh")

    @property
    def ssh_program(self) -> Path:
        """An ``ssh`` that reaches the devices from anywhere on this machine; ``sftp``, ``scp`` are beside it."""
        return self.keys.folder / "ssh"

    @property
    def control_path(self) -> Path:
        """Folder for the sockets of shared SSH connections: short, since a socket's path may not be long."""
        return Path("/run") / self.prefix

    @property
    def bootstrap(self) -> str:
        """Where its brokers listen, seen from the devices and the control namespace."""
        hosts = [device.address for device in self.brokers()] or [HUB_ADDRESS]
        return ",".join(f"{host}:{_BROKER_PORT}" for host in hosts)

    def broker(self, jars: Path, guard: Guard | None = None) -> LocalBroker:
        """A broker of its own without a device, inside the devices' network; guarded, or open to everybody."""
        return LocalBroker(
            self.folder.absolute() / "kafka",
            jars,
            host=HUB_ADDRESS,
            port=_BROKER_PORT,
            netns=self.hub_netns,
            guard=guard,
        )

    def is_up(self) -> bool:
        """Whether its network is there; devices may still be off."""
        return netns.exists(self.hub_netns)

    def up(
        self,
        devices: int = 3,
        cpu: int | None = 25,
        *,
        brokers: int = 0,
        timeout_s: float = 60.0,
        say: Callable[[str], None] = lambda _line: None,
    ) -> list[DeviceStatus]:
        """Let devices ``pi-1`` to ``pi-<devices>`` run and wait until each can be logged in to.

        What runs is left alone, what is off, cut or frozen is brought back, what is missing is made.
        Devices with higher numbers stay as they are.

        Args:
            devices: how many.
            cpu: percent of one core that each *new* device may use once it has booted; None for all.
            brokers: how many devices ``kafka-1``, ... run as well, with Java, and all of the processor.
            timeout_s: seconds until the last one must answer.
            say: told what happens.

        Raises:
            LabError: with what is missing, or which device did not come.
        """
        require_room(devices, brokers)
        require_root()
        require_programs(_PROGRAMS)
        deadline = time.monotonic() + timeout_s
        with locked(self._lock):
            self._require_no_other_broker(brokers)
            require_base(self.base)
            allow_devices(devices + brokers, say)
            self.keys.create()
            write_wrappers(self.ssh_program, self.hub_netns)
            self.control_path.mkdir(mode=0o700, exist_ok=True)
            self._network.create()
            wanted = [self._shelf.place(f"kafka-{number}") for number in range(1, brokers + 1)]
            wanted += [self._shelf.place(f"pi-{number}") for number in range(1, devices + 1)]
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                for device, words in zip(
                    wanted, pool.map(lambda device: self._bring(device, cpu, deadline), wanted), strict=True
                ):
                    say(f"{device.name} {device.port.address} {words}")
        return self.devices()

    def down(self, say: Callable[[str], None] = lambda _line: None) -> None:
        """End the lab and its broker and remove every trace outside its folder, also of one that crashed.

        The broker's data, the key and the root file system stay.

        Args:
            say: told which foreign processes are still inside the lab's network.
        """
        require_root()
        with locked(self._lock):
            self._any_broker.down()
            leftovers.remove(self.prefix, self.folder.absolute(), self.control_path, say)

    def devices(self) -> list[DeviceStatus]:
        """All its devices, whatever state they are in, by number; those of brokers first."""
        return [device.status() for device in self._shelf.devices()]

    def brokers(self) -> list[DeviceStatus]:
        """Those of its devices that are there for brokers; none where one broker without a device is enough."""
        return [device for device in self.devices() if parts(device.name)[0] == "kafka"]

    def power_off(self, name: str) -> None:
        """Pull the power of a device; what it had not written to its disk is lost."""
        self._change(name, Device.power_off)

    def power_on(self, name: str, timeout_s: float = 60.0) -> None:
        """Start a device that is off and wait until it can be logged in to (unless its cable is cut)."""
        self._change(name, Device.power_on)
        device = self._shelf.named(name)
        if not device.record.is_cut:
            self._wait(device, time.monotonic() + timeout_s)

    def cut(self, name: str) -> None:
        """Pull the network cable of a device."""
        self._change(name, Device.cut)

    def join(self, name: str) -> None:
        """Plug the network cable of a device in again."""
        self._change(name, Device.join)

    def freeze(self, name: str) -> None:
        """Let a device hang with its link up."""
        self._change(name, Device.freeze)

    def thaw(self, name: str) -> None:
        """Let a frozen device go on."""
        self._change(name, Device.thaw)

    def cpu(self, name: str, percent: int | None) -> None:
        """Change a device's share of a processor core: 25 is a quarter of one, None all there is."""
        self._change(name, lambda device: device.limit_cpu(percent))

    def root(self, name: str) -> Path:
        """A device's file system, seen from this machine; also while it is off."""
        return self._shelf.named(name).root

    def ssh_command(self, name: str, *command: str) -> list[str]:
        """The command that logs in to a device, and runs ``command`` there if one is given."""
        return [*login_command(self.ssh_program, self.keys, self._shelf.named(name).port.address), *command]

    @property
    def _network(self) -> Network:
        return Network(self.prefix)

    @property
    def _shelf(self) -> Shelf:
        return Shelf(self.folder.absolute() / "devices", self._network)

    @property
    def _lock(self) -> Path:
        return self.folder / "lab.lock"

    @property
    def _any_broker(self) -> LocalBroker:
        """The broker of this folder wherever it listens; to stop it no jars are needed."""
        return LocalBroker(self.folder.absolute() / "kafka", self.folder / "jars")

    def _change(self, name: str, change: Callable[[Device], None]) -> None:
        require_root()
        with locked(self._lock):
            device = self._shelf.named(name)
            if not self.is_up():
                raise LabError("the lab is down: 'orchestrator lab up' brings it back")
            change(device)

    def _bring(self, device: Device, cpu: int | None, deadline: float) -> str:
        """Make a device run and answer; returns what was done."""
        began = time.monotonic()
        device.create(self.base, cpu if parts(device.name)[0] == "pi" else None, self.keys.public)
        if device.is_on():
            device.thaw()
            device.join()
            words = "runs"
        else:
            device.join()
            device.power_on(boost=True)
            words = "started"
        self.keys.publish({device.port.address: device.host_key})
        self._wait(device, deadline)
        device.limit_cpu(device.record.cpu)
        return f"{words}, answers after {time.monotonic() - began:.1f} s"

    def _wait(self, device: Device, deadline: float) -> None:
        wait_for_login(self.ssh_command(device.name, "true"), self.hub_netns, device.port.address, deadline)

    def _require_no_other_broker(self, brokers: int) -> None:
        status = self._any_broker.status()
        if status.state == "running" and brokers:
            raise LabError(
                f"this lab has a broker without a device, on {status.bootstrap}, with topics of its own: "
                "'orchestrator lab kafka down' ends it"
            )
        if status.state == "running" and status.netns is None:
            raise LabError(
                f"the broker of this lab runs on {status.bootstrap}, where devices cannot reach it: "
                "stop it with 'orchestrator lab kafka down' first"
            )
