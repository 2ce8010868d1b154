"""The devices' scripts, cut short: after any step that fails a device has the old or the new state, and no halves."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.unit.test_roles import CONSUMER, rendered

#: Stands before a command: counts, and from a chosen one on each fails, as on a card that is full.
FAILING = """#!/bin/sh
case $0 in */systemctl) exit 0 ;; esac
echo "${0##*/}" >>"$STEPS"
[ "$(wc -l <"$STEPS")" -lt "$FULL_FROM" ] || exit 1
PATH=/usr/bin:/bin exec "${0##*/}" "$@"
"""


def run(script: str, folder: Path, *, full_from: int) -> tuple[int, list[str]]:
    """Exit code of a script, and the steps that it has tried."""
    shims = folder / "shims"
    shims.mkdir()
    for name in ("ln", "mv", "rm", "sync", "systemctl"):
        (shims / name).write_text(FAILING)
        (shims / name).chmod(0o755)
    steps = folder / "steps"
    steps.touch()
    done = subprocess.run(
        ["sh", "-c", script], check=False, capture_output=True, text=True,
        env={"PATH": f"{shims}:{os.environ['PATH']}", "STEPS": str(steps), "FULL_FROM": str(full_from)},
    )  # fmt: skip
    return done.returncode, steps.read_text().split()


def device(folder: Path) -> Path:
    """Two releases with two setups each; a1 is current with setup s1."""
    home = folder / "home"
    for release in ("a1", "b2"):
        for setup in ("s1", "s2"):
            (home / "releases" / release / "setups" / setup).mkdir(parents=True)
            (home / "releases" / release / "setups" / setup / "settings.env").touch()
        (home / "releases" / release / "setup").symlink_to("setups/s1")
    (home / "current").symlink_to("releases/a1")
    return home


def state(home: Path) -> tuple[str, str]:
    return (home / "current").readlink().name, (home / "current" / "setup").readlink().name


@pytest.mark.parametrize("new", [("b2", "s2"), ("b2", "s1"), ("a1", "s2")])
@pytest.mark.parametrize("full_from", range(1, 10))
def test_a_switch_that_fails_at_any_step_leaves_the_old_state_and_says_so(
    new: tuple[str, str], full_from: int, tmp_path: Path
) -> None:
    """Lost: a device that has the new code with the old password, because its card was full in between."""
    home = device(tmp_path)
    switch = rendered(CONSUMER / "templates" / "switch.sh.j2").replace("/etc/systemd/system", str(tmp_path))
    code, steps = run(f"home={home}\n{switch}\nswitch releases/{new[0]} setups/{new[1]}", tmp_path, full_from=full_from)
    assert state(home) == (("a1", "s1") if code else new), steps
    assert code == 0 or len(steps) == full_from, "what failed ended it"


def test_a_setup_that_is_gone_is_not_switched_to(tmp_path: Path) -> None:
    """Lost: an instance, to a link that leads nowhere."""
    home = device(tmp_path)
    switch = rendered(CONSUMER / "templates" / "switch.sh.j2").replace("/etc/systemd/system", str(tmp_path))
    code, _ = run(f"home={home}\n{switch}\nswitch releases/b2 setups/s9", tmp_path, full_from=99)
    assert (code, state(home)) == (1, ("a1", "s1"))


def test_setups_that_are_not_used_are_forgotten_with_their_passwords(tmp_path: Path) -> None:
    """Lost: a password that was changed because somebody knew it stays on every card."""
    home = device(tmp_path)
    switch = rendered(CONSUMER / "templates" / "switch.sh.j2")
    run(f"home={home}\n{switch}\nforget", tmp_path, full_from=99)
    assert [path.name for path in (home / "releases/a1/setups").iterdir()] == ["s1"]
    assert len(list((home / "releases/b2/setups").iterdir())) == 2, "what is gone back to keeps its own"


def test_a_release_that_is_pruned_loses_its_name_before_its_content(tmp_path: Path) -> None:
    """Lost: a release with half of its files, which is taken for whole when its code is wanted again."""
    home = device(tmp_path)
    found = re.search(r"(?ms)^gone\(\) \{.*?^\}$", rendered(CONSUMER / "templates" / "install-release.sh.j2"))
    assert found is not None
    _, steps = run(f"home={home}; new={home}/incoming-1\n{found[0]}\ngone b2", tmp_path, full_from=2)
    assert steps == ["mv", "rm"]
    assert [path.name for path in (home / "releases").iterdir()] == ["a1"]


def test_packages_that_are_pruned_lose_their_name_before_their_content(tmp_path: Path) -> None:
    """Lost: packages of which half is there, which the next release links to."""
    libs = tmp_path / "opt" / "libs"
    (libs / "old").mkdir(parents=True)
    (tmp_path / "opt" / "services").mkdir()
    os.utime(libs / "old", (0, 0))
    script = rendered(CONSUMER / "templates" / "prune-libs.sh.j2").replace("/opt/fogverse", str(tmp_path / "opt"))
    _, steps = run(script, tmp_path, full_from=3)
    assert steps == ["rm", "mv", "rm"]
    assert [path.name for path in libs.iterdir() if path.is_dir()] == ["incoming-old-old"]
