"""What a probe asks of a device: one shell script, and how its output is read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from orchestrator.core.instance import Instance

#: Plain sh, no Python: on a Pi an interpreter's start costs more than all of this. The clock comes first, so that
#: the time of the answer's first byte bounds when it was read. What is asked of sudo is what Ansible will ask of it.
SCRIPT = r"""
export LC_ALL=C
echo "clock=$(date +%s.%N)"
echo "arch=$(uname -m)"
echo "boot=$(cat /proc/sys/kernel/random/boot_id)"
echo "load=$(cut -d' ' -f1 /proc/loadavg)"
echo "cpus=$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)"
echo "model=$(cat /proc/device-tree/model 2>/dev/null | tr -d '\0')"
for sensor in /sys/class/thermal/thermal_zone*/temp; do echo "millidegrees=$(cat "$sensor" 2>/dev/null)"; done
while read -r key kb _; do [ "$key" = MemAvailable: ] && echo "memory_kb=$kb"; done < /proc/meminfo
folder=/opt; [ -d "$folder" ] || folder=/
echo "disk_kb=$(df -Pk "$folder" | tail -n 1 | awk '{print $4}')"
python=$(readlink -f "$(command -v /usr/bin/python3 || command -v python3)" 2>/dev/null)
case "$python" in *python3.*) echo "python=${python##*python}" ;; ?*) echo "python=$("$python" -V)" ;; esac
if [ "$(id -u)" = 0 ] || sudo -n /bin/sh -c 'echo BECOME-SUCCESS-probe' >/dev/null 2>&1; then
  echo sudo=yes; else echo sudo=no; fi
systemctl list-units 'fogverse-*@*.service' --all --plain --no-legend --no-pager 2>/dev/null |
  while read -r line; do echo "unit=$line"; done
"""

_UNIT = re.compile(
    r"\W*fogverse-(?P<service>[a-z][a-z0-9-]*)@(?P<slot>[1-9][0-9]*)\.service\s+\S+\s+(?P<active>\S+)\s+(?P<sub>\S+)"
)
_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)?")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_LONGEST_MODEL = 63
#: What a sensor can mean, degrees Celsius; a broken one says 0, or far below freezing, or far above boiling.
_COLDEST, _HOTTEST = 0.0, 150.0


@dataclass(frozen=True, slots=True)
class UnitState:
    """A unit of ours that systemd knows on a device.

    Attributes:
        instance: name of the instance the unit runs, e.g. ``analyzer@pi-3.1``.
        active_state: systemd's ActiveState: ``active``, ``activating``, ``deactivating``, ``failed``, ``inactive``.
        sub_state: systemd's SubState, e.g. ``running`` or ``auto-restart``.
    """

    instance: str
    active_state: str
    sub_state: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What the script said; None for what it could not find out.

    Attributes:
        clock: the device's clock, seconds since 1970.
        arch: machine architecture, e.g. ``aarch64``.
        boot_id: changes with each start of the device.
        load: processes running or waiting, mean of the last minute.
        cpus: processors that are in use.
        model: what the board calls itself; only boards with a device tree do.
        temperature_c: the hottest sensor, degrees Celsius.
        mem_available_mb: memory that can be used without swapping.
        disk_free_mb: free space of the file system of ``/opt``.
        python: version of ``python3``, e.g. ``3.11``.
        sudo: whether the user is root, or may become it as Ansible does, without a password.
        units: the units of ours.
    """

    clock: float | None
    arch: str | None
    boot_id: str | None
    load: float | None
    cpus: int | None
    model: str | None
    temperature_c: float | None
    mem_available_mb: int | None
    disk_free_mb: int | None
    python: str | None
    sudo: bool
    units: tuple[UnitState, ...]


def parse(device: str, output: str) -> Facts:
    """Read the script's output; what is missing or makes no sense becomes None."""
    lines = [line.partition("=") for line in output.splitlines() if "=" in line]
    said = {key: value.strip() for key, _, value in lines}
    version = _VERSION.search(said.get("python", ""))
    cpus = _number(said, "cpus")
    return Facts(
        clock=_number(said, "clock"),
        arch=said.get("arch") or None,
        boot_id=said.get("boot") or None,
        load=_number(said, "load"),
        cpus=int(cpus) if cpus else None,
        model=(_UNPRINTABLE.sub("", said.get("model", "")))[:_LONGEST_MODEL] or None,
        temperature_c=_hottest(value for key, _, value in lines if key == "millidegrees"),
        mem_available_mb=_megabytes(said, "memory_kb"),
        disk_free_mb=_megabytes(said, "disk_kb"),
        python=version[0] if version else None,
        sudo=said.get("sudo") == "yes",
        units=tuple(
            UnitState(str(Instance(found["service"], device, int(found["slot"]))), found["active"], found["sub"])
            for key, _, value in lines
            if key == "unit" and (found := _UNIT.match(value))
        ),
    )


def _hottest(readings: Iterable[str]) -> float | None:
    """The hottest of the sensors that say something sensible, degrees Celsius."""
    degrees = [int(text) / 1000 for reading in readings if (text := reading.strip()).isdecimal()]
    return max((value for value in degrees if _COLDEST < value < _HOTTEST), default=None)


def _number(said: Mapping[str, str], key: str) -> float | None:
    found = _NUMBER.match(said.get(key, ""))
    return float(found[0]) if found else None


def _megabytes(said: Mapping[str, str], key: str) -> int | None:
    kilobytes = _number(said, key)
    return None if kilobytes is None else int(kilobytes / 1024)
