"""A fleet on a guarded broker: TLS, passwords, rights, secrets that nobody sees, host keys that change."""

from __future__ import annotations

import base64
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from confluent_kafka import Consumer, KafkaError, Producer
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

from lab.fleet import Lab
from lab.guard import SUPER_USER, Guard
from lab.inventory import write
from lab.netns import entered
from orchestrator.act.actuator import Actuator
from orchestrator.act.run import drain
from orchestrator.broker.tail import tail
from orchestrator.clock import SystemClock
from orchestrator.core.instance import Instance
from orchestrator.errors import EXIT_DEVICE, EXIT_REFUSED
from orchestrator.kafka_admin import open_admin
from tests.integration.test_master import PROGRAMS, PROJECT, Fleet, master

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

UNIT = "fogverse-analyzer@1.service"
STAGE = "def process(message):\n    return message.value.upper()\n"
PASSWORDS = {
    SUPER_USER: "Sup3r-not-of-this-test",
    "master": "M4ster-dont-show-this",
    "device": "D3vice-dont-show-this",
    "crawler": "Cr4wler-dont-show-this",
}
PASS_PHRASE = "K3y-dont-show-this"
VAULT_PASSWORD = "V4ult-dont-show-this"
WRONG = "Wr0ng-dont-show-this"
#: Where a word ends in ``DescribeConfigs``.
_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")
ROW = re.compile(r"\| `(?P<user>[a-z]+)` \| (?P<kind>topic|group) \| `(?P<name>[^`]+)` \| (?P<rights>[A-Za-z, ]+) \|")


@dataclass(kw_only=True)
class Guarded(Fleet):
    """One device, a guarded broker, and the secrets that are to stay where they belong."""

    guard: Guard
    folder: Path

    @property
    def secrets(self) -> list[str]:
        """What may be nowhere, in any of the forms that a program would write it in."""
        plain = [PASSWORDS["master"], PASSWORDS["device"], PASS_PHRASE, VAULT_PASSWORD, WRONG]
        key = (self.folder / "tls" / "client.key").read_bytes()
        return [
            *plain,
            *(base64.b64encode(text.encode()).decode().rstrip("=") for text in plain),
            key.decode().splitlines()[5],
            base64.b64encode(key).decode()[400:440],
        ]

    def seen(self, text: str) -> list[str]:
        """The secrets in a text."""
        return [secret for secret in self.secrets if secret in text]

    def options(self, user: str) -> dict[str, str]:
        """librdkafka's, of a user who sends or looks."""
        return {
            "bootstrap.servers": self.lab.bootstrap, "security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user, "sasl.password": self.guard.passwords[user],
            "ssl.ca.location": str(self.guard.authority),
        }  # fmt: skip

    def by_hand(self, playbook: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(PROGRAMS / "ansible-playbook"), "-i", str(self.inventory), f"playbooks/{playbook}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=200, cwd=PROJECT)

    def tell_device(self, password: str) -> None:
        """Change the file that the device's password comes from; the broker knows nothing of it."""
        (self.folder / "device-password").write_text(f"{password}\n")

    def pid(self) -> str:
        return self.on("pi-1", f"systemctl show -p MainPID --value {UNIT}").strip()

    def look_on_device(self, command: str) -> str:
        """What a command with the secrets on its standard input prints, as root."""
        return subprocess.run(
            self.lab.ssh_command("pi-1", f"sudo sh -c '{command}'"),
            input="\n".join(self.secrets), capture_output=True, text=True, check=False, timeout=60,
        ).stdout  # fmt: skip


@pytest.fixture(scope="module")
def fleet(device_base: Path, jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    lab = Lab(folder / "lab", device_base)
    guard = Guard(folder / "tls", PASSWORDS)
    broker = lab.broker(jars, guard)
    (folder / "tmp").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(folder / "vault-password"))
        patch.setenv("TMPDIR", str(folder / "tmp"))
        patch.setenv("ANSIBLE_LOCAL_TEMP", str(folder / "tmp" / "ansible"))
        try:
            lab.up(1, None)
            broker.up()
            write(folder / "inventory", lab)
            furnish(folder, guard, folder / "inventory", lab.bootstrap)
            fleet = Guarded(lab=lab, broker=broker, inventory=folder / "inventory", guard=guard, folder=folder)
            grant(fleet)
            yield fleet
        finally:
            broker.down()
            lab.down()


def furnish(folder: Path, guard: Guard, inventory: Path, bootstrap: str) -> None:
    """The inventory of a careful user: a vault, a file, a key with a pass phrase; another user for the devices."""
    (folder / "artifact").mkdir()
    (folder / "artifact" / "stage.py").write_text(STAGE)
    (folder / "device-password").write_text(f"{PASSWORDS['device']}\n")
    (folder / "vault-password").write_text(VAULT_PASSWORD)
    key, certificate = folder / "tls" / "client.key", folder / "tls" / "client.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-passout", f"pass:{PASS_PHRASE}", "-subj", "/CN=pi",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    service = {
        "source_topic": "analyze", "target_topic": "client", "group_id": "analyzer",
        "artifact": str(folder / "artifact"), "entrypoint": "stage:process", "hosts": "fog",
        "min_instances": 1, "max_instances": 1,
    }  # fmt: skip
    of_all = {
        "bootstrap_servers": bootstrap, **guard.client_options("master"),
        "ssl_certfile": str(certificate), "ssl_keyfile": str(key), "ssl_password": "{{ vault_pass_phrase }}",
        "sasl_plain_password": "{{ vault_password }}",
    }  # fmt: skip
    of_devices = of_all | {
        "sasl_plain_username": "device",
        "sasl_plain_password": f"{{{{ lookup('ansible.builtin.file', '{folder}/device-password') }}}}",
    }
    everywhere = inventory / "group_vars" / "all"
    (everywhere / "services.yml").write_text(yaml.safe_dump({"fogverse_services": {"analyzer": service}}))
    (everywhere / "secure.yml").write_text(yaml.safe_dump({"fogverse_kafka": of_all}))
    (inventory / "group_vars" / "fog.yml").write_text(yaml.safe_dump({"fogverse_kafka": of_devices}))
    vault = everywhere / "vault.yml"
    vault.write_text(yaml.safe_dump({"vault_password": PASSWORDS["master"], "vault_pass_phrase": PASS_PHRASE}))
    subprocess.run(
        [PROGRAMS / "ansible-vault", "encrypt", vault],
        check=True, capture_output=True,
    )  # fmt: skip


def grant(fleet: Guarded) -> None:
    """What the page on security says suffices, and nothing else."""
    rows = [row.groupdict() for row in ROW.finditer((PROJECT / "docs" / "security.md").read_text())]
    assert len(rows) > 10
    acls = [
        ACL(f"User:{row['user']}", "*", ACLOperation[_WORD.sub("_", right.strip()).upper()], ACLPermissionType.ALLOW,
            ResourcePattern(ResourceType[row["kind"].upper()], row["name"]))
        for row in rows for right in row["rights"].split(",")
    ]  # fmt: skip
    with entered(fleet.lab.hub_netns):
        admin = open_admin(bootstrap_servers=[fleet.lab.bootstrap], **fleet.guard.client_options(SUPER_USER))
        try:
            assert not admin.create_acls(acls)["failed"]
        finally:
            admin.close()


@contextmanager
def watched_processes() -> Iterator[list[str]]:
    """Collects the command lines and environments of the processes that begin meanwhile, again and again."""
    found: set[str] = set()
    before = set(Path("/proc").glob("[0-9]*"))
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            for process in set(Path("/proc").glob("[0-9]*")) - before:
                for name in ("cmdline", "environ"):
                    with suppress(OSError):  # it has just ended
                        found.add((process / name).read_text(errors="replace"))

    thread = threading.Thread(target=watch)
    thread.start()
    texts: list[str] = []
    try:
        yield texts
    finally:
        done.set()
        thread.join()
        texts.extend(found)


def processed(fleet: Guarded, words: set[str], timeout_s: float = 30) -> set[str]:
    """Send words as the crawler; returns what has come out of the pipeline when all have, or the time is over."""
    out: set[str] = set()
    with entered(fleet.lab.hub_netns):
        producer = Producer(fleet.options("crawler"))
        reader = Consumer(fleet.options(SUPER_USER) | {"group.id": "reader", "auto.offset.reset": "earliest"})
        try:
            for word in words:
                producer.produce("analyze", word)
            assert producer.flush(10) == 0
            reader.subscribe(["client"])
            end = time.monotonic() + timeout_s
            while time.monotonic() < end and not {word.upper() for word in words} <= out:
                message = reader.poll(0.5)
                if message is not None and message.error() is None:
                    out.add((message.value() or b"").decode())
        finally:
            reader.close()
    return out


def test_a_fleet_works_with_users_who_have_the_documented_rights_and_no_secret_is_seen(fleet: Guarded) -> None:
    """Lost: guarded clusters, since nobody knows which rights are needed; or the passwords, to whoever can look."""
    with watched_processes() as texts:
        done = fleet.by_hand("site.yml", "--diff", "-vvv")
        assert done.returncode == 0, done.stdout[-3000:]
        with master(fleet) as running:
            running.wait_for(r" proved: analyzer@pi-1\.1")
            assert processed(fleet, {"one", "two"}) >= {"ONE", "TWO"}
            checked = fleet.orchestrator("-vv", "check")
            again = fleet.by_hand("deploy.yml", "-e", "service=analyzer", "--diff", "-vvv")
        assert again.returncode == 0, again.stdout[-3000:]
        reported = fleet.orchestrator("observer", "--json")
        history = fleet.orchestrator("history", "--json")
    assert "analyzer@pi-1.1" in reported.stdout
    said = [done.stdout, done.stderr, again.stdout, again.stderr, checked.stdout, checked.stderr, *running.lines]
    assert len(texts) > 50, "processes were seen"
    assert {secret for text in (*said, *texts, reported.stdout, history.stdout) for secret in fleet.seen(text)} == set()
    kept = [path for path in (fleet.folder / "tmp").rglob("*") if path.is_file()]
    assert {path for path in kept if fleet.seen(path.read_text(errors="replace"))} == set()
    assert topics_with_secrets(fleet) == set()


def topics_with_secrets(fleet: Guarded) -> set[str]:
    """Topics of the orchestrator with a record that holds one."""
    options = fleet.guard.client_options(SUPER_USER) | {"bootstrap_servers": [fleet.lab.bootstrap]}
    with entered(fleet.lab.hub_netns):
        records = {topic: tail(options, topic) for topic in ("observer", "fogverse-ledger", "fogverse-ledger-state")}
    assert all(records.values()), "each has records"
    return {topic for topic, found in records.items() for record in found if fleet.seen((record.value or b"").decode())}


def test_nothing_on_the_device_holds_a_secret_but_the_files_of_its_unit(fleet: Guarded) -> None:
    """Lost: the cluster's passwords, to every user and every program of a device."""
    assert fleet.pid() != "0"
    folder = "/opt/fogverse/services/analyzer/current/setup/credentials"
    assert fleet.look_on_device(f"grep -rlFf /dev/stdin {folder}/").count(folder) == 3, "the search finds what is there"
    everywhere = "/etc /opt /var /root /home /tmp /run /dev/shm"
    found = fleet.look_on_device(
        f"grep -rlFf /dev/stdin {everywhere} --devices=skip --exclude-dir=credentials 2>/dev/null"
    )
    assert found == ""
    search = r'tr "\000" "\n" | grep -aoFf /dev/fd/3'
    assert PASSWORDS["device"] in fleet.look_on_device(f"exec 3<&0; cat {folder}/* | {search}")
    for command in (
        "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null",
        f"systemctl show {UNIT}; systemctl cat {UNIT}",
        "journalctl --sync; journalctl -o export",
    ):
        assert fleet.look_on_device(f"exec 3<&0; {{ {command}; }} | {search}") == ""
    modes = fleet.on("pi-1", f"sudo find {folder}/ -printf '%m %u:%g %y %f\\n'").split("\n")
    assert {line.rsplit(" ", 1)[0] for line in modes if line} == {"700 root:root d", "600 root:root f"}
    assert "/etc/sudoers.d/orchestrator: parsed OK" in fleet.on("pi-1", "sudo visudo -c")
    exposure = fleet.on("pi-1", f"systemd-analyze security --no-pager {UNIT}").splitlines()[-1]
    assert float(exposure.split(": ")[1].split()[0]) < 3, exposure


def test_a_changed_password_reaches_the_device_and_restarts_what_runs(fleet: Guarded) -> None:
    """Lost: a rotation of passwords that leaves half of a fleet with the old one; or why it does not start."""
    before = fleet.pid()
    assert before != "0"
    fleet.tell_device(WRONG)
    refused = fleet.by_hand("deploy.yml", "-e", "service=analyzer", "--diff", "-vvv")
    assert refused.returncode != 0
    assert "exit code 4, the broker refuses it" in refused.stdout
    assert "the broker refuses the consumer" in refused.stdout
    assert fleet.seen(refused.stdout + refused.stderr) == []
    fleet.tell_device(PASSWORDS["device"])
    mended = fleet.by_hand("deploy.yml", "-e", "service=analyzer")
    assert mended.returncode == 0, mended.stdout[-3000:]
    assert fleet.pid() not in ("0", before)
    assert processed(fleet, {"three"}) >= {"THREE"}
    running = fleet.pid()
    again = fleet.by_hand("site.yml")
    assert (again.returncode, fleet.pid()) == (0, running), "nothing has changed"
    assert re.search(r"changed=0\b", again.stdout)


def test_who_is_refused_is_told_in_one_line_with_an_exit_code_of_its_own(fleet: Guarded, tmp_path: Path) -> None:
    """Lost: hours, since a wrong password looks like a broker that is away."""
    secure = fleet.inventory / "group_vars" / "all" / "secure.yml"
    right = secure.read_text()
    foreign = Guard(tmp_path / "tls", {SUPER_USER: "another"})
    foreign.certify("127.0.0.1")
    wrong_password = ("refuses user master", {"sasl_plain_password": WRONG})
    wrong_authority = ("certificate that is not trusted", {"ssl_cafile": str(foreign.authority)})
    try:
        for (words, change), commands in (
            (wrong_password, ("check", "history")),
            (wrong_authority, ("check", "status")),
        ):
            secure.write_text(yaml.safe_dump({"fogverse_kafka": yaml.safe_load(right)["fogverse_kafka"] | change}))
            for command in commands:
                done = fleet.orchestrator(command, check=False)
                assert done.returncode == EXIT_REFUSED, done.stdout + done.stderr
                [line] = [line for line in (done.stdout + done.stderr).splitlines() if "the Kafka broker" in line]
                assert words in line
                assert fleet.seen(done.stdout + done.stderr) == []
    finally:
        secure.write_text(right)


def test_a_producer_without_the_right_cannot_steer_the_fleet(fleet: Guarded) -> None:
    """Lost: the fleet, to whoever may send messages."""
    refused: list[object] = []
    with entered(fleet.lab.hub_netns):
        producer = Producer(fleet.options("crawler") | {"log_level": 0})
        producer.produce("observer", "{}", on_delivery=lambda error, _message: refused.append(error.code()))
        producer.flush(10)
    assert refused == [KafkaError.TOPIC_AUTHORIZATION_FAILED]


def test_a_changed_host_key_is_refused_everywhere_until_it_is_enrolled(fleet: Guarded) -> None:
    """Lost: code, passwords and keys of the fleet, to a machine that has taken a device's address."""
    known = fleet.lab.keys.known_hosts.read_text()
    key = "/etc/ssh/ssh_host_ed25519_key"
    fleet.on("pi-1", f"sudo sh -c 'rm {key}*; ssh-keygen -q -t ed25519 -N \"\" -f {key}; systemctl restart ssh'")
    shown = subprocess.run(
        ["ssh-keygen", "-lf", f"{fleet.lab.root('pi-1')}{key}.pub"], capture_output=True, text=True, check=True
    ).stdout.split()[1]  # fmt: skip
    for socket in fleet.lab.control_path.iterdir():  # a live connection has been checked when it was made
        subprocess.run([fleet.lab.ssh_program, "-O", "exit", "-o", f"ControlPath={socket}", "x"], check=False,
                       capture_output=True)  # fmt: skip
    forget = f"ssh-keygen -f {fleet.lab.keys.known_hosts} -R '10.77.0.11'"
    for command in (("check",), ("device", "logs", "pi-1"), ("device", "enroll", "pi-1")):
        done = fleet.orchestrator(*command, check=False)
        assert done.returncode == EXIT_DEVICE
        said = done.stdout + done.stderr
        assert f"host key CHANGED (now {shown})" in said
        assert forget in said
        assert "orchestrator device enroll pi-1" in said
    by_hand = fleet.by_hand("status.yml")
    assert "Host key verification failed" in by_hand.stdout
    assert "remove with" in by_hand.stdout, "ssh itself says the mend"
    with Actuator(SystemClock(), 60) as actuator:
        run = actuator.run(drain([Instance("analyzer", "pi-1", 1)], fleet.inventory), threading.Event())
    outcome = run.of("pi-1")
    assert outcome.verdict == "unreachable"
    assert "host key CHANGED" in outcome.words
    assert "orchestrator device enroll pi-1" in outcome.words
    assert fleet.lab.keys.known_hosts.read_text() == known, "nothing was trusted by itself"
    subprocess.run(
        ["ssh-keygen", "-f", fleet.lab.keys.known_hosts, "-R", "10.77.0.11"], check=True, capture_output=True
    )
    command = [PROGRAMS / "orchestrator", "-i", fleet.inventory, "device", "enroll", "pi-1"]
    asked = subprocess.run(command, input="n\n", capture_output=True, text=True, check=False, cwd=PROJECT)
    assert f"{shown}: trust it?" in asked.stdout
    assert shown not in fleet.lab.keys.known_hosts.read_text()
    assert fleet.on("pi-1", "true; echo in") == "", "not without a yes"
    subprocess.run(command, input="y\n", capture_output=True, text=True, check=True, cwd=PROJECT)
    assert fleet.on("pi-1", "echo in").strip() == "in"
    assert fleet.by_hand("status.yml").returncode == 0
