"""Ansible kept warm: what a run leaves behind, and what becomes of it when somebody dies.

No device is needed: the ssh of these inventories either refuses at once or hangs for ever.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.processes import is_running, running, wait_for_end
from orchestrator.act.actuator import Actuator
from orchestrator.act.run import PlaybookRun, RunOutcome
from orchestrator.ansible.server import children
from orchestrator.clock import SystemClock

STOP = threading.Event()
REFUSES, HANGS = "exit 255", 'echo $$ >>"${0%/*}/pids"; exec sleep 987'
MASTER = """
import sys, threading
from pathlib import Path
from orchestrator.act.actuator import Actuator
from orchestrator.act.run import PlaybookRun
from orchestrator.clock import SystemClock

actuator = Actuator(SystemClock(), 60)
actuator.start()
print(actuator.server, flush=True)
actuator.run(PlaybookRun("status.yml", Path(sys.argv[1]), "all"), threading.Event())
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:  # noqa: ARG001 - before TMPDIR changes
    """Where everything of a warm process is: a place with a short name, which is empty afterwards."""
    place = Path(tempfile.mkdtemp(prefix="warm-"))
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr("tempfile.tempdir", None)
    yield place
    left = {pid: line for pid, line in running().items() if str(place) in " ".join(line)}
    assert not left
    place.rmdir()


@pytest.fixture
def actuator() -> Iterator[Actuator]:
    with Actuator(SystemClock(), 30) as actuator:
        yield actuator


def inventory(folder: Path, ssh: str, *hosts: str) -> Path:
    """An inventory whose hosts are reached with a program of ours."""
    program = folder / "ssh"
    program.write_text(f"#!/bin/sh\n{ssh}\n")
    program.chmod(0o755)
    file = folder / "hosts.yml"
    settings = f"{{ansible_ssh_executable: {program}, fogverse_services: {{}}}}"
    names = "".join(f"    {host}: {{ansible_host: 192.0.2.1}}\n" for host in hosts)
    file.write_text(f"all:\n  vars: {settings}\n  hosts:\n{names}")
    return file


def status(actuator: Actuator, file: Path) -> RunOutcome:
    return actuator.run(PlaybookRun("status.yml", file, "all"), STOP)


def until(condition: Callable[[], object], timeout_s: float = 20) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.05)


def hanging(file: Path) -> list[int]:
    """The programs that an inventory's ssh has become and that still run."""
    noted = file.with_name("pids")
    pids = [int(line) for line in noted.read_text().split()] if noted.exists() else []
    return [pid for pid in pids if is_running(pid, "987")]


def test_each_run_reads_the_inventory_anew(actuator: Actuator, tmp_path: Path) -> None:
    """Lost otherwise: an operator's edit, until the master is restarted."""
    outcome = status(actuator, inventory(tmp_path, REFUSES, "pi-1"))
    assert outcome.error is None
    assert {name: host.verdict for name, host in outcome.hosts.items()} == {"pi-1": "unreachable"}
    server = actuator.server
    assert set(status(actuator, inventory(tmp_path, REFUSES, "pi-1", "pi-2")).hosts) == {"pi-1", "pi-2"}
    assert actuator.server == server, "the same process is used again"


def test_a_warm_process_that_was_killed_is_replaced(actuator: Actuator, tmp_path: Path) -> None:
    """Lost otherwise: every later deployment, and a device's good name."""
    file = inventory(tmp_path, REFUSES, "pi-1")
    status(actuator, file)
    server = actuator.server
    assert server is not None
    os.kill(server, signal.SIGKILL)
    wait_for_end(server, 5)
    assert set(status(actuator, file).hosts) == {"pi-1"}
    assert actuator.server != server


def test_a_changed_configuration_counts_from_the_next_run_on(
    actuator: Actuator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost otherwise: what is changed in ansible.cfg, which Ansible reads when it is imported."""
    config = tmp_path / "ansible.cfg"
    monkeypatch.setattr("orchestrator.ansible.warm._CONFIG", config)
    config.write_text("[defaults]\nroles_path = roles\n")
    actuator.start()
    before = actuator.server
    config.write_text("[defaults]\nroles_path = roles\nforks = 3\n")
    status(actuator, inventory(tmp_path, REFUSES, "pi-1"))
    assert actuator.server != before


def test_a_run_that_hangs_ends_at_its_deadline_with_all_that_it_started(tmp_path: Path) -> None:
    """Lost otherwise: the service, to one device that never answers; and a process for each time."""
    file = inventory(tmp_path, HANGS, "pi-1")
    with Actuator(SystemClock(), 4) as actuator:
        outcome = status(actuator, file)
        assert file.with_name("pids").exists(), "it did begin"
        assert "not done within 4 s" in (outcome.error or "")
        assert "Ask the device" in (outcome.error or "")
        until(lambda: not hanging(file))
        server = actuator.server
        assert server is not None
        until(lambda: children(server) == [])


def test_a_master_that_stops_breaks_its_run_off(actuator: Actuator, tmp_path: Path) -> None:
    """Lost otherwise: a master that cannot be stopped while a device hangs."""
    file, stop = inventory(tmp_path, HANGS, "pi-1"), threading.Event()
    waiter = threading.Thread(target=lambda: (until(lambda: hanging(file)), stop.set()))
    waiter.start()
    outcome = actuator.run(PlaybookRun("status.yml", file, "all"), stop)
    waiter.join()
    assert "interrupted" in (outcome.error or "")
    until(lambda: not hanging(file))


def test_nothing_is_left_of_a_master_that_is_killed(tmp_path: Path) -> None:
    """Lost otherwise: processes that work on for a master that is gone, beside those of the next one."""
    file = inventory(tmp_path, HANGS, "pi-1")
    master = subprocess.Popen([sys.executable, "-c", MASTER, str(file)], stdout=subprocess.PIPE, text=True)
    assert master.stdout is not None
    server = int(master.stdout.readline())
    until(lambda: hanging(file))
    master.kill()
    master.wait()
    master.stdout.close()
    assert wait_for_end(server, 15)
    until(lambda: not hanging(file))
