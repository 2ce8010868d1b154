"""`playbooks/upgrade.yml` on simulated devices: one by one, proved, undone where it fails, whole after a power cut."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.project import PROJECT
from tests.integration.roll import HOME, Fleet, rolled

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

BOTH = ("pi-1", "pi-2")
BAD = {
    "cannot be imported": ("import nowhere_to_be_found\n", "nowhere_to_be_found"),
    "fails on each message": ("def process(message):\n    raise ValueError('broken for good')\n", "broken for good"),
    "hangs": ("import time\n\ndef process(message):\n    time.sleep(600)\n", "0 done"),
}


@pytest.fixture(scope="module")
def fleet(device_base: Path, jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with rolled(device_base, jars, tmp_path_factory.mktemp("upgrade"), devices=2) as made:
        yield made


def test_a_good_release_rolls_through_and_a_second_run_changes_nothing(fleet: Fleet) -> None:
    """Lost: an upgrade that leaves devices behind, or that restarts everything each time it is run."""
    before = {host: fleet.running(host) for host in BOTH}
    fleet.good("second")
    predicted, _ = fleet.upgrade("--check")
    assert {host: fleet.running(host) for host in BOTH} == before, "a check changes nothing"
    assert {host: report["outcome"] for host, report in predicted.items()} == dict.fromkeys(BOTH, "upgraded")
    assert predicted["pi-1"]["from"] != predicted["pi-1"]["to"]
    with fleet.traffic():
        reports, output = fleet.upgrade()
    assert tuple(reports) == BOTH, output
    for host, report in reports.items():
        after = fleet.running(host)
        assert (report["outcome"], report["reachable"], report["reason"]) == ("upgraded", True, "")
        assert (report["from"], report["to"]) == (before[host]["FOGVERSE_RELEASE"], after["FOGVERSE_RELEASE"])
        assert report["instances"][0]["release"] == report["to"]
        assert after["cwd"] == f"{HOME}/releases/{report['to']}"
    running = {host: fleet.running(host) for host in BOTH}
    again, output = fleet.upgrade()
    assert {report["outcome"] for report in again.values()} == {"unchanged"}
    assert {host: fleet.running(host) for host in BOTH} == running
    assert re.findall(r"changed=(\d+)", output) == ["0", "0"], output


@pytest.mark.parametrize("kind", BAD)
def test_a_release_that_does_not_get_on_is_undone_and_the_roll_stops(fleet: Fleet, kind: str, tmp_path: Path) -> None:
    """Lost: a bad release takes the whole fleet down, or leaves the first device without a consumer."""
    code, said = BAD[kind]
    before = {host: fleet.running(host) for host in BOTH}
    fleet.write(code)
    runtime: tuple[str, ...] = ()
    if kind == "cannot be imported":
        # The bad release comes with a runtime of its own: that has to go back, too.
        shutil.copytree(PROJECT / "fogverse", tmp_path / "fogverse")
        (tmp_path / "fogverse/src/fogverse/newer.py").write_text('"""Makes it another one."""\n')
        runtime = ("-e", f"fogverse_device_runtime={tmp_path / 'fogverse'}")
    with fleet.traffic():
        reports, output = fleet.upgrade("-e", "fogverse_consumer_prove_timeout=15", *runtime, code=2)
    after = fleet.running("pi-1")
    assert list(reports) == ["pi-1"], output
    report = reports["pi-1"]
    assert report["outcome"] == "rolled-back", output
    assert report["from"] == before["pi-1"]["FOGVERSE_RELEASE"] == after["FOGVERSE_RELEASE"]
    assert after["python"] == before["pi-1"]["python"], "the runtime of before"
    assert f"back to {report['from']}" in report["reason"]
    assert said in report["reason"], "the status, or the journal's end"
    assert "(not touched: pi-2)" in output
    assert fleet.running("pi-2") == before["pi-2"]
    kept = fleet.run("pi-1", f"ls {HOME}/releases").split()
    assert len(kept) <= 3
    assert after["FOGVERSE_RELEASE"] in kept


def test_a_release_without_room_is_refused_before_anything_is_pushed(fleet: Fleet) -> None:
    """Lost: a full card, and a device that can neither go on nor back."""
    before = fleet.running("pi-1")
    everything = (
        "sudo find /opt/fogverse /etc/fogverse /etc/systemd/system -not -name '*.pyc' -printf '%p %T@\n' | sort"
    )
    there = fleet.run("pi-1", everything)
    fleet.good("large")
    (fleet.code / "model.bin").write_bytes(bytes(40_000_000))
    # Its card is the disk of this machine, on which others come and go: to fill it would be theirs to suffer.
    told = "#!/bin/sh\nprintf 'x x x x x x\\nx 90 30 60 x x\\n'\n"
    fleet.run("pi-1", f"sudo tee /usr/local/sbin/df >/dev/null <<'EOF'\n{told}EOF\nsudo chmod 755 /usr/local/sbin/df")
    try:
        reports, output = fleet.upgrade("-e", '{"fogverse_device_free_mb": 10}', code=2)
    finally:
        fleet.run("pi-1", "sudo rm /usr/local/sbin/df")
        (fleet.code / "model.bin").unlink()
    assert list(reports) == ["pi-1"]
    assert reports["pi-1"]["outcome"] == "failed"
    said = re.search(
        r"pi-1 has (\d+) MB free under /opt, and release \w+ of odd needs (10\d) MB to be brought, (\d+) MB more: make",
        reports["pi-1"]["reason"],
    )
    assert said is not None, reports
    assert int(said[1]) + int(said[3]) == int(said[2])
    assert "(not touched: pi-2)" in output
    assert fleet.run("pi-1", everything) == there, "nothing was written"
    assert fleet.running("pi-1") == before


def test_a_device_that_is_off_is_named_and_keeps_nobody(fleet: Fleet) -> None:
    """Lost: one dead device, and none of the others can be upgraded."""
    fleet.good("while one is off")
    fleet.lab.power_off("pi-1")
    try:
        with fleet.traffic():
            reports, output = fleet.upgrade()
    finally:
        fleet.lab.power_on("pi-1")
    assert list(reports) == ["pi-2", "pi-1"], output
    assert (reports["pi-1"]["reachable"], reports["pi-1"]["outcome"]) == (False, "unreachable")
    assert "pi-1 cannot be reached" in reports["pi-1"]["reason"]
    assert reports["pi-2"]["outcome"] == "upgraded"
    assert fleet.running("pi-2")["FOGVERSE_RELEASE"] == reports["pi-2"]["to"]


def test_a_power_cut_after_any_step_leaves_the_old_or_the_new_release_whole(fleet: Fleet) -> None:
    """Lost: a device that starts new settings with old code, or nothing at all, after somebody pulled the plug."""
    with fleet.wrapped() as folder, fleet.traffic():
        fleet.good("before any cut")
        (folder / "steps").unlink(missing_ok=True)
        # It may have been off during an upgrade, and is held back: that keeps nobody from upgrading it.
        assert fleet.upgrade("-l", "pi-1")[0]["pi-1"]["outcome"] == "upgraded"
        steps = (folder / "steps").read_text().splitlines()
        switch = next(number for number, step in enumerate(steps) if re.match(r"mv -T .*/current$", step))
        release = next(number for number, step in enumerate(steps) if re.match(r"mv -T .*/releases/\w+$", step))
        stop = next(number for number, step in enumerate(steps) if step.startswith("systemctl stop"))
        assert release < stop < switch
        assert steps[release - 1].startswith("sync -f"), "content reaches the card before its name does"
        assert [step.split()[0] for step in steps[switch - 4 : switch + 1]] == ["ln", "mv", "sync", "ln", "mv"]
        for cut in (release, switch - 1, switch):
            old = fleet.running("pi-1")["FOGVERSE_RELEASE"]
            fleet.good(f"cut at {cut}")
            fleet.cut(cut, folder, "-l", "pi-1")
            found = fleet.runs_by("pi-1", time.monotonic() + 60)
            assert (found["FOGVERSE_RELEASE"] == old) == (cut < switch), steps[cut]
            assert found["cwd"] == f"{HOME}/releases/{found['FOGVERSE_RELEASE']}"
            settings = fleet.run("pi-1", f"sudo grep ^FOGVERSE_CONFIG= {HOME}/current/setup/settings.env")
            assert settings == f'FOGVERSE_CONFIG="{found["FOGVERSE_CONFIG"]}"'
    reports, _ = fleet.upgrade("-l", "pi-1")
    assert fleet.running("pi-1")["FOGVERSE_RELEASE"] == reports["pi-1"]["to"]
    assert fleet.run("pi-1", f"readlink {HOME}/current") == f"releases/{reports['pi-1']['to']}"
    assert len(fleet.run("pi-1", f"ls {HOME}/releases").split()) == 3


def test_a_device_whose_connection_is_lost_in_the_middle_ends_the_upgrade_by_itself(fleet: Fleet) -> None:
    """Lost: a device on which nothing runs, because the controller was switched off between its stop and its start."""
    with fleet.wrapped() as folder:
        old = fleet.running("pi-1")["FOGVERSE_RELEASE"]
        fleet.good("without a controller")
        fleet.run("pi-1", "sudo rm -f /var/lib/steps; sudo touch /var/lib/steps")
        with fleet.playbook("upgrade", "-l", "pi-1") as run:
            try:
                while "systemctl stop" not in (folder / "steps").read_text():
                    assert run.poll() is None, run.communicate()[0]
                    time.sleep(0.02)
            finally:
                os.killpg(run.pid, signal.SIGKILL)
            run.communicate(timeout=60)
        deadline = time.monotonic() + 60
        while (found := fleet.runs_by("pi-1", deadline))["FOGVERSE_RELEASE"] == old:
            assert time.monotonic() < deadline, (folder / "steps").read_text()
            time.sleep(0.2)
        assert found["cwd"] == f"{HOME}/releases/{found['FOGVERSE_RELEASE']}"
