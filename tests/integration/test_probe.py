"""The probe against a real OpenSSH server on loopback, and against servers that misbehave."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import paramiko
import pytest

from orchestrator.errors import DeviceFailed
from orchestrator.inventory import Connection
from orchestrator.ssh.hostkeys import show, trust
from orchestrator.ssh.probe import Probe, probe

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
HOST = "127.0.0.1"

pytestmark = pytest.mark.skipif(SSHD is None, reason="no sshd here: apt-get install openssh-server")


@dataclass(frozen=True)
class Server:
    folder: Path
    port: int

    @property
    def connection(self) -> Connection:
        return Connection("pi-1", HOST, self.port, getpass.getuser(), key_file=self.folder / "user")

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    def with_option(self, option: str, place: Path) -> None:
        """Let the user's key in with an option of authorized_keys, e.g. a forced command."""
        place.write_text(f"{option} {(self.folder / 'user.pub').read_text()}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("sshd")
    for name in ("host", "other-host", "user", "other-user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    (folder / "authorized_keys").write_text((folder / "user.pub").read_text())
    (folder / "config").write_text(
        f"Port {port}\nListenAddress {HOST}\nHostKey {folder}/host\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nPasswordAuthentication no\nMaxStartups 100\n"
    )
    write_known_hosts(folder / "known_hosts", port, folder / "host.pub")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    log = (folder / "log").open("wb")
    with log, subprocess.Popen([str(SSHD), "-D", "-e", "-f", folder / "config"], stderr=log) as process:
        try:
            wait_until(lambda: answers(port), f"sshd did not start: {(folder / 'log').read_text()}")
            yield Server(folder, port)
        finally:
            process.terminate()


@pytest.fixture(autouse=True)
def _no_thread_stays_behind() -> Iterator[None]:
    """A master probes all day: a thread or a socket left behind each time would end it."""
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def test_a_device_is_described(server: Server) -> None:
    found = one(server.connection, server.known_hosts)

    assert (found.reachable, found.reason) == (True, "")
    assert found.arch == os.uname().machine
    assert found.python
    assert found.python.startswith("3.")
    assert found.disk_free_mb is not None
    assert found.disk_free_mb > 0
    assert found.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert found.sudo is (os.geteuid() == 0) or found.sudo
    assert found.units == ()


def test_the_clock_offset_is_the_devices_minus_the_masters(server: Server) -> None:
    """Placement and lag trust no clock, but people read logs: a sign error would send them the wrong way."""
    slow_master = probe([server.connection], server.known_hosts, 5, clock=lambda: time.time() - 100)["pi-1"]

    assert slow_master.clock_offset_s == pytest.approx(100, abs=1)
    assert slow_master.clock_uncertainty_s is not None
    assert 0 <= slow_master.clock_uncertainty_s < 1


def test_an_unknown_host_key_is_refused_with_its_fingerprint(server: Server) -> None:
    """Whoever answers at the address must not be given the fleet's code and secrets."""
    found = one(server.connection, server.folder / "none")

    fingerprint = subprocess.run(
        ["ssh-keygen", "-lf", server.folder / "host.pub"], capture_output=True, text=True, check=True
    ).stdout.split()[1]
    assert not found.reachable
    assert f"host key unknown ({fingerprint})" in found.reason
    assert found.reason.endswith("run: orchestrator device enroll pi-1")


def test_a_changed_host_key_is_told_from_an_unknown_one(server: Server, tmp_path: Path) -> None:
    write_known_hosts(tmp_path / "known_hosts", server.port, server.folder / "other-host.pub")

    found = one(server.connection, tmp_path / "known_hosts")

    assert not found.reachable
    assert "host key CHANGED" in found.reason
    assert f"ssh-keygen -f {tmp_path}/known_hosts -R '[127.0.0.1]:{server.port}'" in found.reason


def test_a_changed_key_of_another_type_is_changed_too(server: Server, tmp_path: Path) -> None:
    """A device set up anew may have other types of keys: it is still not the device that was known."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", tmp_path / "ecdsa"], check=True, capture_output=True
    )
    write_known_hosts(tmp_path / "known_hosts", server.port, tmp_path / "ecdsa.pub")

    assert "host key CHANGED" in one(server.connection, tmp_path / "known_hosts").reason


def test_a_user_who_is_not_let_in_is_told_with_which_key(server: Server) -> None:
    stranger = replace(server.connection, key_file=server.folder / "other-user")

    found = one(stranger, server.known_hosts)

    assert f"{stranger.user} is not let in with {stranger.key_file}" in found.reason


def test_a_key_file_that_is_not_there_is_named(server: Server) -> None:
    found = one(replace(server.connection, key_file=server.folder / "gone"), server.known_hosts)

    assert f"key file {server.folder}/gone cannot be read" in found.reason


def test_a_closed_port_is_a_refused_connection(server: Server) -> None:
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]

    found = one(replace(server.connection, port=port), server.known_hosts)

    assert found.reason == f"SSH: connection refused by {HOST}:{port}: does sshd run on the device?"


def test_a_server_that_never_speaks_costs_one_deadline(server: Server) -> None:
    with listening(say_nothing) as port:
        found = one(replace(server.connection, port=port), server.known_hosts, timeout_s=0.5)

    assert found.reason == "SSH: timed out after 0.5 s in the SSH greeting"
    assert found.elapsed_s < 2


def test_a_server_that_speaks_for_ever_costs_one_deadline(server: Server) -> None:
    """Each line in time, and never to the point: only a deadline over the whole phase ends it."""

    def babble(client: socket.socket, done: threading.Event) -> None:
        while not done.wait(0.05):
            client.sendall(b"one moment please\r\n")

    with listening(babble) as port:
        found = one(replace(server.connection, port=port), server.known_hosts, timeout_s=0.5)

    assert not found.reachable
    assert found.elapsed_s < 2


def test_a_server_that_hangs_after_its_greeting_costs_one_deadline(server: Server) -> None:
    def greet(client: socket.socket, done: threading.Event) -> None:
        client.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        done.wait()

    with listening(greet) as port:
        found = one(replace(server.connection, port=port), server.known_hosts, timeout_s=0.5)

    assert found.reason == "SSH: timed out after 0.5 s in the SSH greeting"
    assert found.elapsed_s < 2


def test_another_kind_of_server_is_told(server: Server) -> None:
    def http(client: socket.socket, _done: threading.Event) -> None:
        client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with listening(http) as port:
        found = one(replace(server.connection, port=port), server.known_hosts)

    assert "is no SSH server" in found.reason


def test_a_command_that_hangs_costs_one_deadline(server: Server) -> None:
    """A card that has gone bad lets people in and then never answers."""
    authorized = server.folder / "authorized_keys"
    before = authorized.read_text()
    server.with_option('command="exec sleep 60"', authorized)
    try:
        found = one(server.connection, server.known_hosts, timeout_s=1)
    finally:
        authorized.write_text(before)

    assert found.reason == "SSH: timed out after 1 s in the command"
    assert found.elapsed_s < 4


def test_devices_that_hang_do_not_hold_up_the_others(server: Server) -> None:
    """One dead Pi must never cost the fleet more than its own deadline."""
    with listening(say_nothing) as port:
        hanging = [replace(server.connection, device=f"dead-{n}", port=port) for n in range(10)]
        well = [replace(server.connection, device=f"well-{n}") for n in range(4)]
        begun = time.monotonic()
        found = probe([*hanging, *well], server.known_hosts, 2)
        elapsed = time.monotonic() - begun

    assert [found[link.device].reachable for link in well] == [True] * 4
    assert all("timed out" in found[link.device].reason for link in hanging)
    assert elapsed < 4, "ten deadlines in a row would be 20 s"


def test_more_devices_than_are_probed_at_once_are_all_probed(server: Server) -> None:
    links = [replace(server.connection, device=f"pi-{n}") for n in range(5)]

    found = probe(links, server.known_hosts, 5, at_once=2)

    assert [found[link.device].reachable for link in links] == [True] * 5


def test_this_machine_itself_needs_no_ssh(tmp_path: Path) -> None:
    """``ansible_connection: local`` is a device without an SSH server."""
    here = Connection("here", "here", 1, "nobody", local=True)

    found = probe([here], tmp_path / "none", 5)["here"]

    assert found.reachable
    assert found.clock_offset_s == pytest.approx(0, abs=1)


def test_no_devices_are_no_work(tmp_path: Path) -> None:
    assert probe([], tmp_path, 5) == {}


def test_a_device_is_enrolled_once_and_then_known(server: Server, tmp_path: Path) -> None:
    """The key shown to the user is the one that is trusted, and the probe obeys it."""
    known_hosts = tmp_path / "keys" / "known_hosts"
    shown = show(server.connection, known_hosts, 5)
    assert shown.state == "unknown"

    trust(shown, known_hosts)

    assert show(server.connection, known_hosts, 5).state == "known"
    assert one(server.connection, known_hosts).reachable
    assert known_hosts.stat().st_mode & 0o777 == 0o600


def test_another_key_than_the_trusted_one_is_not_taken_for_known(server: Server, tmp_path: Path) -> None:
    write_known_hosts(tmp_path / "known_hosts", server.port, server.folder / "other-host.pub")

    assert show(server.connection, tmp_path / "known_hosts", 5).state == "changed"


@pytest.mark.parametrize("kind", ["ECDSA", "RSA"])
def test_a_key_of_another_kind_than_the_usual_is_known_too(kind: str, server: Server, tmp_path: Path) -> None:
    """Lost: hours over an attack that is none: a device has keys of three kinds, and any may be known."""
    key = paramiko.ECDSAKey.generate() if kind == "ECDSA" else paramiko.RSAKey.generate(2048)
    usual = paramiko.Ed25519Key.from_private_key_file(str(server.folder / "host"))

    def offer_both(link: socket.socket, done: threading.Event) -> None:
        transport = paramiko.Transport(link)
        transport.add_server_key(usual)
        transport.add_server_key(key)
        transport.start_server(server=paramiko.ServerInterface())
        done.wait(10)
        transport.close()
        transport.join(5)

    with listening(offer_both) as port:
        connection = replace(server.connection, port=port)
        known_hosts = tmp_path / "known_hosts"
        known_hosts.write_text(f"[{HOST}]:{port} {key.get_name()} {key.get_base64()}\n")
        shown = show(connection, known_hosts, 10)
    assert (shown.kind, shown.state) == (key.get_name(), "known")


def test_trusting_a_key_keeps_those_of_the_other_devices(server: Server, tmp_path: Path) -> None:
    """A file that somebody has edited may lack the newline at its end."""
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text("pi-9 " + " ".join((server.folder / "other-host.pub").read_text().split()[:2]))

    trust(show(server.connection, known_hosts, 5), known_hosts)

    assert [line.split()[0] for line in known_hosts.read_text().splitlines()] == ["pi-9", f"[{HOST}]:{server.port}"]


def test_a_device_that_does_not_answer_cannot_be_enrolled(server: Server) -> None:
    with (
        listening(say_nothing) as port,
        pytest.raises(DeviceFailed, match=r"pi-1: SSH: timed out after 0\.3 s"),
    ):
        show(replace(server.connection, port=port), server.known_hosts, 0.3)


def one(connection: Connection, known_hosts: Path, timeout_s: float = 10) -> Probe:
    return probe([connection], known_hosts, timeout_s)[connection.device]


def write_known_hosts(file: Path, port: int, key: Path) -> None:
    file.write_text(f"[{HOST}]:{port} {' '.join(key.read_text().split()[:2])}\n")


@contextmanager
def listening(serve: Callable[[socket.socket, threading.Event], object]) -> Iterator[int]:
    """A server that treats every connection so, each in a thread, until the end of the block."""
    done = threading.Event()
    threads: list[threading.Thread] = []

    def talk(client: socket.socket) -> None:
        with client:
            try:
                serve(client, done)
            except OSError:
                return  # the probe has hung up

    def accept(listener: socket.socket) -> None:
        while not done.is_set():
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=talk, args=(client,)))
            threads[-1].start()

    with socket.create_server((HOST, 0)) as listener:
        accepting = threading.Thread(target=accept, args=(listener,))
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            done.set()
            listener.shutdown(socket.SHUT_RDWR)
            for thread in (accepting, *threads):
                thread.join(10)


def say_nothing(_client: socket.socket, done: threading.Event) -> None:
    done.wait()


def answers(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False


def wait_until(true: Callable[[], bool], words: str) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, words
        time.sleep(0.02)
