"""The warm process of Ansible when it cannot be started, or dies in the wrong moment; that process is replaced here."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from orchestrator.ansible import warm


class Process:
    """Stands where a server would be: takes runs, or has died so lately that nobody knows."""

    dead = 0

    def __init__(self) -> None:
        self.config = warm._stamp(warm._CONFIG)
        self.lives, self.ended, self.taken = True, 0, 0
        self.dying, Process.dead = bool(Process.dead), 0

    def take(self, _channel: int, _errors: int) -> None:
        if self.dying:
            raise BrokenPipeError
        self.taken += 1

    def retire(self) -> None:
        self.ended += 1

    end = retire


def test_a_run_goes_to_another_process_when_the_first_dies_under_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: a deployment, and the good name of its devices, in the moment between a process's end and its exit code."""
    monkeypatch.setattr(warm, "_Server", Process)
    monkeypatch.setattr(Process, "dead", 1)
    ansible = warm.Warm()
    ansible.start()
    first = ansible._server
    assert isinstance(first, Process)
    channel, errors = ansible.submit({})
    channel.close()
    os.close(errors)
    second = ansible._server
    assert isinstance(second, Process)
    assert (first.taken, first.ended, second.taken) == (0, 1, 1)


def test_nothing_is_left_of_a_process_that_could_not_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: a folder and a descriptor with each attempt, by a master that is short of memory already."""

    def fail(*_arguments: object, **_options: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    def make(**_given: object) -> str:
        (tmp_path / "fogverse-ansible-x").mkdir()
        return str(tmp_path / "fogverse-ansible-x")

    monkeypatch.setattr(tempfile, "mkdtemp", make)
    monkeypatch.setattr(subprocess, "Popen", fail)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="Cannot allocate"):
        warm.Warm().submit({})
    assert list(tmp_path.iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == before
