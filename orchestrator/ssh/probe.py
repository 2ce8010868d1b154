"""Probe devices over SSH, all at once: reachable, clock, disk, load, units."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from orchestrator.inventory.connection import Connection
from orchestrator.ssh.facts import SCRIPT, UnitState, parse
from orchestrator.ssh.reasons import timed_out
from orchestrator.ssh.session import RESOLVING, Answer, Session, known_hosts_file

__all__ = ["Probe", "UnitState", "probe"]

#: Devices probed at the same time; each is mostly waiting.
AT_ONCE = 32

_WATCH_S = 0.05


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
    mem_available_mb: int | None = None
    sudo: bool | None = None
    boot_id: str | None = None
    units: tuple[UnitState, ...] = ()


def probe(
    connections: Iterable[Connection],
    known_hosts: Path | None,
    timeout_s: float,
    *,
    at_once: int = AT_ONCE,
    clock: Callable[[], float] = time.time,
) -> dict[str, Probe]:
    """Probe the devices in parallel; blocks until each has answered or run out of time.

    A device that hangs costs at most four deadlines (connecting, greeting, authentication, command), and the
    others do not wait for it unless there are more than ``at_once``. Nothing stays open and no thread stays
    behind, but for a name that the resolver does not give up on: its thread ends when the resolver does.

    Args:
        connections: the devices.
        known_hosts: the host keys that are trusted; the user's own file when None.
        timeout_s: deadline of each phase, seconds.
        at_once: devices probed at the same time.
        clock: the master's clock, seconds since 1970.

    Returns:
        A probe for each device, by name; what went wrong is in it, nothing is raised.
    """
    keys = known_hosts_file(known_hosts)
    sessions = {link.device: (link, Session(link, keys, timeout_s, clock)) for link in connections}
    if not sessions:
        return {}
    threads = ThreadPoolExecutor(min(at_once, len(sessions)), thread_name_prefix="probe")
    running = {
        name: threads.submit(_one, link, session, timeout_s, clock) for name, (link, session) in sessions.items()
    }
    try:
        while pending := [
            future for name, future in running.items() if not future.done() and not sessions[name][1].stuck
        ]:
            wait(pending, timeout=_WATCH_S, return_when=FIRST_COMPLETED)
            for _, session in sessions.values():
                session.expire()
    finally:
        threads.shutdown(wait=all(future.done() for future in running.values()), cancel_futures=True)
    return {
        name: future.result() if future.done() else Probe(False, timed_out(timeout_s, RESOLVING), timeout_s)
        for name, future in running.items()
    }


def _one(link: Connection, session: Session, timeout_s: float, clock: Callable[[], float]) -> Probe:
    begun = time.monotonic()
    answer = _ask_here(timeout_s, clock) if link.local else session.ask()
    elapsed = time.monotonic() - begun
    if answer.output is None:
        return Probe(reachable=False, reason=answer.reason, elapsed_s=elapsed)
    facts = parse(link.device, answer.output)
    middle = (answer.asked + answer.answered) / 2
    return Probe(
        reachable=True,
        reason="",
        elapsed_s=elapsed,
        clock_offset_s=None if facts.clock is None else facts.clock - middle,
        clock_uncertainty_s=None if facts.clock is None else (answer.answered - answer.asked) / 2,
        python=facts.python,
        arch=facts.arch,
        disk_free_mb=facts.disk_free_mb,
        load=facts.load,
        mem_available_mb=facts.mem_available_mb,
        sudo=facts.sudo,
        boot_id=facts.boot_id,
        units=facts.units,
    )


def _ask_here(timeout_s: float, clock: Callable[[], float]) -> Answer:
    """The same of this machine itself (``ansible_connection: local``)."""
    asked = clock()
    try:
        done = subprocess.run(
            ["sh", "-c", SCRIPT],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return Answer(None, f"timed out after {timeout_s:g} s in the command")
    return Answer(done.stdout, "", asked, clock())
