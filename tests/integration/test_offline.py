"""Devices that nothing reaches but SSH: prepared from the wheels of the controller, tuned, and by a collection."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

from lab.base import build
from lab.errors import LabError
from lab.fleet import Lab
from lab.inventory import write
from orchestrator import pip
from orchestrator.device_platform import Platform, WheelsError
from orchestrator.project import PROJECT
from orchestrator.wheels import Bundle, Request, collect

PROGRAMS = Path(sys.executable).parent
CACHE = PROJECT / ".cache" / "wheels"
CONSTRAINTS = PROJECT / "constraints.txt"
#: pip finds nothing with these: what is not in the cache cannot be had.
NO_REGISTRY = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
CODE = "import tqdm\n\n\ndef process(message):\n    return message.value\n"
MODEL = "Raspberry Pi 4 Model B Rev 1.4"
CMDLINE = "console=serial0,115200 root=PARTUUID=1234-02 rootwait quiet"
DROP_INS = (
    "/etc/systemd/journald.conf.d/90-fogverse.conf",
    "/etc/sysctl.d/90-fogverse.conf",
    "/etc/rpi/swap.conf.d/90-fogverse.conf",
)


@functools.cache
def registry(folder: Path) -> bool:
    """Whether pip gets anything from anywhere: what fails then is a fault, and no lack of a registry."""
    try:
        pip.run(["download", "--no-deps", "--dest", str(folder), f"pip=={pip.version()}"], Platform("3.11", "x86_64"))
    except WheelsError:
        return False
    return True


def bundle_of(request: Request, scratch: Path) -> Bundle:
    """Wheels from the cache, or from a registry; skips where there is neither."""
    try:
        return collect(request, CACHE)
    except WheelsError as problem:
        if registry(scratch):
            raise
        pytest.skip(f"no registry, and not in {CACHE}: {problem}")


@pytest.mark.timeout(240)
@pytest.mark.parametrize("arch", ["aarch64", "x86_64"])
@pytest.mark.parametrize("python", ["3.11", "3.13"])
def test_wheels_are_those_of_the_device_whatever_this_machine_is(
    python: str, arch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: wheels that the device's pip refuses, or that it installs and cannot load."""
    platform = Platform(python, arch)
    version = tuple(map(int, python.split(".")))
    # Debian 12 has glibc 2.36; what is older will do.
    loads = [f"manylinux_2_{minor}_{arch}" for minor in range(36, 4, -1)] + [f"manylinux2014_{arch}"]
    fits = {*cpython_tags(version, platforms=loads), *compatible_tags(version, f"cp{version[1]}", loads)}
    requests = [
        Request(platform, sources=(PROJECT / "fogverse",), constraints=CONSTRAINTS),
        Request(platform, (PROJECT / "examples/incident_detection/requirements.txt",), constraints=CONSTRAINTS),
    ]
    for request in requests:
        bundle = bundle_of(request, tmp_path)
        for wheel in bundle.wheels:
            assert parse_wheel_filename(wheel)[3] & fits, f"{wheel} does not fit {platform}"
    names = {wheel.split("-")[0] for wheel in bundle.wheels}
    assert {"nltk", "regex", "pip"} <= names
    for name, value in NO_REGISTRY.items():
        monkeypatch.setenv(name, value)
    assert collect(requests[0], CACHE).cached


@dataclass
class Shelf:
    """Devices without any route, and the playbooks of this project on them."""

    lab: Lab
    folder: Path

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory"

    @property
    def artifact(self) -> Path:
        return self.folder / "artifact"

    def on(self, device: str, command: str) -> str:
        done = subprocess.run(
            self.lab.ssh_command(device, command), capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, f"{command}: {done.stdout[-500:]} {done.stderr[-500:]}"
        return done.stdout.strip()

    def run(self, playbook: str | Path, *arguments: str, cwd: Path = PROJECT, good: bool = True, **env: str) -> str:
        """A playbook's output, with no registry for anybody; the run must succeed, or fail, as said."""
        command = [str(PROGRAMS / "ansible-playbook"), "-i", str(self.inventory), str(playbook), *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=240, cwd=cwd,
            env=os.environ | NO_REGISTRY | {"ANSIBLE_FORCE_COLOR": "0"} | env,
        )  # fmt: skip
        assert (done.returncode == 0) == good, done.stdout[-4000:] + done.stderr[-1000:]
        return done.stdout

    def names(self) -> list[str]:
        return [device.name for device in self.lab.devices()]


@pytest.fixture(scope="module")
def shelf(device_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """pi-1 with Debian 12 (Python 3.11), and pi-2 with Debian 13 (Python 3.13) where its packages can be had."""
    folder = tmp_path_factory.mktemp("offline")
    shelf = Shelf(Lab(folder / "lab", device_base), folder)
    shelf.artifact.mkdir()
    (shelf.artifact / "odd.py").write_text(CODE)
    (shelf.artifact / "requirements.txt").write_text("tqdm==4.70.1\n")
    service = {
        "source_topic": "in", "group_id": "odd", "artifact": str(shelf.artifact), "entrypoint": "odd:process",
        "hosts": "fog", "min_instances": 0, "max_instances": 1,
    }  # fmt: skip
    pythons = ["3.11"]
    try:
        shelf.lab.up(1, None)
        try:
            newer = build(PROJECT / ".lab" / "base-trixie", suite="trixie")
        except LabError:
            pass  # no mirror: the test that needs it says so
        else:
            Lab(shelf.lab.folder, newer).up(2, None)
            pythons.append("3.13")
        for python in pythons:
            platform = Platform(python, "x86_64")
            bundle_of(Request(platform, sources=(PROJECT / "fogverse",), constraints=CONSTRAINTS), folder)
            bundle_of(Request(platform, (shelf.artifact / "requirements.txt",), constraints=CONSTRAINTS), folder)
        write(shelf.inventory, shelf.lab)
        services = shelf.inventory / "group_vars" / "all" / "services.yml"
        services.write_text(yaml.safe_dump({"fogverse_services": {"odd": service}}))
        for name in shelf.names():
            shelf.on(name, "sudo ip route del default")
        yield shelf
    finally:
        shelf.lab.down()


@pytest.fixture(scope="module")
def prepared(shelf: Shelf) -> Shelf:
    """The same devices after `site.yml`; its output is kept in the folder."""
    (shelf.folder / "site.log").write_text(shelf.run("playbooks/site.yml"))
    return shelf


def works(shelf: Shelf, device: str) -> str:
    """The Python with which the runtime and the release's packages are imported on a device."""
    return shelf.on(
        device,
        "cd /opt/fogverse/services/odd/current && PYTHONPATH=app:lib /opt/fogverse/venv/bin/python -c "
        "'import sys, odd, fogverse, confluent_kafka; print(\"%d.%d\" % sys.version_info[:2])'",
    )


@pytest.mark.lab
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("python", "words"),
    [
        (None, "it has no python3, and 3.11 or newer is needed: install Debian 12"),
        ("3.9 2.31 aarch64", "it has Python 3.9, and 3.11 or newer is needed"),
        ("3.11 2.36 32-bit (armv7l)", "its system is 32-bit (armv7l), for which the Kafka client has no packages"),
        ("3.11 2.31 x86_64", "its C library is glibc 2.31"),
    ],
    ids=["no Python", "old Python", "32-bit", "old C library"],
)
def test_a_device_that_cannot_be_prepared_is_told_why_in_one_line(python: str | None, words: str, shelf: Shelf) -> None:
    """Lost: a wall of JSON about a module that could not be sent, on a device that only lacks a package."""
    real, aside, other = "/usr/bin/python3", "/usr/bin/python3.away", "/usr/local/bin/python3"
    if python is None:
        shelf.on("pi-1", f"sudo mv {real} {aside}")
    else:
        shelf.on("pi-1", f"printf '#!/bin/sh\\necho \"{python}\"\\n' | sudo tee {other}; sudo chmod 755 {other}")
    try:
        output = shelf.run("playbooks/site.yml", "-l", "pi-1", good=False)
    finally:
        shelf.on("pi-1", f"sudo rm -f {other}; [ ! -e {aside} ] || sudo mv {aside} {real}")
    fatal = " ".join(output[output.index("fatal: [pi-1]") :].split())
    assert f"pi-1 cannot be prepared: {words}" in fatal
    assert not {"Traceback", "MODULE FAILURE"} & set(re.findall(r"Traceback|MODULE FAILURE", output))


@pytest.mark.lab
@pytest.mark.timeout(300)
def test_a_device_without_any_route_but_ssh_is_prepared_from_nothing(prepared: Shelf) -> None:
    """Lost: a Pi behind a firewall, or in a field, needs a screen, a keyboard and somebody's phone as a hotspot."""
    assert prepared.on("pi-1", "ip route show default") == ""
    assert prepared.on("pi-1", "getent hosts pypi.org || echo unknown") == "unknown"
    assert prepared.on("pi-1", "/usr/bin/python3 -m ensurepip --version >/dev/null 2>&1 || echo none") == "none"
    assert works(prepared, "pi-1") == "3.11"
    log = (prepared.folder / "site.log").read_text()
    assert re.search(r"Pushing \d+\.\d MB:.* confluent_kafka-", log), "it says what goes over the line"
    assert re.search(r"Pushing \d+\.\d MB of packages: .*tqdm-", log)


@pytest.mark.lab
@pytest.mark.timeout(300)
def test_a_device_with_a_newer_python_gets_wheels_of_its_own(prepared: Shelf) -> None:
    """Lost: the first Pi with the next Raspberry Pi OS cannot join the shelf."""
    if "pi-2" not in prepared.names():
        pytest.skip("no Debian 13: its packages cannot be fetched here, see .lab/base-trixie/build.log")
    assert works(prepared, "pi-2") == "3.13"


@pytest.mark.lab
@pytest.mark.timeout(300)
def test_a_second_run_pushes_and_changes_nothing(prepared: Shelf) -> None:
    """Lost: a slow line and a card that wears, for nothing."""
    output = prepared.run("playbooks/site.yml")
    assert re.findall(r"changed=(\d+)", output) == ["0"] * len(prepared.names())
    assert "Pushing" not in output


@pytest.mark.lab
@pytest.mark.timeout(300)
def test_new_code_brings_only_itself_and_packages_go_with_the_last_release_that_needs_them(prepared: Shelf) -> None:
    """Lost: a corrected line pushes 60 MB of packages to every device, or the card fills with what nobody uses."""
    libs = "find /opt/fogverse/libs -mindepth 1 -maxdepth 1 -type d"
    before = prepared.on("pi-1", libs)
    link = prepared.on("pi-1", "readlink /opt/fogverse/services/odd/current/lib")
    assert link == before
    (prepared.artifact / "odd.py").write_text(CODE + "# corrected\n")
    output = prepared.run("playbooks/site.yml", "--tags", "services", "-l", "pi-1")
    assert "changed=0" not in output
    assert "Pushing" not in output
    assert prepared.on("pi-1", "readlink /opt/fogverse/services/odd/current/lib") == link
    assert works(prepared, "pi-1") == "3.11"
    (prepared.artifact / "requirements.txt").unlink()
    (prepared.artifact / "odd.py").write_text(CODE.replace("import tqdm\n\n\n", ""))
    prepared.on("pi-1", f"sudo touch -d '2 hours ago' {link}")
    prepared.run("playbooks/site.yml", "--tags", "services", "-l", "pi-1", "-e", "fogverse_consumer_keep_releases=2")
    assert prepared.on("pi-1", libs) == before, "the release before this one can still be gone back to"
    (prepared.artifact / "odd.py").write_text("def process(message):\n    return None\n")
    prepared.run("playbooks/site.yml", "--tags", "services", "-l", "pi-1", "-e", "fogverse_consumer_keep_releases=2")
    assert prepared.on("pi-1", libs) == ""


@pytest.mark.lab
@pytest.mark.timeout(300)
def test_tuning_does_what_is_asked_for_once_and_can_be_taken_back(prepared: Shelf) -> None:
    """Lost: MemoryMax= without effect, a card full of logs, a boot that ends at a broken command line."""
    unit = "[Service]\\nExecStart=/usr/bin/sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n"
    prepared.on(
        "pi-1",
        f"sudo mkdir -p /boot/firmware; printf '{CMDLINE}\\n' | sudo tee /boot/firmware/cmdline.txt; "
        f"printf '{MODEL}\\0' | sudo tee /etc/model >/dev/null; printf '{unit}' | sudo tee "
        "/etc/systemd/system/chrony.service /etc/systemd/system/dphys-swapfile.service; sudo systemctl daemon-reload; "
        "sudo systemctl enable --now dphys-swapfile; sudo mkdir -p /etc/rpi/swap.conf.d; "
        "printf '[Main]\n#Mechanism=auto\n' | sudo tee /etc/rpi/swap.conf",
    )
    boot = prepared.on("pi-1", "cat /proc/sys/kernel/random/boot_id; stat -c %Y /proc/1")
    wanted = {
        "fogverse_device_model_file": "/etc/model",
        "fogverse_device_sysctl": {"net.ipv4.tcp_keepalive_time": 300},  # one that a container has of its own
        "fogverse_device_noatime": True,
        "fogverse_device_swap_file": False,
        "fogverse_device_reboot": True,
    }
    tune = (
        "playbooks/site.yml",
        "-l",
        "pi-1",
        "--tags",
        "tuning",
        "-e",
        yaml.safe_dump(wanted, default_flow_style=True),
    )
    assert "changed=8" in prepared.run(*tune, "--check")
    assert prepared.on("pi-1", "cat /boot/firmware/cmdline.txt") == CMDLINE
    assert prepared.on("pi-1", f"ls {' '.join(DROP_INS)} 2>/dev/null || true") == ""
    assert "changed=8" in prepared.run(*tune)
    assert prepared.on("pi-1", "cat /boot/firmware/cmdline.txt") == f"{CMDLINE} cgroup_memory=1 cgroup_enable=memory"
    assert prepared.on("pi-1", "cat /proc/sys/kernel/random/boot_id; stat -c %Y /proc/1") != boot, "it has restarted"
    assert "SystemMaxUse=128M" in prepared.on("pi-1", f"cat {DROP_INS[0]}")
    assert prepared.on("pi-1", f"cat {DROP_INS[2]}").endswith("[Main]\nMechanism=zram")
    assert prepared.on("pi-1", "cat /proc/sys/net/ipv4/tcp_keepalive_time") == "300"
    assert "noatime" in prepared.on("pi-1", "findmnt --noheadings --output OPTIONS /")
    assert prepared.on("pi-1", "systemctl is-enabled chrony dphys-swapfile || true") == "enabled\ndisabled"
    assert "changed=0" in prepared.run(*tune)

    untune = prepared.folder / "untune.yml"
    tasks = [{"ansible.builtin.import_role": {"name": "fogverse_device", "tasks_from": "untune"}}]
    untune.write_text(yaml.safe_dump([{"hosts": "pi-1", "gather_facts": False, "become": True, "tasks": tasks}]))
    roles = {"ANSIBLE_ROLES_PATH": str(PROJECT / "roles")}
    assert "changed=1" in prepared.run(untune, **roles)
    assert prepared.on("pi-1", "cat /boot/firmware/cmdline.txt") == CMDLINE
    left = "find /etc /boot -name '*90-fogverse*' -o -name 'fogverse-noatime*'; ls -d /opt/fogverse/tuning 2>/dev/null"
    assert prepared.on("pi-1", f"{left} || true") == ""
    assert prepared.on("pi-1", "systemctl is-enabled dphys-swapfile") == "enabled"
    assert "noatime" not in prepared.on("pi-1", "findmnt --noheadings --output OPTIONS /")
    assert "changed=0" in prepared.run(untune, **roles)


@pytest.mark.lab
@pytest.mark.timeout(300)
def test_the_roles_work_as_a_collection_from_somebody_elses_folder(prepared: Shelf, tmp_path: Path) -> None:
    """Lost: people with playbooks of their own have to copy the roles, and what these run on the controller."""
    galaxy = str(PROGRAMS / "ansible-galaxy")
    subprocess.run([galaxy, "collection", "build", "--output-path", str(tmp_path)], cwd=PROJECT, check=True,
                   capture_output=True)  # fmt: skip
    archive = next(tmp_path.glob("fogverse-orchestrator-*.tar.gz"))
    requirements = tmp_path / "requirements.yml"
    requirements.write_text(yaml.safe_dump({"collections": [{"name": str(archive), "type": "file"}]}))
    installed = tmp_path / "installed"
    subprocess.run([galaxy, "collection", "install", "-r", str(requirements), "-p", str(installed)], cwd=tmp_path,
                   check=True, capture_output=True)  # fmt: skip
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "other.py").write_text("def process(message):\n    return message.value\n")
    service = {
        "source_topic": "in",
        "group_id": "other",
        "artifact": "code",
        "entrypoint": "other:process",
        "hosts": "fog",
    }
    tasks = [
        {"ansible.builtin.import_role": {"name": "fogverse.orchestrator.fogverse_device"}},
        {
            "ansible.builtin.import_role": {"name": "fogverse.orchestrator.fogverse_consumer", "tasks_from": "stage"},
            "vars": {"fogverse_consumer_service": "other", "fogverse_services": {"other": service}},
        },
    ]
    play = {"hosts": "pi-1", "gather_facts": False, "become": True, "tasks": tasks}
    playbook = tmp_path / "mine.yml"
    playbook.write_text(yaml.safe_dump([play]))
    own = {"ANSIBLE_COLLECTIONS_PATH": str(installed), "HOME": str(tmp_path), "PYTHONPATH": ""}
    output = prepared.run(playbook, cwd=tmp_path, **own)
    # The same runtime as the checkout's: a device may be tended by both.
    assert "Pushing" not in output
    assert prepared.on("pi-1", "ls /opt/fogverse/services/other/current/app/*.py").endswith("/other.py")
    assert "changed=0" in prepared.run(playbook, cwd=tmp_path, **own)
