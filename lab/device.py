"""One simulated device: a Debian that boots in a container with its own disk, network and share of a processor."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lab import files, supervisor
from lab.base import USER, require_base
from lab.cgroup import Cgroup, Trees
from lab.commands import run
from lab.daemon import Daemon
from lab.errors import LabError
from lab.java import java_folders
from lab.keys import generate
from lab.mounts import mount_overlay, mounts
from lab.network import HUB_ADDRESS, Network, Port, parts
from lab.record import DeviceStatus, Record, State
from orchestrator.project import PROJECT

#: The user of Ansible and of the master: it may do by sudo what the docs' file of sudoers names.
AUTOMATION = "orchestrator"
_SUDOERS = PROJECT / "roles" / "fogverse_device" / "files" / "sudoers"
_HOST_KEY = "etc/ssh/ssh_host_ed25519_key"
_BOOT_S = 20.0
_STOP_S = 10.0


@dataclass(frozen=True)
class Device:
    """The files, the power switch and the cable of one device.

    Attributes:
        name: inventory and host name, ``pi-3``; its address follows from it.
        folder: its files in the lab, ``.lab/devices/NAME``.
        network: where it is plugged in.
        trees: where its control group is.
    """

    name: str
    folder: Path
    network: Network
    trees: Trees

    @property
    def port(self) -> Port:
        """Its place in the lab's network."""
        return self.network.port(self.name)

    @property
    def cgroup(self) -> Cgroup:
        """Its control group."""
        return Cgroup(self.trees, f"{self.network.prefix}/{self.name}")

    @property
    def root(self) -> Path:
        """Its whole file system, while the lab is up; readable also when the device is off."""
        return self.folder / "root"

    @property
    def host_key(self) -> str:
        """The public half of its host key."""
        return (self.root / f"{_HOST_KEY}.pub").read_text(encoding="utf-8")

    @property
    def record(self) -> Record:
        """What was decided about it earlier.

        Raises:
            LabError: its files are damaged.
        """
        file = self.folder / "device.json"
        try:
            return Record(**json.loads(file.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            raise LabError(f"{file} is damaged: 'orchestrator lab down' removes the device") from None

    def status(self) -> DeviceStatus:
        """Its state, found out from the kernel."""
        record = self.record
        state: State = "on"
        if not self.is_on():
            state = "off"
        elif self.cgroup.is_frozen():
            state = "frozen"
        elif record.is_cut:
            state = "cut"
        return DeviceStatus(self.name, self.port.address, state, record.cpu)

    def is_on(self) -> bool:
        """Whether a process of it lives."""
        return self.cgroup.is_populated()

    def create(self, base: Path, cpu: int | None, public_key: str) -> None:
        """Make its disk and network, as far as they are missing; a new one is off.

        Args:
            base: root file system; an existing device keeps the one it was made from.
            cpu: percent of one core of a new device.
            public_key: may log in.
        """
        is_new = not (self.folder / "device.json").exists()
        if is_new:
            shutil.rmtree(self.folder, ignore_errors=True)
        for part in ("root", "upper", "work"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        if not any(mount.target == self.root for mount in mounts()):
            lower = base if is_new else Path(self.record.base)
            require_base(lower)
            mount_overlay(self.port.netns, lower, self.folder / "upper", self.folder / "work", self.root)
        if is_new:
            self._furnish(public_key)
            self._note(Record(str(base), cpu))
        self.network.plug(self.port)

    def power_on(self, *, boost: bool = False) -> None:
        """Start it; returns when its first process runs, long before it can be logged in to.

        Args:
            boost: boot with the whole processor; the caller limits it afterwards.

        Raises:
            LabError: it does not start; its console's last lines are in the text.
        """
        if self.is_on():
            return
        # Left behind by a supervisor that was killed together with its device, or before it.
        self._supervisor.stop(_STOP_S)
        self.cgroup.remove()
        self.cgroup.create()
        self.cgroup.limit_cpu(None if boost else self.record.cpu)
        if not self.record.is_cut:
            self.network.join(self.port)
        files.write(self.folder / "boot.json", json.dumps(self._boot_plan()))
        program = Path(supervisor.__file__)
        self._supervisor.start(
            [sys.executable, "-I", "-S", str(program), self.port.netns, str(self.folder / "boot.json")],
            log=self._console,
        )
        deadline = time.monotonic() + _BOOT_S
        while not self.cgroup.has_booted():
            if self._supervisor.ended(0.02) or time.monotonic() > deadline:
                raise LabError(f"{self.name} did not start, see {self._console}:\n{files.tail(self._console)}")

    def power_off(self) -> None:
        """Pull the power: everything in it dies at one instant, and its link goes down without a word."""
        self.network.cut(self.port)
        self.cgroup.kill()
        if not self._supervisor.ended(_STOP_S):
            raise LabError(f"the supervisor of {self.name} does not end, see {self._console}")
        self._supervisor.stop(_STOP_S)
        self.cgroup.remove()

    def cut(self) -> None:
        """Pull its network cable; it runs on."""
        self._note(replace(self.record, is_cut=True))
        self.network.cut(self.port)

    def join(self) -> None:
        """Plug its network cable in again."""
        self._note(replace(self.record, is_cut=False))
        if self.is_on():
            self.network.join(self.port)

    def limit_cpu(self, percent: int | None) -> None:
        """Change its share of a processor core, now and after each power cycle."""
        if self.is_on():
            self.cgroup.limit_cpu(percent)
        self._note(replace(self.record, cpu=percent))

    def freeze(self) -> None:
        """Let it hang: connections are taken by the kernel and nobody answers."""
        if not self.is_on():
            raise LabError(f"{self.name} is off: 'orchestrator lab power-on {self.name}' first")
        self.cgroup.freeze()

    def thaw(self) -> None:
        """Let it go on after ``freeze``."""
        self.cgroup.thaw()

    @property
    def _console(self) -> Path:
        return self.folder / "console.log"

    @property
    def _supervisor(self) -> Daemon:
        return Daemon(self.folder / "supervisor.pid", mark=self.port.netns)

    def _note(self, record: Record) -> None:
        files.write(self.folder / "device.json", json.dumps(asdict(record)) + "\n")

    def _furnish(self, public_key: str) -> None:
        hosts = f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n{HUB_ADDRESS} control\n"
        files.write(self.root / "etc/hostname", f"{self.name}\n")
        files.write(self.root / "etc/hosts", hosts)  # without its own name each sudo takes 20 s
        generate(self.root / _HOST_KEY, self.name)
        sudoers = _SUDOERS.read_text(encoding="utf-8")
        files.write(self.root / "etc/sudoers.d" / AUTOMATION, sudoers, mode=0o440)
        if not (self.root / "home" / AUTOMATION).is_dir():  # a copied card has the user already
            run(["chroot", str(self.root), "useradd", "--create-home", "--shell", "/bin/sh", AUTOMATION])
        for user in (USER, AUTOMATION):
            home = self.root / "home" / user
            owner = home.stat()
            files.write(home / ".ssh/authorized_keys", public_key, mode=0o600)
            (home / ".ssh").chmod(0o700)
            for path in (home / ".ssh", home / ".ssh/authorized_keys"):
                os.chown(path, owner.st_uid, owner.st_gid)

    def _boot_plan(self) -> dict[str, object]:
        machine = self.port.netns
        # A broker's device has this machine's Java: installing one for each would take longer than all the rest.
        shown = java_folders() if parts(self.name)[0] == "kafka" else []
        return {
            "prepare": self.network.fresh(self.port),
            "finish": self.network.silence(self.port),
            "groups": [str(file) for file in self.cgroup.entries()],
            "environment": [
                "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1",
                "SYSTEMD_NSPAWN_LOCK=0",
                "SYSTEMD_NSPAWN_API_VFS_WRITABLE=network",
            ],
            "command": [
                "systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit",
                f"--directory={self.root}", f"--machine={machine}", f"--hostname={self.name}",
                f"--network-namespace-path=/run/netns/{machine}", "--capability=CAP_NET_ADMIN",
                "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=pipe",
                *(f"--bind-ro={folder}" for folder in shown),
            ],
        }  # fmt: skip
