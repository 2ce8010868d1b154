"""Policy `capacity` on real parts: the size in one decision when traffic rises, and back again when it is over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_master import Fleet, clean, master, raised, traffic

__all__ = ["clean"]  # a fixture: each test begins without instances, topics and history

pytestmark = [pytest.mark.lab, pytest.mark.timeout(420)]

#: The policy's own times, shortened to what a test can wait for.
CAPACITY = {
    "name": "capacity", "refresh_s": 2, "persistence_s": 6, "steady_s": 20, "stabilise_s": 15, "up_delay_s": 5,
    "down_delay_s": 10, "settle_s": 8, "catch_up_s": 30, "startup_s": 6,
}  # fmt: skip


@pytest.fixture(scope="module")
def fleet(device_base: Path, jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three devices; one instance of the service finishes some 95 messages/s."""
    with raised(tmp_path_factory.mktemp("capacity"), device_base, jars, 3, policy=CAPACITY) as fleet:
        yield fleet


def test_traffic_that_rises_is_met_in_one_decision_and_the_fleet_shrinks_when_it_is_over(fleet: Fleet) -> None:
    """Lost otherwise: minutes of backlog while a fleet grows one by one; or devices that are never given back."""
    with master(fleet) as running:
        running.wait_for(r" proved: slow@pi-\d\.1")
        with traffic(fleet, 65):
            running.wait_for("slow: keeping-up: .* that 1 instances manage", timeout_s=90)
            with traffic(fleet, 190):
                running.wait_for("slow: scale-out", timeout_s=60)
                running.wait_for(r" proved: slow@", timeout_s=60, after=len(running.lines))
            explained = fleet.orchestrator("explain", "slow").stdout
        running.wait_for("slow: scale-in", timeout_s=120)
        running.wait_for(r"drained: slow@pi-\d\.1", timeout_s=60)
        running.wait_for(r"slow: (keeping-up|idle)", timeout_s=60, after=len(running.lines))
    assert "arrival" in explained
    decisions = [entry["body"] for entry in fleet.history() if entry["kind"] == "decision"]
    changes = [
        (body["current"], body["desired"])
        for body in decisions
        if body["direction"] != "none" and body["kind"] != "below-minimum"
    ]
    assert changes == [(1, 3), (3, 1)], changes
    assert len(fleet.running()) == 1
