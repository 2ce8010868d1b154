"""What a device's answer to the probe's script is taken for."""

from __future__ import annotations

from pathlib import Path

from orchestrator.inventory.connection import Connection
from orchestrator.ssh.ask import ask
from orchestrator.ssh.facts import UnitState, parse

ANSWER = """\
clock=1767225600.250000000
arch=aarch64
boot=0b6f0f2e-7a1c-4a64-9a0e-3f6f6f1f5f10
load=0.42
cpus=4
model=Raspberry Pi 4 Model B Rev 1.4
millidegrees=48312
millidegrees=51000
millidegrees=-274000
millidegrees=
memory_kb=812544
disk_kb=10485760
python=3.11
sudo=yes
unit=fogverse-analyzer@1.service loaded active running FogVerse analyzer, slot 1
unit=● fogverse-analyzer@2.service loaded failed failed FogVerse analyzer, slot 2
unit=fogverse-incident-alerts@1.service loaded activating auto-restart FogVerse alerts
unit=fogverse-something@else.service loaded active running not one of ours
"""


def test_everything_is_read_from_the_answer() -> None:
    facts = parse("pi-3", ANSWER)

    assert facts.clock == 1767225600.25
    assert (facts.arch, facts.python, facts.sudo, facts.load) == ("aarch64", "3.11", True, 0.42)
    assert (facts.mem_available_mb, facts.disk_free_mb) == (793, 10240)
    assert (facts.cpus, facts.model, facts.temperature_c) == (4, "Raspberry Pi 4 Model B Rev 1.4", 51.0)
    assert facts.boot_id == "0b6f0f2e-7a1c-4a64-9a0e-3f6f6f1f5f10"


def test_failed_and_restarting_units_are_seen() -> None:
    """A unit that fails again and again must not be taken for one that runs, nor for one that is not there."""
    assert parse("pi-3", ANSWER).units == (
        UnitState("analyzer@pi-3.1", "active", "running"),
        UnitState("analyzer@pi-3.2", "failed", "failed"),
        UnitState("incident-alerts@pi-3.1", "activating", "auto-restart"),
    )


def test_what_a_small_system_cannot_say_is_unknown_not_wrong() -> None:
    """busybox has no nanoseconds, a rescue system no systemd and no Python."""
    facts = parse("pi-3", "clock=1767225600.%N\narch=armv7l\nload=\npython=\nsudo=no\nWelcome to pi-3!\n")

    assert facts.clock == 1767225600
    assert (facts.cpus, facts.model, facts.temperature_c) == (None, None, None)
    assert (facts.arch, facts.load, facts.python, facts.sudo, facts.units) == ("armv7l", None, None, False, ())


def test_what_this_machine_says_of_itself_may_be_any_bytes(tmp_path: Path) -> None:
    """Lost: the diagnosis of every device that was asked along with it, to one odd line of its journal."""
    here = Connection("here", "here", 1, "nobody", local=True)
    answer = ask([(here, "printf 'Journal=caf\\351\\n'")], tmp_path / "known_hosts", 5)["here"].answer
    assert answer.output == "Journal=caf\ufffd\n"
