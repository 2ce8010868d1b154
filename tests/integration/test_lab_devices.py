"""Simulated devices: that they behave as devices do, and that nothing of them stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from lab import inventory as lab_inventory
from lab import netns
from lab.broker import LocalBroker
from lab.cgroup import Cgroup, Trees
from lab.cli import lab as commands
from lab.errors import LabError
from lab.fleet import Lab
from lab.leftovers import PROPAGATE
from lab.login import wait_for_login
from lab.ports import accepts, free_port
from lab.processes import running
from orchestrator.project import PROJECT

pytestmark = pytest.mark.lab

NAMES = ["pi-1", "pi-2"]


@pytest.fixture(scope="module")
def lab(device_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    place = Lab(tmp_path_factory.mktemp("lab") / ".lab", device_base)
    try:
        place.up(len(NAMES), cpu=100)
        yield place
    finally:
        place.down()


@pytest.fixture
def healed(lab: Lab) -> Lab:
    """The module's lab with all devices on again, whatever an earlier test did to them."""
    lab.up(len(NAMES))
    return lab


def ssh(lab: Lab, name: str, *command: str) -> str:
    return subprocess.run(
        lab.ssh_command(name, *command),
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    ).stdout.strip()


def is_reached(lab: Lab, address: str) -> bool:
    with netns.entered(lab.hub_netns):
        return accepts(address, 22, timeout_s=0.5)


def cgroup(lab: Lab, name: str) -> Cgroup:
    return Cgroup(Trees.detect(), f"{lab.prefix}/{name}")


def states(lab: Lab) -> dict[str, str]:
    return {device.name: device.state for device in lab.devices()}


def traces(lab: Lab) -> list[str]:
    """Everything on this machine that carries the lab's name, outside of its folder."""
    groups = [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/{lab.prefix}*")]
    mounted = [
        line for line in Path("/proc/mounts").read_text().splitlines() if lab.prefix in line or str(lab.folder) in line
    ]
    lines = (" ".join(line) for line in running().values())
    processes = [line for line in lines if lab.prefix in line or str(lab.folder) in line]
    folders = [str(path) for path in (lab.control_path, *PROPAGATE.glob(f"{lab.prefix}*")) if path.exists()]
    return [*groups, *mounted, *processes, *folders, *netns.names(lab.prefix)]


def test_each_device_is_known_by_its_own_host_key(lab: Lab) -> None:
    """Without this a wrong device could be taken for the right one: ssh_command checks keys strictly."""
    keys = {name: ssh(lab, name, "cat", "/etc/ssh/ssh_host_ed25519_key.pub").split()[1] for name in NAMES}
    assert len(set(keys.values())) == len(NAMES)
    known = dict(line.split(" ssh-ed25519 ") for line in lab.keys.known_hosts.read_text().splitlines())
    assert known == {"10.77.0.11": keys["pi-1"], "10.77.0.12": keys["pi-2"]}
    lab.keys.publish({"10.77.0.12": f"ssh-ed25519 {keys['pi-1']}"})
    try:
        with pytest.raises(subprocess.CalledProcessError) as caught:
            ssh(lab, "pi-2", "true")
        assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in caught.value.stderr
    finally:
        lab.keys.publish({"10.77.0.12": f"ssh-ed25519 {keys['pi-2']}"})


def test_a_device_is_a_whole_debian_with_systemd(lab: Lab) -> None:
    assert ssh(lab, "pi-1", "hostname") == "pi-1"
    assert ssh(lab, "pi-1", "systemctl", "is-system-running", "--wait") == "running"
    assert ssh(lab, "pi-1", "sudo", "-n", "id", "-u") == "0"
    assert ssh(
        lab, "pi-1", "sudo", "python3", "-m", "venv", "--without-pip", "/opt/v", "&&", "ls", "/opt/v/bin/python3"
    )


def test_devices_reach_each_other_and_their_network_has_no_way_out(lab: Lab) -> None:
    """Packets for a simulated device must never turn up in somebody's real network.

    Looked up, not tried out: an attempt from outside would itself be such a packet.
    """
    inside = "import socket; print(socket.create_connection(('10.77.0.12', 22), 2).recv(4))"
    assert ssh(lab, "pi-1", f'python3 -c "{inside}"') == "b'SSH-'"
    links = json.loads(netns.ip("-n", lab.hub_netns, "-j", "link", "show"))
    assert {link["ifname"] for link in links} == {"lo", "br0", "v11", "v12"}
    routes = json.loads(netns.ip("-n", lab.hub_netns, "-j", "route", "show"))
    assert [route["dst"] for route in routes] == ["10.77.0.0/24"]
    assert "10.77.0." not in netns.ip("address", "show")


def test_ansible_reaches_the_devices_from_outside_their_network(lab: Lab, tmp_path: Path) -> None:
    inventory = tmp_path / "lab"
    lab_inventory.write(inventory, lab)
    environment = {**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_LOCAL_TEMP": str(tmp_path)}
    scripts = Path(sys.executable).parent

    def run(program: str, *arguments: str) -> str:
        done = subprocess.run(
            [str(scripts / program), "-i", str(inventory), *arguments],
            capture_output=True, text=True, check=False, env=environment, stdin=subprocess.DEVNULL, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    listed = json.loads(run("ansible-inventory", "--list"))
    assert listed["fog"]["hosts"] == NAMES
    assert listed["_meta"]["hostvars"]["pi-1"]["fogverse_netns"] == lab.hub_netns
    printed = run("ansible", "fog", "--one-line", "-m", "raw", "-a", "hostname")
    assert printed.count("rc=0") == len(NAMES), printed
    assert list(lab.control_path.iterdir()), "no shared connection: 'down' has nothing to close, and each task is slow"


def test_a_device_without_power_keeps_its_disk_and_its_name(healed: Lab) -> None:
    boot = ssh(healed, "pi-1", "cat", "/proc/sys/kernel/random/boot_id")
    ssh(healed, "pi-1", "echo kept > file && sync")
    healed.cpu("pi-1", 90)
    healed.power_off("pi-1")
    assert states(healed) == {"pi-1": "off", "pi-2": "on"}
    assert not is_reached(healed, "10.77.0.11")
    healed.power_on("pi-1")
    assert ssh(healed, "pi-1", "cat", "file") == "kept"
    assert ssh(healed, "pi-1", "cat", "/proc/sys/kernel/random/boot_id") != boot
    assert cgroup(healed, "pi-1").cpu_limit() == 90


def test_a_device_reboots_and_shuts_down_by_itself(healed: Lab) -> None:
    boot = ssh(healed, "pi-2", "cat", "/proc/sys/kernel/random/boot_id")
    subprocess.run(healed.ssh_command("pi-2", "sudo", "reboot"), check=False, capture_output=True, timeout=30)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        wait_for_login(healed.ssh_command("pi-2", "true"), healed.hub_netns, "10.77.0.12", deadline)
        now = subprocess.run(
            healed.ssh_command("pi-2", "cat", "/proc/sys/kernel/random/boot_id"),
            check=False, capture_output=True, text=True, timeout=30,
        ).stdout.strip()  # fmt: skip
        if now not in {"", boot}:
            break
        time.sleep(0.1)
    else:
        pytest.fail("it did not come back from a reboot")
    subprocess.run(healed.ssh_command("pi-2", "sudo", "poweroff"), check=False, capture_output=True, timeout=30)
    while states(healed)["pi-2"] != "off" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert states(healed)["pi-2"] == "off"


def test_a_cut_device_runs_on_unreached(healed: Lab) -> None:
    boot = ssh(healed, "pi-2", "cat", "/proc/sys/kernel/random/boot_id")
    healed.cut("pi-2")
    assert states(healed)["pi-2"] == "cut"
    assert not is_reached(healed, "10.77.0.12")
    healed.join("pi-2")
    assert ssh(healed, "pi-2", "cat", "/proc/sys/kernel/random/boot_id") == boot


def test_a_frozen_device_takes_connections_and_stays_silent(healed: Lab) -> None:
    """The nastiest failure for SSH: connected, and then nothing. Deadlines are tested with it."""
    healed.freeze("pi-2")
    assert states(healed)["pi-2"] == "frozen"
    assert is_reached(healed, "10.77.0.12")
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(healed.ssh_command("pi-2", "true"), check=False, capture_output=True, timeout=1)
    healed.thaw("pi-2")
    assert ssh(healed, "pi-2", "hostname") == "pi-2"
    healed.freeze("pi-2")
    healed.power_off("pi-2")
    assert states(healed)["pi-2"] == "off"


def test_a_device_gets_no_more_of_the_processor_than_it_may(healed: Lab) -> None:
    """A simulated Pi that is as fast as the machine would prove nothing about scaling."""
    healed.cpu("pi-1", 20)
    assert cgroup(healed, "pi-1").cpu_limit() == 20
    busy = "import time; e=time.monotonic()+1; exec('while time.monotonic()<e: pass'); print(time.process_time())"
    try:
        assert float(ssh(healed, "pi-1", f'python3 -c "{busy}"')) < 0.4
    finally:
        healed.cpu("pi-1", 100)


def test_up_again_adds_devices_and_leaves_the_others_alone(healed: Lab) -> None:
    boot = ssh(healed, "pi-1", "cat", "/proc/sys/kernel/random/boot_id")
    healed.up(3)
    assert states(healed) == {"pi-1": "on", "pi-2": "on", "pi-3": "on"}
    assert ssh(healed, "pi-1", "cat", "/proc/sys/kernel/random/boot_id") == boot


def test_devices_reach_the_broker_in_their_network(healed: Lab, jars: Path) -> None:
    broker = healed.broker(jars)
    try:
        broker.up()
        probe = "import socket; socket.create_connection(('10.77.0.1', 9092), 2)"
        ssh(healed, "pi-1", f'python3 -c "{probe}"')
        assert broker.status().netns == healed.hub_netns
    finally:
        broker.purge()


def test_the_commands_act_on_one_device(healed: Lab) -> None:
    def run(*arguments: str, code: int = 0) -> str:
        done = CliRunner().invoke(commands, [*arguments, "--folder", str(healed.folder)])
        assert done.exit_code == code, done.output
        return done.output

    run("cpu", "pi-1", "90")
    run("cut", "pi-1")
    assert run("ls").splitlines()[0].split() == ["pi-1", "10.77.0.11", "cut", "90"]
    run("join", "pi-1")
    assert json.loads(run("ls", "--json"))[0] == {"name": "pi-1", "address": "10.77.0.11", "state": "on", "cpu": 90}
    assert run("power-off", "pi-9", code=1).startswith("Error: no device pi-9: there are pi-1, pi-2")
    run("cpu", "pi-1", "0", code=2)


def test_a_broker_on_loopback_is_named_as_the_obstacle(jars: Path, device_base: Path, tmp_path: Path) -> None:
    """Devices cannot reach it: a lab beside it would only look as if it worked."""
    broker = LocalBroker(tmp_path / "kafka", jars, port=free_port())
    try:
        broker.up()
        with pytest.raises(LabError, match=f"runs on {broker.bootstrap}, where devices cannot reach it"):
            Lab(tmp_path, device_base).up(1)
        assert traces(Lab(tmp_path / "none", device_base)) == []
    finally:
        broker.purge()


def test_down_removes_every_trace_and_keeps_the_topics(device_base: Path, jars: Path, tmp_path: Path) -> None:
    place = Lab(tmp_path / ".lab", device_base)
    try:
        place.up(1)
        place.broker(jars).up()
        shared = ["-o", "ControlMaster=auto", "-o", f"ControlPath={place.control_path}/one", "-o", "ControlPersist=60"]
        command = place.ssh_command("pi-1", "true")
        subprocess.run([command[0], *shared, *command[1:]], check=True, capture_output=True, timeout=30)
        assert (place.control_path / "one").is_socket()
        assert traces(place)
    finally:
        place.down()
    assert traces(place) == []
    assert (place.folder / "kafka" / "data").is_dir()
    assert not (place.folder / "devices").exists()
    place.down()  # once more is fine
    unreachable = subprocess.run(
        [place.ssh_program, "127.0.0.1"], capture_output=True, text=True, check=False, timeout=30
    )
    assert (unreachable.returncode, unreachable.stderr[:11]) == (255, "ssh: no lab"), "it would have left the machine"


def test_down_finds_what_a_crash_has_left(device_base: Path, tmp_path: Path) -> None:
    """Supervisors and nspawn killed, files lost: the guest's processes and mounts are still there."""
    place = Lab(tmp_path / ".lab", device_base)
    try:
        place.up(2)
        for pid, line in running().items():
            words = " ".join(line)
            if place.prefix in words and ("supervisor.py" in words or line[0].endswith("systemd-nspawn")):
                os.kill(pid, signal.SIGKILL)
        for name in ("device.json", "supervisor.pid"):
            (place.folder / "devices" / "pi-1" / name).unlink()
        assert cgroup(place, "pi-1").is_populated()
    finally:
        place.down()
    assert traces(place) == []
