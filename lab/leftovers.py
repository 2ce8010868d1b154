"""Ends and removes whatever carries a lab's prefix, whether its files are still there or not."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from lab import netns
from lab.cgroup import Cgroup, Trees
from lab.mounts import mounts, unmount
from lab.processes import arguments, end, running, send, wait_for_end

#: Where systemd-nspawn leaves an empty folder for each machine name.
PROPAGATE = Path("/run/systemd/nspawn/propagate")
_END_S = 10.0


def remove(prefix: str, folder: Path, control_path: Path, say: Callable[[str], None]) -> None:
    """End a lab: shared SSH connections, supervisors, devices, broker, mounts, namespaces, control groups.

    Args:
        prefix: starts the name of everything that is removed.
        folder: the lab's; its ``devices`` are deleted.
        control_path: folder of sockets of shared SSH connections.
        say: told about processes of others inside the network; they are left alone.
    """
    hub = f"{prefix}-hub"
    _end_ssh_masters(hub, control_path)
    _end_supervisors(prefix)
    _end_devices(prefix)
    _end_broker(hub, folder)
    for mount in reversed(mounts()):
        if mount.source.startswith(f"{prefix}-") or mount.target.is_relative_to(folder / "devices"):
            unmount(mount.target)
    for pid in netns.pids(hub):
        say(f"still inside the lab's network: process {pid} ({' '.join(arguments(pid))[:80]})")
    for name in netns.names(f"{prefix}-"):
        netns.delete(name)
    shutil.rmtree(control_path, ignore_errors=True)
    if PROPAGATE.is_dir():
        for entry in PROPAGATE.glob(f"{prefix}-*"):
            entry.rmdir()
    shutil.rmtree(folder / "devices", ignore_errors=True)


def _end_ssh_masters(hub: str, control_path: Path) -> None:
    """A shared connection would outlive its network by minutes, and later commands would hang on it."""
    masters = {pid for pid, line in running().items() if line[0].startswith(f"ssh: {control_path}/")}
    inside = {pid for pid in netns.pids(hub) if (arguments(pid) or [""])[0].endswith("[mux]")}
    for pid in masters | inside:
        end(pid, 2.0)


def _end_supervisors(prefix: str) -> None:
    for pid, line in running().items():
        if line[-1].endswith("/boot.json") and any(word.startswith(f"{prefix}-") for word in line):
            send(pid, signal.SIGKILL)
            wait_for_end(pid, _END_S)


def _end_devices(prefix: str) -> None:
    trees = Trees.detect()
    group = trees.unified / prefix
    if group.is_dir():
        for device in group.iterdir():
            if device.is_dir():
                Cgroup(trees, f"{prefix}/{device.name}").kill()
    trees.remove(prefix)


def _end_broker(hub: str, folder: Path) -> None:
    """The broker whose pid file is lost."""
    for pid in netns.pids(hub):
        line = arguments(pid)
        if line and Path(line[-1]).is_relative_to(folder) and line[-1].endswith("/server.properties"):
            end(pid, _END_S)
