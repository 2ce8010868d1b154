"""What goes back with a release, and what a broken push leaves: settings, credentials, unit, rests, an older layout."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lab.guard import SUPER_USER, Guard
from tests.integration.roll import HOME, UNIT, Fleet, rolled

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

RIGHT, WRONG = "R1ght-dont-show-this", "Wr0ng-dont-show-this"
SETTINGS = {
    "a topic that nobody has": ({"source_topic": "misspelt"}, "misspelt"),
    "a value that is refused": ({"workers": "many"}, "workers"),
}
#: As the role left devices before there were setups: settings beside the code, one state of unit and passwords.
OLDER = f"""set -e
cd {HOME}/current
old=$(readlink -f setup)
cp -a "$old/settings.env" "$old/venv" .
mkdir -p /etc/fogverse/credentials/odd
chmod 700 /etc/fogverse/credentials /etc/fogverse/credentials/odd
cp -a "$old"/credentials/* /etc/fogverse/credentials/odd
unit=/etc/systemd/system/fogverse-odd@.service
{{ sed '/^.Install/,$d' $unit; sed -e 's,current/setup/credentials,_,;s,{HOME}/_,/etc/fogverse/credentials/odd,' \\
  -e 's,current/setup/,current/,' -e '/^ExecStart=$/d' "$old/unit.conf"; sed -n '/^.Install/,$p' $unit; }} >/root/unit
mv /root/unit $unit
rm -r setup setups $unit.d
systemctl daemon-reload
systemctl restart {UNIT}
"""


@pytest.fixture(scope="module")
def fleet(device_base: Path, jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("rollback")
    guard = Guard(folder / "tls", {SUPER_USER: RIGHT})
    with rolled(device_base, jars, folder, devices=1, guard=guard) as made:
        yield made


def tell(fleet: Fleet, password: str) -> None:
    """Change the file that the devices' password comes from; the broker knows nothing of it."""
    (fleet.inventory.parent / "password").write_text(password)


def only_setup(fleet: Fleet) -> str:
    """The setup that the current release starts with; it is the only one of it."""
    used = fleet.run("pi-1", f"readlink {HOME}/current/setup")
    assert [f"setups/{name}" for name in fleet.run("pi-1", f"ls {HOME}/current/setups").split()] == [used]
    return used


def holds(fleet: Fleet, secret: str) -> list[str]:
    """Files of the device with a secret in them."""
    # On standard input: sudo writes its arguments to the journal.
    search = "sudo grep -rlFf - --devices=skip /etc /opt /var /root /home /tmp /run 2>/dev/null"
    return fleet.run("pi-1", f"{search} <<'EOF' || true\n{secret}\nEOF\n").split()


def test_a_wrong_password_alone_goes_back_to_an_instance_that_works(fleet: Fleet) -> None:
    """Lost: a fleet, one device after the other, to a typing error in the vault: what is gone back to has it, too."""
    before, used = fleet.running("pi-1"), only_setup(fleet)
    tell(fleet, WRONG)
    try:
        with fleet.traffic():
            reports, output = fleet.upgrade("--diff", "-vvv", code=2)
    finally:
        tell(fleet, RIGHT)
    report, after = reports["pi-1"], fleet.running("pi-1")
    assert report["outcome"] == "rolled-back", output
    assert f"back to {before['FOGVERSE_RELEASE']}" in report["reason"]
    assert "the broker refuses" in report["reason"]
    assert after.pop("pid") != before.pop("pid")
    assert after == before
    assert only_setup(fleet) == used
    assert (RIGHT in output, WRONG in output) == (False, False)
    assert holds(fleet, WRONG) == [], "a password that was not taken is nowhere"
    kept = f"{HOME}/releases/{after['FOGVERSE_RELEASE']}/{used}/credentials/sasl_plain_password"
    assert [path for path in holds(fleet, RIGHT) if not path.startswith("/run/credentials/")] == [kept]
    modes = fleet.run("pi-1", f"sudo find {HOME}/current/setup/credentials -printf '%m %u:%g %y\\n' | sort -u")
    assert modes.splitlines() == ["600 root:root f", "700 root:root d"]
    assert fleet.upgrade()[0]["pi-1"]["outcome"] == "unchanged"


def test_other_credentials_alone_are_noticed_and_restart_what_runs(fleet: Fleet) -> None:
    """Lost: a certificate that is renewed in the inventory and runs out on the devices."""
    assert fleet.guard is not None
    before, used = fleet.running("pi-1"), only_setup(fleet)
    authority = fleet.guard.authority
    authority.write_text(authority.read_text() + "\n# renewed\n")
    with fleet.traffic():
        reports, output = fleet.upgrade()
    after = fleet.running("pi-1")
    assert reports["pi-1"]["outcome"] == "upgraded", output
    assert after["pid"] != before["pid"]
    assert after["FOGVERSE_RELEASE"] == before["FOGVERSE_RELEASE"]
    assert only_setup(fleet) != used
    assert "# renewed" in fleet.run("pi-1", f"sudo cat {HOME}/current/setup/credentials/ssl_cafile")


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_wrong_setting_alone_goes_back_to_the_settings_of_before(fleet: Fleet, kind: str) -> None:
    """Lost: an instance that works, to a misspelt line of the inventory, though its code is what it was."""
    wrong, said = SETTINGS[kind]
    before, used = fleet.running("pi-1"), only_setup(fleet)
    services = fleet.inventory / "group_vars" / "all" / "services.yml"
    right = services.read_text()
    changed = yaml.safe_load(right)
    changed["fogverse_services"]["odd"] |= wrong
    services.write_text(yaml.safe_dump(changed))
    try:
        with fleet.traffic():
            reports, output = fleet.upgrade("-e", "fogverse_consumer_prove_timeout=10", code=2)
    finally:
        services.write_text(right)
    report, after = reports["pi-1"], fleet.running("pi-1")
    assert report["outcome"] == "rolled-back", output
    assert said in report["reason"].lower()
    assert after.pop("pid") != before.pop("pid")
    assert after == before
    assert only_setup(fleet) == used
    assert fleet.upgrade()[0]["pi-1"]["outcome"] == "unchanged"


def test_a_push_that_is_cut_leaves_the_old_release_running_and_nothing_else(fleet: Fleet) -> None:
    """Lost: a card that fills up with halves of releases, each time that the Wi-Fi fails."""
    before = fleet.running("pi-1")
    there = fleet.run("pi-1", f"ls {HOME} {HOME}/releases /opt/fogverse/libs")
    fleet.good("cut while it is pushed")
    (fleet.code / "model.bin").write_bytes(os.urandom(80_000_000))
    archives = fleet.lab.root("pi-1") / "home"
    lines = []
    with fleet.playbook("upgrade") as run:
        assert run.stdout is not None
        while not list(archives.glob("*/.ansible/tmp/*/source")):
            assert run.poll() is None, run.stdout.read()
        fleet.lab.cut("pi-1")
        try:
            for line in run.stdout:
                lines.append(line)
                if "UNREACHABLE" in line:
                    break
        finally:
            fleet.lab.join("pi-1")
        lines += run.stdout.readlines()
    (fleet.code / "model.bin").unlink()
    output = "".join(lines)
    assert run.returncode == 2, output
    assert "the connection to pi-1 broke while this was pushed" in output
    assert fleet.run("pi-1", f"ls {HOME} {HOME}/releases /opt/fogverse/libs") == there
    assert fleet.running("pi-1") == before


def test_what_a_power_cut_leaves_of_a_push_goes_with_the_next_one(fleet: Fleet) -> None:
    """Lost: room on the card for good, where nobody is left to take away what had come."""
    archive = "/home/orchestrator/.ansible/tmp/ansible-tmp-cut"
    rests = f"{HOME}/incoming-1 /opt/fogverse/libs/incoming-1 {archive}"
    fleet.run("pi-1", f"sudo mkdir -p {rests}; sudo sync")
    fleet.lab.power_off("pi-1")
    fleet.lab.power_on("pi-1")
    fleet.good("after a power cut")
    with fleet.traffic():
        reports, output = fleet.upgrade()
    assert reports["pi-1"]["outcome"] == "upgraded", output
    assert fleet.run("pi-1", f"sudo ls -d {rests} 2>/dev/null || true") == ""


def test_a_power_cut_leaves_the_old_or_the_new_credentials_whole(fleet: Fleet) -> None:
    """Lost: a device that starts with half of its passwords, after somebody pulled the plug in a rotation."""
    assert fleet.guard is not None
    authority = fleet.guard.authority
    text = authority.read_text()
    with fleet.wrapped() as folder, fleet.traffic():
        authority.write_text(text + "\n# to count steps\n")
        (folder / "steps").unlink(missing_ok=True)
        assert fleet.upgrade()[0]["pi-1"]["outcome"] == "upgraded"
        steps = (folder / "steps").read_text().splitlines()
        switch = next(number for number, step in enumerate(steps) if re.match(r"mv -T .*/\.setup\.new .*/setup$", step))
        for cut in (switch - 1, switch):
            old = fleet.run("pi-1", f"readlink {HOME}/current/setup")
            authority.write_text(text + f"\n# cut at {cut}\n")
            fleet.cut(cut, folder)
            fleet.member_by("pi-1", 60)
            assert (fleet.run("pi-1", f"readlink {HOME}/current/setup") == old) == (cut < switch), steps[cut]
            given = fleet.run("pi-1", f"sudo cat /run/credentials/{UNIT}/ssl_cafile")
            assert (f"cut at {cut}" in given) == (cut == switch)
        authority.write_text(text)
        assert fleet.upgrade()[0]["pi-1"]["outcome"] == "upgraded"
    only_setup(fleet)


def test_a_device_of_an_older_version_goes_back_to_what_it_was_or_is_brought_on(fleet: Fleet) -> None:
    """Lost: each device of a fleet that is in use, when its orchestrator is brought up to date."""
    fleet.run("pi-1", f"sudo sh <<'EOF'\n{OLDER}EOF\n")
    before, unit = fleet.running("pi-1"), fleet.run("pi-1", f"systemctl cat {UNIT}")
    assert "LoadCredential=sasl_plain_password:/etc/fogverse/credentials/odd/" in unit
    tell(fleet, WRONG)
    try:
        with fleet.traffic():
            reports, output = fleet.upgrade(code=2)
    finally:
        tell(fleet, RIGHT)
    after = fleet.running("pi-1")
    assert reports["pi-1"]["outcome"] == "rolled-back", output
    assert after.pop("pid") != before.pop("pid")
    assert after == before
    fleet.run("pi-1", f"sudo systemctl restart {UNIT}")
    fleet.member_by("pi-1", 60)
    with fleet.traffic():
        reports, output = fleet.upgrade()
    assert reports["pi-1"]["outcome"] == "upgraded", output
    only_setup(fleet)
    assert "[Service]" not in fleet.run("pi-1", "cat /etc/systemd/system/fogverse-odd@.service")
    assert fleet.run("pi-1", "sudo ls -A /etc/fogverse/credentials") == ""
    assert fleet.upgrade()[0]["pi-1"]["outcome"] == "unchanged"
