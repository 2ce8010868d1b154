"""The list of devices keeps two signals apart: what SSH says, and what the groups say."""

from __future__ import annotations

from pathlib import Path

from orchestrator.cli.device_list import Seen, rows
from orchestrator.core.device import Device
from orchestrator.core.fleet import Group, Member
from orchestrator.core.service import Service
from orchestrator.inventory import Inventory
from orchestrator.inventory.kafka import KafkaSettings
from orchestrator.ssh.facts import UnitState
from orchestrator.ssh.probe import Probe

SERVICE = Service(name="slow", source_topic="in", group_id="g", artifact="a", entrypoint="m:f", hosts="fog")
INVENTORY = Inventory(
    Path(),
    (SERVICE,),
    (Device("pi-1", "192.0.2.1"),),
    {"slow": ("pi-1",)},
    {},
    KafkaSettings(bootstrap_servers=("kafka-1:9092",)),
    {},
)
UNREACHABLE = Probe(reachable=False, reason="no route to host", elapsed_s=5.0)


def group(*names: str) -> dict[str, Group]:
    return {"g": Group("g", "Stable", tuple(Member(name, ("in",), {"in": (0, 1)}) for name in names))}


def test_an_instance_is_shown_as_a_member_although_ssh_does_not_get_through() -> None:
    [row] = rows(INVENTORY, {"pi-1": UNREACHABLE}, group("slow@pi-1.1"))
    assert row.ssh == "no route to host"
    assert row.instances == (Seen("slow@pi-1.1", None, "member", 2),)


def test_a_unit_that_runs_and_is_no_member_is_seen_as_such() -> None:
    probed = Probe(True, "", 0.1, units=(UnitState("slow@pi-1.1", "active", "running"),))
    [row] = rows(INVENTORY, {"pi-1": probed}, group("slow@pi-2.1"))
    assert row.ssh == "ok"
    assert row.instances == (Seen("slow@pi-1.1", "active (running)", "no member", None),)


def test_without_a_broker_membership_is_unknown_and_not_no() -> None:
    probed = Probe(True, "", 0.1, units=(UnitState("slow@pi-1.1", "active", "running"),))
    [row] = rows(INVENTORY, {"pi-1": probed}, None)
    assert row.instances == (Seen("slow@pi-1.1", "active (running)", "unknown", None),)
