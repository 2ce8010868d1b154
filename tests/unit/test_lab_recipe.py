"""The recipes of root file systems."""

from __future__ import annotations

import pytest

from lab import base
from lab.emulation import MACHINES, emulate, own
from lab.errors import LabError


def test_recipes_of_two_architectures_have_places_of_their_own() -> None:
    """Lost: half an hour of looking for the reason why a device boots programs of another machine."""
    assert len({base.Recipe(architecture).key for architecture in MACHINES}) == len(MACHINES)


def test_only_emulated_devices_do_without_the_sandbox_that_emulation_lacks() -> None:
    """Lost: the proof that units start within their sandbox, which the lab gives on this machine's architecture."""
    for architecture in MACHINES:
        relaxed = any("emulated" in name for name in base.Recipe(architecture).files)
        assert relaxed == (architecture != own())


def test_the_own_architecture_needs_no_emulator() -> None:
    """Lost: a lab without root rights to change the kernel's table of programs."""
    emulate(own())


def test_a_machine_without_devices_for_it_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: the reason; mmdebstrap would fail after minutes with words of its own."""
    monkeypatch.setattr("lab.emulation.os.uname", lambda: type("Uname", (), {"machine": "riscv64"}))
    with pytest.raises(LabError, match=r"riscv64.*x86_64, aarch64"):
        own()
