"""An operator's word about a device: how long it holds, for what, and that placement obeys it."""

from __future__ import annotations

from pathlib import Path

from orchestrator.broker.ledger import Entry
from orchestrator.core.device import Device
from orchestrator.core.ground import Ground
from orchestrator.core.mark import Mark
from orchestrator.core.placement import Request, place
from orchestrator.core.quarantine import Quarantine
from orchestrator.devices import Devices
from orchestrator.inventory import Inventory
from orchestrator.inventory.kafka import KafkaSettings
from orchestrator.settings import Settings
from orchestrator.simulate.clock import SimulatedClock
from orchestrator.ssh.probe import Probe
from orchestrator.takeover import set_aside
from tests.unit.test_device_list import SERVICE

DEVICES = (Device("pi-1", "192.0.2.1"), Device("pi-2", "192.0.2.2"))


def devices(clock: SimulatedClock) -> Devices:
    inventory = Inventory(
        Path(), (SERVICE,), DEVICES, {"slow": ("pi-1", "pi-2")}, {}, KafkaSettings(bootstrap_servers=("k:9092",)), {}
    )
    well = {device.name: Probe(reachable=True, reason="", elapsed_s=0.1) for device in DEVICES}
    return Devices(inventory, Settings(), clock, lambda names: {name: well[name] for name in names}, {})


def test_a_mark_survives_the_ledger_and_ends_at_its_time() -> None:
    """Lost otherwise: an order with the master that heard it; or a device that nobody gives back."""
    mark = Mark("drain", "pi-1", "me", 10.0, 20.0, ("slow",))
    written = Entry.decode(Entry("device", "", 10.0, mark.as_dict(), device="pi-1").encode())
    assert written is not None
    assert (written.key, written.device) == (b"device/pi-1", "pi-1")
    assert Mark.from_dict(written.body) == mark
    assert mark.holds(19.9)
    assert not mark.holds(20.0)
    assert Mark("quarantine", "pi-1", "me", 10.0).holds(1e9), "without a time it holds until it is taken back"
    assert not Mark("none", "pi-1", "me", 10.0).holds(10.0)
    assert Mark.from_dict({"kind": "explode", "device": "pi-1", "by": "me", "at": 1}) is None
    assert Mark.from_dict({"kind": "drain"}) is None


def test_a_mark_is_about_its_services_only() -> None:
    """Lost otherwise: every service of a device on which one was to be stopped."""
    one = Mark("drain", "pi-1", "me", 10.0, None, ("slow",))
    assert (one.bars("slow", 11), one.bars("other", 11), one.drains("slow", 11)) == (True, False, True)
    spared = Mark("quarantine", "pi-1", "me", 10.0)
    assert (spared.bars("other", 11), spared.drains("other", 11)) == (True, False), "what runs there goes on"


def test_nothing_is_placed_where_an_operator_does_not_want_it_and_the_reason_is_counted() -> None:
    """Lost otherwise: an instance that is started on the board that somebody is about to unplug."""
    clock = SimulatedClock(100.0)
    known = devices(clock)
    known.mark(Mark("drain", "pi-1", "me", 90.0, 200.0))
    known.mark(Mark("quarantine", "pi-2", "me", 90.0, 200.0))
    placement = known.place(SERVICE, 1, (), {})
    assert placement.chosen == ()
    assert (placement.removed["drained"], placement.removed["quarantined"]) == (1, 1)
    assert known.set_aside("slow") == {"pi-1", "pi-2"}
    assert set(known.drained("slow")) == {"pi-1"}
    known.mark(Mark("none", "pi-1", "me", 80.0))
    assert "pi-1" in known.drained("slow"), "an older order than the last counts for nothing"
    known.mark(Mark("none", "pi-1", "me", 95.0))
    assert [instance.device for instance in known.place(SERVICE, 2, (), {}).chosen] == ["pi-1"]


def test_who_restores_a_device_ends_the_masters_own_quarantine_too() -> None:
    """Lost otherwise: an hour of waiting after the mended board is back."""
    clock = SimulatedClock(100.0)
    known = devices(clock)
    known.resume(Quarantine("pi-1", "failed", until=900.0))
    mark = Mark("none", "pi-1", "me", 100.0)
    set_aside(known, Entry("device", "", 100.0, mark.as_dict(), device="pi-1"))
    assert known.barred() == frozenset()


def test_a_device_is_named_by_the_first_filter_that_takes_it_out() -> None:
    """Lost otherwise: why nothing is started."""
    found = place(Request("slow"), Ground(DEVICES, {}, quarantined=("pi-1",), drained=("pi-1",)))
    assert (found.removed["drained"], found.removed["quarantined"]) == (1, 0)
