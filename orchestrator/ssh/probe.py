"""Probe devices over SSH, all at once: reachable, clock, disk, load, units."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.device import Condition
from orchestrator.inventory.connection import Connection
from orchestrator.ssh.ask import AT_ONCE, Asked, ask
from orchestrator.ssh.facts import SCRIPT, UnitState, parse

__all__ = ["Probe", "UnitState", "probe"]


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found out about a device; None for what was not.

    Attributes:
        reachable: whether SSH let us in and the device answered.
        reason: why not, in words, with the mend; empty when it is reachable.
        elapsed_s: how long the probe took.
        clock_offset_s: the device's clock minus the master's.
        clock_uncertainty_s: half the round trip: the offset is known only to plus or minus this.
        python: version of ``python3``, e.g. ``3.11``.
        arch: machine architecture, e.g. ``aarch64``.
        disk_free_mb: free space of the file system of ``/opt``.
        load: processes running or waiting, mean of the last minute.
        cpus: processors that are in use.
        model: what the board calls itself.
        temperature_c: the hottest sensor, degrees Celsius.
        mem_available_mb: memory that can be used without swapping.
        sudo: whether the user is root, or sudo asks for no password.
        boot_id: changes with each start of the device.
        units: the units of ours that systemd knows.
    """

    reachable: bool
    reason: str
    elapsed_s: float
    clock_offset_s: float | None = None
    clock_uncertainty_s: float | None = None
    python: str | None = None
    arch: str | None = None
    disk_free_mb: int | None = None
    load: float | None = None
    cpus: int | None = None
    model: str | None = None
    temperature_c: float | None = None
    mem_available_mb: int | None = None
    sudo: bool | None = None
    boot_id: str | None = None
    units: tuple[UnitState, ...] = ()

    @property
    def condition(self) -> Condition:
        """What placement wants to know of it."""
        return Condition(
            self.reachable, self.reason, self.arch, self.model, self.cpus, self.load, self.mem_available_mb,
            self.temperature_c,
        )  # fmt: skip


def probe(
    connections: Iterable[Connection],
    known_hosts: Path | None,
    timeout_s: float,
    *,
    at_once: int = AT_ONCE,
    clock: Callable[[], float] = time.time,
) -> dict[str, Probe]:
    """Probe the devices in parallel, as :func:`orchestrator.ssh.ask.ask` does.

    Args:
        connections: the devices.
        known_hosts: the host keys that are trusted; the user's own file when None.
        timeout_s: deadline of each phase, seconds.
        at_once: devices probed at the same time.
        clock: the master's clock, seconds since 1970.

    Returns:
        A probe for each device, by name; what went wrong is in it, nothing is raised.
    """
    questions = [(link, SCRIPT) for link in connections]
    answers = ask(questions, known_hosts, timeout_s, at_once=at_once, clock=clock)
    return {name: _read(name, asked) for name, asked in answers.items()}


def _read(device: str, asked: Asked) -> Probe:
    answer = asked.answer
    if answer.output is None:
        return Probe(reachable=False, reason=answer.reason, elapsed_s=asked.elapsed_s)
    facts = parse(device, answer.output)
    middle = (answer.asked + answer.answered) / 2
    return Probe(
        reachable=True,
        reason="",
        elapsed_s=asked.elapsed_s,
        clock_offset_s=None if facts.clock is None else facts.clock - middle,
        clock_uncertainty_s=None if facts.clock is None else (answer.answered - answer.asked) / 2,
        python=facts.python,
        arch=facts.arch,
        disk_free_mb=facts.disk_free_mb,
        load=facts.load,
        cpus=facts.cpus,
        model=facts.model,
        temperature_c=facts.temperature_c,
        mem_available_mb=facts.mem_available_mb,
        sudo=facts.sudo,
        boot_id=facts.boot_id,
        units=facts.units,
    )
