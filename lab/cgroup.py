"""The control group of one device: its processes, its share of the processor, freezing.

Two arrangements are known. Plain v2: everything is one tree. Hybrid: processes and freezing are in the
v2 tree below ``unified``, the processor's quota is in the v1 tree ``cpu``, and systemd-nspawn copies the
groups of the former into the tree ``systemd``, from which nobody but us removes them.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError

ROOT = Path("/sys/fs/cgroup")
_PERIOD_US = 100_000


@dataclass(frozen=True)
class Trees:
    """Where this machine keeps control groups.

    Attributes:
        unified: root of the v2 tree.
        cpu: root of the tree with the processor's quota; the same on plain v2.
        copy: root of the tree into which systemd-nspawn copies its groups, on hybrid machines.
    """

    unified: Path
    cpu: Path
    copy: Path | None = None

    @property
    def is_hybrid(self) -> bool:
        """Whether the processor's quota is in a v1 tree of its own."""
        return self.cpu != self.unified

    def remove(self, name: str) -> None:
        """Remove the group ``name``, with all groups below it, from every tree; none may hold a process."""
        for root in {self.unified, self.cpu, self.copy or self.cpu}:
            _remove(root / name)

    @classmethod
    def detect(cls, root: Path = ROOT) -> Trees:
        """Find out what is mounted below ``root``.

        Raises:
            LabError: neither arrangement is there.
        """
        if (root / "cgroup.controllers").exists():
            return cls(root, root)
        if (root / "unified" / "cgroup.procs").exists() and (root / "cpu" / "cgroup.procs").exists():
            return cls(root / "unified", root / "cpu", root / "systemd")
        raise LabError(
            f"no control groups for devices: {root} is neither cgroup v2 nor the hybrid of v1 and v2 "
            "(with v2 in its folder 'unified'); start the machine with systemd.unified_cgroup_hierarchy=1"
        )


@dataclass(frozen=True)
class Cgroup:
    """One group, named ``<prefix>/<device>``, in each tree."""

    trees: Trees
    name: str

    def create(self) -> None:
        """Make it, if it is not there.

        Raises:
            LabError: the kernel does not let the processor be limited here.
        """
        if not self.trees.is_hybrid:
            for group in (self.trees.unified, self._unified.parent):
                with _told(group):
                    group.mkdir(exist_ok=True)
                    _enable(group, ("cpu", "memory", "pids"))
        for folder in self._folders:
            with _told(folder):
                folder.mkdir(parents=True, exist_ok=True)
        self._weigh()

    def entries(self) -> list[Path]:
        """The files that take the process which is to belong to it."""
        return [folder / "cgroup.procs" for folder in self._folders]

    def limit_cpu(self, percent: int | None) -> None:
        """Allow ``percent`` of one processor core (200: two cores), None: all there is."""
        quota = percent * _PERIOD_US // 100 if percent else None
        with _told(self._cpu):
            if self.trees.is_hybrid:
                (self._cpu / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
                (self._cpu / "cpu.cfs_quota_us").write_text(str(quota or -1))
            else:
                (self._cpu / "cpu.max").write_text(f"{quota or 'max'} {_PERIOD_US}")

    def cpu_limit(self) -> int | None:
        """Percent of one core that it may use, None when unlimited."""
        if self.trees.is_hybrid:
            quota = (self._cpu / "cpu.cfs_quota_us").read_text().strip()
        else:
            quota = (self._cpu / "cpu.max").read_text().split()[0]
        return None if quota in {"-1", "max"} else int(quota) * 100 // _PERIOD_US

    def is_populated(self) -> bool:
        """Whether it has a process that lives."""
        return self._event("populated")

    def has_booted(self) -> bool:
        """Whether the device's first process runs."""
        return _content(self._unified / "payload" / "init.scope" / "cgroup.procs") != ""

    def is_frozen(self) -> bool:
        """Whether it is, or is being, frozen."""
        return _content(self._unified / "cgroup.freeze") == "1"

    def freeze(self, timeout_s: float = 10.0) -> None:
        """Stop all its processes where they are, as a hung machine."""
        with _told(self._unified):
            (self._unified / "cgroup.freeze").write_text("1")
        if not self._wait("frozen", value=True, timeout_s=timeout_s):
            raise LabError(f"{self.name} does not freeze: a process of it waits in the kernel")

    def thaw(self) -> None:
        """Let its processes go on."""
        if self.is_frozen():
            (self._unified / "cgroup.freeze").write_text("0")

    def kill(self, timeout_s: float = 10.0) -> None:
        """Kill everything in it at one instant, frozen or not, and wait until it is empty.

        Raises:
            LabError: a process is left.
        """
        switch = self._unified / "cgroup.kill"
        if not self._unified.exists():
            return
        with _told(switch):
            switch.write_text("1")
        self.thaw()
        if not self._wait("populated", value=False, timeout_s=timeout_s):
            raise LabError(f"processes of {self.name} do not end, even killed: see {self._unified}/cgroup.procs")

    def remove(self) -> None:
        """Remove it with all groups below; it must be empty."""
        self.trees.remove(self.name)

    @property
    def _unified(self) -> Path:
        return self.trees.unified / self.name

    @property
    def _cpu(self) -> Path:
        return self.trees.cpu / self.name

    @property
    def _folders(self) -> list[Path]:
        return [self._unified, self._cpu] if self.trees.is_hybrid else [self._unified]

    def _weigh(self) -> None:
        """Let all devices together weigh as much as so many processes of this machine, instead of as one of them."""
        of_lab = self._cpu.parent
        devices = sum(1 for folder in of_lab.iterdir() if folder.is_dir())
        name, each, most = ("cpu.shares", 1024, 262_144) if self.trees.is_hybrid else ("cpu.weight", 100, 10_000)
        with _told(of_lab):
            (of_lab / name).write_text(str(min(most, devices * each)))

    def _event(self, key: str) -> bool:
        return f"{key} 1" in _content(self._unified / "cgroup.events")

    def _wait(self, key: str, *, value: bool, timeout_s: float) -> bool:
        """Wait until an event flag has a value; the kernel wakes us at each change."""
        deadline = time.monotonic() + timeout_s
        try:
            events = (self._unified / "cgroup.events").open(encoding="ascii")
        except FileNotFoundError:
            return not value
        with events:
            poll = select.poll()
            poll.register(events, select.POLLPRI)
            while time.monotonic() < deadline:
                events.seek(0)
                if (f"{key} 1" in events.read()) is value:
                    return True
                poll.poll(100)
        return self._event(key) is value


def _remove(folder: Path) -> None:
    if not folder.exists():
        return
    below = sorted((path for path in folder.rglob("*") if path.is_dir()), key=lambda path: -len(path.parts))
    for group in (*below, folder):
        with _told(group):
            group.rmdir()


def _enable(group: Path, controllers: tuple[str, ...]) -> None:
    switch = group / "cgroup.subtree_control"
    enabled = _content(switch).split()
    known = _content(group / "cgroup.controllers").split()
    if "cpu" not in known:
        raise LabError(f"{group} has no cpu controller: devices cannot be limited on this machine")
    for controller in controllers:
        if controller in known and controller not in enabled:
            switch.write_text(f"+{controller}")


def _content(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except OSError:  # a group vanishes between two reads
        return ""


@contextmanager
def _told(place: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise LabError(f"no control group {place}: the device is off, or this kernel is older than 5.14") from None
    except OSError as problem:
        raise LabError(f"control group {place}: {problem.strerror}") from None
