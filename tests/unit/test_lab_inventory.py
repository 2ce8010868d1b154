"""The lab's inventory: what a user edited survives, and linters have nothing to say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lab.errors import LabError
from lab.fleet import Lab
from lab.inventory import write
from orchestrator.core.service import Service
from orchestrator.project import PROJECT
from orchestrator.settings import Settings


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A lab with three devices that are off; the folder's name needs quoting."""
    place = Lab(tmp_path / "a lab", tmp_path / "base")
    for number in (1, 2, 10):
        folder = place.folder / "devices" / f"pi-{number}"
        folder.mkdir(parents=True)
        (folder / "device.json").write_text(json.dumps({"base": "/base", "cpu": 25, "is_cut": False}))
    return place


def test_every_device_is_in_the_group_with_its_address(lab: Lab, tmp_path: Path) -> None:
    write(tmp_path / "inventory", lab)
    hosts = yaml.safe_load((tmp_path / "inventory/hosts.yml").read_text())["fog"]["hosts"]
    assert hosts == {
        "pi-1": {"ansible_host": "10.77.0.11"},
        "pi-2": {"ansible_host": "10.77.0.12"},
        "pi-10": {"ansible_host": "10.77.0.20"},
    }
    assert list(hosts) == ["pi-1", "pi-2", "pi-10"]


def test_services_and_settings_are_the_users_once_written(lab: Lab, tmp_path: Path) -> None:
    """A second "lab up" must not undo what somebody tried out in between."""
    folder = tmp_path / "inventory/group_vars/all"
    write(tmp_path / "inventory", lab)
    for name in ("services.yml", "settings.yml", "lab.yml"):
        (folder / name).write_text("---\nedited: true\n")
    write(tmp_path / "inventory", lab)
    assert (folder / "services.yml").read_text() == (folder / "settings.yml").read_text() == "---\nedited: true\n"
    assert yaml.safe_load((folder / "lab.yml").read_text())["fogverse_netns"] == lab.hub_netns


def test_a_foreign_inventory_is_not_overwritten(lab: Lab, tmp_path: Path) -> None:
    """Somebody's production hosts, given by mistake as --inventory, must survive."""
    hosts = tmp_path / "inventory/hosts.yml"
    hosts.parent.mkdir()
    hosts.write_text("---\nfog: {hosts: {real: }}\n")
    with pytest.raises(LabError, match="was not written by a lab: choose another --inventory"):
        write(tmp_path / "inventory", lab)
    assert "real" in hosts.read_text()


def test_what_it_says_is_valid_for_the_master(lab: Lab, tmp_path: Path) -> None:
    write(tmp_path / "inventory", lab)
    folder = tmp_path / "inventory/group_vars/all"
    services = yaml.safe_load((folder / "services.yml").read_text())["fogverse_services"]
    service = Service(name="analyzer", **services["analyzer"])
    assert (PROJECT / service.artifact).is_dir()
    Settings.load(yaml.safe_load((folder / "settings.yml").read_text())["fogverse_settings"], {})


def test_linters_accept_it(lab: Lab, tmp_path: Path) -> None:
    write(tmp_path / "inventory", lab)
    lint = [sys.executable, "-m", "yamllint", "--strict", "-c", str(PROJECT / ".yamllint"), str(tmp_path / "inventory")]
    done = subprocess.run(lint, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_devices_with_brokers_are_a_group_of_their_own(lab: Lab, tmp_path: Path) -> None:
    """Otherwise the master would start consumers on them, and the role kafka_broker would not find them."""
    for number in (1, 2, 3):
        folder = lab.folder / "devices" / f"kafka-{number}"
        folder.mkdir()
        (folder / "device.json").write_text(json.dumps({"base": "/base", "cpu": None, "is_cut": False}))
    write(tmp_path / "inventory", lab, jars=tmp_path / "jars")
    groups = yaml.safe_load((tmp_path / "inventory/hosts.yml").read_text())
    assert list(groups["fog"]["hosts"]) == ["pi-1", "pi-2", "pi-10"]
    assert groups["kafka"]["hosts"] == {f"kafka-{n}": {"ansible_host": f"10.77.0.{n + 1}"} for n in (1, 2, 3)}
    of_all = yaml.safe_load((tmp_path / "inventory/group_vars/all/lab.yml").read_text())
    assert of_all["fogverse_kafka"]["bootstrap_servers"] == "10.77.0.2:9092,10.77.0.3:9092,10.77.0.4:9092"
    of_kafka = yaml.safe_load((tmp_path / "inventory/group_vars/kafka/lab.yml").read_text())
    assert of_kafka["kafka_broker_dist"] == str(tmp_path / "jars")
    test_linters_accept_it(lab, tmp_path)
