"""The scripts that tune a device, run here on files of a scratch folder."""

from __future__ import annotations

import datetime
import re
import shlex
import subprocess
import time
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from jinja2.nativetypes import NativeEnvironment

from orchestrator.project import PROJECT

TEMPLATES = PROJECT / "roles" / "fogverse_device" / "templates"
VARIABLES = yaml.safe_load((TEMPLATES.parent / "vars" / "main.yml").read_text())
LINE = "console=serial0,115200 root=PARTUUID=1234-02 rootwait quiet"
WORDS = ["cgroup_memory=1", "cgroup_enable=memory"]


class Device:
    """A folder that stands for a device."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cmdline = folder / "cmdline.txt"
        self.cmdline.write_text(f"{LINE}\n")

    def run(self, script: str, *, check: bool = False, **given: Any) -> subprocess.CompletedProcess[str]:
        """Run a script with the role's variables, as root's shell on the device would."""
        environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES))  # noqa: S701 - no HTML
        environment.filters |= {"quote": shlex.quote, "ternary": lambda value, yes, no: yes if value else no}
        values = {
            "ansible_check_mode": check,
            "fogverse_device_home": str(self.folder / "home"),
            "fogverse_device_seen": {"cmdline": str(self.cmdline)},
            "fogverse_device_cmdline_files": [str(self.folder / "elsewhere.txt"), str(self.cmdline)],
            "fogverse_device_cmdline_words": WORDS,
            "fogverse_device_drop_ins": [],
        }
        text = environment.get_template(script).render(values | given)
        return subprocess.run(["sh"], input=text, text=True, check=False, capture_output=True)


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


def test_words_wait_for_a_restart_until_there_was_one(device: Device) -> None:
    """Lost: the restart that the role offers for later, or one with each run on a kernel that cannot count."""
    assert device.run("cmdline.sh.j2", check=True).stdout == "changed cgroup_memory=1 cgroup_enable=memory\n"
    assert device.cmdline.read_text() == f"{LINE}\n", "a preview"
    assert device.run("cmdline.sh.j2").stdout.startswith("changed ")
    assert device.cmdline.read_text() == f"{LINE} {' '.join(WORDS)}\n"
    assert device.run("cmdline.sh.j2").stdout == "pending\n"
    (device.folder / "home" / "tuning" / "boot").write_text("an earlier one\n")
    assert device.run("cmdline.sh.j2").stdout == ""


def test_what_cannot_be_taken_back_is_said_and_stays_noted(device: Device) -> None:
    """Lost: what was there before, for good: a boot partition that could not be written was called as it was."""
    device.run("cmdline.sh.j2")
    changed = device.cmdline.read_text()
    (device.folder / "cmdline.txt.new").mkdir()  # what is to be written cannot be
    assert device.run("untune.sh.j2").returncode != 0
    assert device.cmdline.read_text() == changed
    (device.folder / "cmdline.txt.new").rmdir()
    unmounted = device.cmdline.rename(device.folder / "aside")
    refused = device.run("untune.sh.j2")
    assert refused.returncode != 0
    assert "mount the boot partition" in refused.stderr
    unmounted.rename(device.cmdline)
    assert device.run("untune.sh.j2").returncode == 0
    assert device.cmdline.read_text() == f"{LINE}\n"
    assert device.run("untune.sh.j2").stdout == ""


def test_a_drop_in_that_cannot_be_written_is_not_called_changed_and_well(device: Device) -> None:
    """Lost: a full card takes the place of a limit with half a file, and the run says that all is well."""
    place = device.folder / "etc" / "some.conf.d" / "90-fogverse.conf"
    drop_in = {"path": str(place), "lines": ["[Journal]"], "apply": f"touch {device.folder}/applied"}
    place.parent.parent.write_text("a file where a folder should be")
    assert device.run("drop-ins.sh.j2", fogverse_device_drop_ins=[drop_in]).returncode != 0
    assert not (device.folder / "applied").exists()
    place.parent.parent.unlink()
    assert device.run("drop-ins.sh.j2", fogverse_device_drop_ins=[drop_in]).returncode == 0
    assert place.read_text().endswith("[Journal]\n")
    gone = drop_in | {"lines": [], "apply": "false"}
    assert device.run("drop-ins.sh.j2", fogverse_device_drop_ins=[gone]).returncode == 0
    assert not place.parent.exists()


@pytest.mark.parametrize(
    ("megabytes", "run_mb", "limits"),
    [
        (128, 91, ["SystemMaxUse=128M"]),
        (128, 1600, ["SystemMaxUse=128M", "RuntimeMaxUse=128M"]),
        (8, 91, ["SystemMaxUse=8M", "RuntimeMaxUse=8M"]),
        (128, None, ["SystemMaxUse=128M"]),
        (0, 1600, []),
    ],
)
def test_the_limit_of_the_journal_takes_no_memory(megabytes: int, run_mb: int | None, limits: list[str]) -> None:
    """Lost: most of /run, on a Pi that keeps its journal in memory: it was allowed ten times more."""
    lines = VARIABLES["fogverse_device_journal"]["lines"]
    said = {} if run_mb is None else {"run_mb": run_mb}
    given = {"fogverse_device_journal_mb": megabytes, "fogverse_device_journal_storage": ""}
    found: object = NativeEnvironment().from_string(lines).render(given | {"fogverse_device_said": said})
    assert found == (["[Journal]", *limits] if limits else [])


def test_removing_everything_begins_with_the_tuning() -> None:
    """Lost: a board that goes to somebody else with our limits, and without the notes of what was there before."""
    tasks = yaml.safe_load((TEMPLATES.parent / "tasks" / "remove.yml").read_text())
    assert tasks[0]["ansible.builtin.import_tasks"] == "untune.yml"


@pytest.mark.parametrize(
    ("config", "more", "writes"),
    [
        (None, {}, False),
        ("[Main]\n#Mechanism=auto\n", {}, True),
        ("[Main]\nMechanism=swapfile\n", {}, True),
        ("[Main]\nMechanism=none\n", {}, False),
        ("", {"50-own": "[Main]\nMechanism=zram\n"}, False),
        ("", {"90-fogverse": "[Main]\nMechanism=zram\n"}, True),
        ("[Main]\nMechanism=none\n", {"50-own": "[Main]\nMechanism=zram+file\n"}, True),
    ],
)
def test_a_swap_file_that_is_written_from_memory_is_seen(
    device: Device, config: str | None, more: dict[str, str], writes: bool
) -> None:
    """Lost: a card that newer Raspberry Pi OS swaps to all the same; or swap, switched on where its owner has none."""
    place = device.folder / "swap.conf"
    if config is not None:
        place.write_text(config)
    Path(f"{place}.d").mkdir()
    for name, text in more.items():
        (Path(f"{place}.d") / f"{name}.conf").write_text(text)
    look = (TEMPLATES / "look.sh.j2").read_text()
    found = re.search(r"(?ms)^swap_config=.*?^fi$", look)
    assert found is not None
    script = found[0].replace("/etc/rpi/swap.conf", str(place)) + '\necho "$zram_file"\n'
    said = subprocess.run(["sh"], input=script, text=True, check=True, capture_output=True)
    assert (said.stdout, said.stderr) == (f"{str(writes).lower()}\n", "")
    lines = NativeEnvironment().from_string(VARIABLES["fogverse_device_swap"]["lines"].replace("| bool", ""))
    wanted: object = lines.render(fogverse_device_said={"zram_file": writes}, fogverse_device_swap_file=False)
    assert wanted == (["[Main]", "Mechanism=zram"] if writes else [])


@pytest.mark.parametrize(
    ("clock", "asked", "offset"), [(1000, 998, 0), (998, 998, 0), (900, 998, -98), (1007, 998, 0), (1100, 998, 93)]
)
def test_a_clock_that_is_right_is_not_warned_of_wherever_the_controller_is(
    clock: int, asked: int, offset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: every warning, in a sea of false ones: of all devices where it is not UTC, or while one of them is off."""
    monkeypatch.setenv("TZ", "Europe/Helsinki")
    time.tzset()
    try:
        now = NativeEnvironment().from_string(VARIABLES["fogverse_device_now"])
        at: object = now.render(now=lambda: datetime.datetime.fromtimestamp(1007.9))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert at == 1007
    tasks = yaml.safe_load((TEMPLATES.parent / "tasks" / "main.yml").read_text())
    [warning] = [task for task in tasks if task["name"] == "Warn of a clock that is not set"]
    told = NativeEnvironment().from_string(warning["vars"]["fogverse_device_offset"])
    found: object = told.render(fogverse_device_seen={"epoch": clock, "asked": asked}, fogverse_device_now=at)
    assert found == offset
