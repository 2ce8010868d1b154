"""The scripts that tune a device, run here on files of a scratch folder."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import jinja2
import pytest

from orchestrator.project import PROJECT

TEMPLATES = PROJECT / "roles" / "fogverse_device" / "templates"
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
