"""Looks at what a probe found out about each device, and whether the services' code can run there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from orchestrator.checks.line import Line, State, counted
from orchestrator.device_platform import ARCHITECTURES
from orchestrator.inventory import Connection, Inventory
from orchestrator.ssh.probe import Probe

#: A clock further off than this makes logs and lag misleading.
CLOCK_S = 2.0
#: Room for the runtime, and a release or two of an artifact.
DISK_MB = 300
#: The runtime needs it.
PYTHON = (3, 11)

_PLATFORM = re.compile(r"(x86_64|aarch64|armv7l|armv6l|i686)")


def device_lines(inventory: Inventory, probes: Mapping[str, Probe], project: Path) -> Iterable[Line]:
    """One line per device.

    Args:
        inventory: whose devices were probed.
        probes: by device name.
        project: folder that artifact paths are relative to.
    """
    code = {
        service.name: code_architectures(project / Path(service.artifact).expanduser())
        for service in inventory.services
    }
    for device in inventory.devices:
        services = [name for name, hosts in inventory.hosts.items() if device.name in hosts]
        foreign = {name: code[name] for name in services if code[name]}
        yield device_line(inventory.connections[device.name], probes[device.name], foreign)


def device_line(connection: Connection, probe: Probe, code: Mapping[str, frozenset[str]]) -> Line:
    """What a probe says of a device.

    Args:
        connection: the device.
        probe: what was found.
        code: by service, the architectures its compiled code is made for; services of pure Python are left out.
    """
    name = connection.device
    if not probe.reachable:
        reason, _, mend = probe.reason.partition(": run: ")
        return Line("device", name, "fail", reason, mend and f"run: {mend}")
    failures, warnings = _failures(connection, probe, code), _warnings(name, probe)
    state: State = "fail" if failures else "warn" if warnings else "ok"
    wrong = [*failures, *warnings]
    text = "; ".join([_summary(probe), *(text for text, _ in wrong)])
    return Line("device", name, state, text, "; ".join(mend for _, mend in wrong))


def code_architectures(artifact: Path) -> frozenset[str]:
    """Architectures that compiled code in an artifact is made for; none for pure Python."""
    names = [artifact.name] if artifact.is_file() else [file.name for file in artifact.rglob("*.so")]
    return frozenset(found[0] for name in names if (found := _PLATFORM.search(name)))


def architectures(artifact: Path) -> frozenset[str]:
    """Architectures on which both the runtime and the artifact's code run."""
    return frozenset(ARCHITECTURES) & (code_architectures(artifact) or frozenset(ARCHITECTURES))


def _summary(probe: Probe) -> str:
    offset, doubt = probe.clock_offset_s, probe.clock_uncertainty_s
    clock = "clock unknown" if offset is None or doubt is None else f"clock {offset:+.2f} ± {doubt:.2f} s"
    disk = "disk unknown" if probe.disk_free_mb is None else f"{probe.disk_free_mb / 1024:.1f} GB free"
    load = "load unknown" if probe.load is None else f"load {probe.load:.2f}"
    units = counted(probe.units, "unit")
    python = f"Python {probe.python}" if probe.python else "no Python"
    return f"SSH {probe.elapsed_s:.1f} s, {python}, {probe.arch}, {clock}, {disk}, {load}, {units}"


def _failures(connection: Connection, probe: Probe, code: Mapping[str, frozenset[str]]) -> list[tuple[str, str]]:
    """What keeps the device from running an instance, each with its mend."""
    found = []
    if not probe.sudo and not connection.sudo_password:
        user = connection.user
        found.append(
            (
                f"sudo asks {user} for a password, or refuses",
                f"bring roles/fogverse_device/files/sudoers, with {user} in it, to /etc/sudoers.d/{user} of the device",
            )
        )
    wanted = ".".join(str(part) for part in PYTHON)
    if probe.python is None:
        found.append(("python3 is missing", "on the device: sudo apt install python3"))
    elif tuple(int(part) for part in probe.python.split(".")[:2]) < PYTHON:
        found.append((f"Python {probe.python} is older than {wanted}", f"install Python {wanted} or later"))
    if probe.arch not in ARCHITECTURES:
        known = " and ".join(ARCHITECTURES)
        found.append((f"the runtime has no build for {probe.arch}", f"use a 64-bit system ({known})"))
    for service, made_for in code.items():
        if probe.arch not in made_for:
            names = ", ".join(sorted(made_for))
            mend = f"build the artifact of {service} for {probe.arch}, or take the device out of its hosts"
            found.append((f"the code of {service} is compiled for {names}", mend))
    return found


def _warnings(name: str, probe: Probe) -> list[tuple[str, str]]:
    found = []
    offset, doubt = probe.clock_offset_s, probe.clock_uncertainty_s
    if offset is not None and doubt is not None and abs(offset) - doubt > CLOCK_S:
        found.append(
            (
                f"the clock is off by more than {CLOCK_S:g} s",
                f"on {name}: sudo timedatectl set-ntp true, and check: timedatectl timesync-status",
            )
        )
    if probe.disk_free_mb is not None and probe.disk_free_mb < DISK_MB:
        found.append((f"less than {DISK_MB} MB free", f"make room on {name}, e.g. sudo journalctl --vacuum-size=50M"))
    return found
