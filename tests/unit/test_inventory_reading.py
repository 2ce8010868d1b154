"""Valid inventories: what Ansible would see is what the master sees."""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
from pathlib import Path

import paramiko
import pytest
from pydantic import BaseModel

from orchestrator.checks.inventory import unread_lines
from orchestrator.core.policy_settings import RatioSettings
from orchestrator.core.requirements import HealSettings, Requirements
from orchestrator.core.service import Service
from orchestrator.inventory import Connection, Inventory, InventoryInvalid, KafkaSettings, read
from orchestrator.inventory import ansible as asking
from orchestrator.inventory.devices import check_addresses, check_device
from orchestrator.inventory.places import scan

PROJECT = Path(__file__).parents[2]
VALID = PROJECT / "tests/data/inventories/valid"
SERVICE = """
fogverse_kafka: {bootstrap_servers: "kafka-1:9092"}
fogverse_services:
  analyzer:
    source_topic: analyze
    group_id: analyzer
    artifact: orchestrator
    entrypoint: incident_detection.analyzer:process
    hosts: fog
"""


@pytest.fixture(scope="module")
def valid() -> Inventory:
    return read(VALID / "inventory", PROJECT, {"ANSIBLE_VAULT_PASSWORD_FILE": str(VALID / "vault-password")})


def test_patterns_choose_the_devices_of_each_service(valid: Inventory) -> None:
    """``fog:edge:!pi-2`` is Ansible's to understand; a host in no pattern is no device of the fleet."""
    assert valid.hosts_of("analyzer") == ("pi-1", "pi-3", "edge-1")
    assert valid.hosts_of(valid.services[1]) == ("this-machine",)
    assert [device.name for device in valid.devices] == ["pi-1", "pi-3", "edge-1", "this-machine"]


def test_templates_are_filled_in(valid: Inventory) -> None:
    """A template that arrives as it was written would be taken for a path or an address."""
    assert valid.known_hosts == VALID / "inventory/known_hosts"
    assert valid.services[0].max_instances == 6
    assert valid.services[0].env == {"MODEL": "small"}
    assert valid.settings["window_max_second"] == 600
    assert valid.connections["pi-3"] == Connection(
        "pi-3", "192.0.2.3", 22, "pi", key_file=VALID / "inventory/key", password=None
    )


def test_variables_of_groups_and_hosts_reach_the_devices(valid: Inventory) -> None:
    slots = {device.name: device.slots for device in valid.devices}
    assert slots == {"pi-1": 2, "pi-3": 2, "edge-1": 1, "this-machine": 1}
    pi_3 = next(device for device in valid.devices if device.name == "pi-3")
    assert (pi_3.capacity, pi_3.device_class, pi_3.labels) == (120, "pi4", {"camera", "roof"})
    assert valid.connections["edge-1"].port == 2222
    assert [name for name, link in valid.connections.items() if link.sudo_password] == ["edge-1"]
    assert valid.connections["this-machine"].local
    assert valid.netns == "fv-test-hub"


def test_what_an_instance_needs_and_how_it_is_healed_is_read(valid: Inventory) -> None:
    """Lost otherwise: an instance on a board without its camera, or a home-coming that nobody wanted."""
    analyzer = valid.services[0]
    assert analyzer.placement == "pack"
    assert (analyzer.requires.memory_mb, analyzer.requires.labels) == (256, ("camera",))
    assert analyzer.requires.arch == ("aarch64",)
    assert (analyzer.heal.restart_limit, analyzer.heal.replace_after_s, analyzer.heal.return_home) == (2, 30, False)
    assert valid.services[1].heal.return_home


def test_the_vault_is_opened_and_its_secrets_are_not_shown(valid: Inventory) -> None:
    options = valid.kafka.client_options()
    assert options == {
        "bootstrap_servers": ["kafka-1:9092", "kafka-2:9093"],
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "master",
        "sasl_plain_password": "s3cret-from-the-vault",
        "ssl_check_hostname": True,
    }
    assert "s3cret" not in repr(valid)
    assert "s3cret" not in repr(options), "kafka-python logs them so"


def test_a_value_from_the_vault_is_masked_in_problems(tmp_path: Path) -> None:
    """Its key has no telling name; that it came out of an encrypted file is enough."""
    shutil.copytree(VALID / "inventory", tmp_path / "inventory")
    (tmp_path / "inventory/group_vars/all/more.yml").write_text(
        'fogverse_netns: "{{ vault_inline }}/"\nfogverse_settings: "{{ vault_kafka_password }}"\n'
    )
    environ = {"ANSIBLE_VAULT_PASSWORD_FILE": str(VALID / "vault-password")}

    with pytest.raises(InventoryInvalid) as caught:
        read(tmp_path / "inventory", PROJECT, environ)

    assert [problem.key for problem in caught.value.problems] == ["fogverse_netns", "fogverse_settings"]
    assert [problem.value for problem in caught.value.problems] == ["********", "********"]
    assert "s3cret" not in str(caught.value)


def test_a_dynamic_inventory_works(tmp_path: Path) -> None:
    script = tmp_path / "hosts.sh"
    hosts = {"fog": {"hosts": ["pi-1"]}, "_meta": {"hostvars": {"pi-1": {"ansible_host": "192.0.2.1"}}}}
    script.write_text(f"#!/bin/sh\necho '{json.dumps(hosts)}'\n")
    script.chmod(0o755)
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars/all.yml").write_text(SERVICE)

    assert read(tmp_path, PROJECT, os.environ).devices[0].address == "192.0.2.1"


def test_an_inventory_may_be_a_single_file(tmp_path: Path) -> None:
    (tmp_path / "home.yml").write_text("fog: {hosts: {pi-1: {ansible_host: 192.0.2.1}}}")
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars/all.yml").write_text(SERVICE)

    assert read(tmp_path / "home.yml", PROJECT, {}).hosts_of("analyzer") == ("pi-1",)


def test_a_dynamic_inventory_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the master would never start, and say nothing; nor may the script stay behind."""
    held = tmp_path / "held"
    os.mkfifo(held)
    reader = os.open(held, os.O_RDONLY | os.O_NONBLOCK)
    script = tmp_path / "hosts.sh"
    script.write_text(f"#!/bin/sh\nexec 3> {held}\necho begun >&3\nexec sleep 600\n")
    script.chmod(0o755)
    monkeypatch.setattr(asking, "DEADLINE_S", 6)

    try:
        with pytest.raises(InventoryInvalid, match="did not end within 6 s"):
            read(script, PROJECT, os.environ)

        assert os.read(reader, 100) == b"begun\n"
        assert select.select([reader], [], [], 10)[0]
        assert os.read(reader, 100) == b"", "the script still holds its end"
    finally:
        os.close(reader)


@pytest.mark.parametrize(
    ("error", "reported"),
    [(socket.EAI_NONAME, True), (socket.EAI_AGAIN, False)],
    ids=["no such name", "no answer from the name server"],
)
def test_only_a_name_that_does_not_exist_is_a_problem(
    error: int, reported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that is down must not make the inventory invalid."""

    def fail(*_: object) -> None:
        raise socket.gaierror(error, "")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    connection = Connection("pi-1", "pi-1", 22, "pi")

    assert check_addresses({"pi-1": {"values": {}}}, {"pi-1": connection}) == (("pi-1",) if reported else ())


def test_the_users_ssh_configuration_counts_as_it_does_for_ansible() -> None:
    """An alias of ~/.ssh/config works in ansible-playbook: the probe must reach the same host."""
    config = paramiko.SSHConfig.from_text("Host pi-1\n HostName 192.0.2.9\n User alarm\n Port 2200\n IdentityFile ~/k")
    answer = {
        "values": {},
        "connection": "ssh",
        "sudo_password": False,
        "ssh": {"host": "pi-1", "port": None, "remote_user": None, "private_key_file": None, "password": None},
    }

    _, connection, findings = check_device("pi-1", answer, PROJECT, config)

    assert findings == ()
    assert connection == Connection("pi-1", "192.0.2.9", 2200, "alarm", key_file=Path("~/k").expanduser())


def test_the_example_is_valid() -> None:
    """It is what everybody starts from."""
    example = read(PROJECT / "inventory/example", PROJECT, {})

    assert example.services
    assert example.devices


MODELS = [Service, KafkaSettings, RatioSettings, Requirements, HealSettings]


@pytest.mark.parametrize("model", MODELS)
def test_every_key_is_documented(model: type[BaseModel]) -> None:
    documented = (PROJECT / "docs/inventory.md").read_text()

    assert [name for name in model.model_fields if name != "name" and f"`{name}`" not in documented] == []


def test_keys_are_found_in_the_files_when_ansible_does_not_say_where_they_stand() -> None:
    """The lines of a report come from a part of ansible-core that may be renamed; then from the files."""
    file = PROJECT / "tests/data/inventories/services/inventory/group_vars/all.yml"

    places = scan([file, PROJECT / "no such file"])

    assert places["fogverse_services", "analyzer", "max_instance"] == (file, 12)
    assert places["fogverse_services", "alerts", "policy", "treshold"] == (file, 30)


def test_variables_of_a_users_own_are_no_error_and_check_tells_of_them(tmp_path: Path) -> None:
    """Lost otherwise: a fleet that is refused for a variable of another playbook; or no word on it."""
    (tmp_path / "hosts.yml").write_text("fog: {hosts: {pi-1: {ansible_host: 192.0.2.1, fogverse_rack: 7}}}\n")
    (tmp_path / "group_vars").mkdir()
    own = "fogverse_room: \"{{ ansible_facts['hostname'] }}\"\nfogverse_device_reboot: true\n"
    (tmp_path / "group_vars/all.yml").write_text(own + SERVICE)

    found = read(tmp_path, PROJECT, {})

    assert [(problem.key, problem.line) for problem in found.unread] == [
        ("fogverse_room", 1),
        ("fogverse_rack of pi-1", 1),
    ]
    lines = list(unread_lines(found))
    assert [(line.state, line.name) for line in lines] == [
        ("note", "fogverse_room"),
        ("note", "fogverse_rack of pi-1"),
    ]
    assert f"{tmp_path}/hosts.yml:1" in lines[1].text
