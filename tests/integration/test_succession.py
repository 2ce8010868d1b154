"""Two masters on real parts: one is killed or frozen at every step of a scale-out, the other goes on with it."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_master import Fleet, RunningMaster, clean, master, raised

__all__ = ["clean"]  # a fixture: each test begins without instances, topics and history

pytestmark = [pytest.mark.lab, pytest.mark.timeout(420)]

#: What is logged on the way from a decision to a proved instance, in its order.
STEPS = (
    "below-minimum",
    "placed",
    "ansible-started",
    "process-alive",
    "member",
    "partition-owned",
    "proved",
)


@pytest.fixture(scope="module")
def fleet(device_base: Path, jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three devices, of which two have to be used."""
    with raised(tmp_path_factory.mktemp("succession"), device_base, jars, 3, min_instances=2, max_instances=2) as fleet:
        yield fleet


def settled(running: RunningMaster, after: int) -> None:
    """Wait until a master has nothing to do."""
    running.wait_for("idle: no input on in", timeout_s=90, after=after)


def kill(running: RunningMaster) -> float:
    """End a master without a word; returns when."""
    running.process.kill()
    running.process.wait()
    return time.monotonic()


def twice(fleet: Fleet) -> list[str]:
    """Instances that were placed on more than one device's slot for one and the same want: more than two in all."""
    placed = {e["body"]["instance"] for e in fleet.history() if e["body"].get("name") == "placed"}
    return sorted(placed)


@pytest.mark.parametrize("step", STEPS)
def test_a_master_killed_at_a_step_of_a_scale_out_leaves_nothing_twice_and_nothing_forgotten(
    fleet: Fleet, step: str
) -> None:
    """Lost otherwise: a stage of the pipeline, or a device's slot, with the master's power supply."""
    with master(fleet) as first:
        first.wait_for("leading now")
        with master(fleet) as second:
            second.wait_for("another master leads: standing by")
            first.wait_for(rf"slow: {step}")
            killed = kill(first)
            second.wait_for("leading now")
            assert time.monotonic() - killed < 10
            settled(second, after=len(second.lines))
            running = fleet.running()
            assert len(running) == 2, "as many as are wanted run, and no third"
            assert len(twice(fleet)) == 2, "what was begun was gone on with at the same place"
            assert not [line for line in second.lines if re.search("Traceback|not foreseen", line)]


def test_a_frozen_master_that_wakes_in_the_middle_acts_no_more(fleet: Fleet) -> None:
    """Lost otherwise: two masters that both start and stop, each against the other."""
    with master(fleet) as first:
        first.wait_for("leading now")
        with master(fleet) as second:
            second.wait_for("another master leads: standing by")
            first.wait_for("slow: process-alive")
            first.process.send_signal(signal.SIGSTOP)
            frozen = time.monotonic()
            try:
                second.wait_for("leading now")
                assert time.monotonic() - frozen < 10
                settled(second, after=len(second.lines))
                before, placed = fleet.running(), twice(fleet)
            finally:
                seen = len(first.lines)
                first.process.send_signal(signal.SIGCONT)
            first.wait_for("another master leads: standing by", timeout_s=60, after=seen)
            settled(second, after=len(second.lines))
            assert fleet.running() == before, "nothing was started, stopped or restarted"
            assert len(before) == 2
            assert twice(fleet) == placed
            assert not [line for line in first.lines[seen:] if re.search("Traceback|not foreseen", line)]


def test_orders_hold_over_the_change_of_the_master_and_expire(fleet: Fleet) -> None:
    """Lost otherwise: an operator's word, with the master that heard it; or a pause that nobody ends."""
    with master(fleet) as first:
        first.wait_for("slow: proved", after=0)
        settled(first, after=len(first.lines))
        assert "follows at its next tick" in fleet.orchestrator("pause", "slow", "--for", "1h").stdout
        first.wait_for("slow: paused: paused by .*the policy says: idle")
        kill(first)
    with master(fleet) as second:
        second.wait_for("slow: paused")
        explained = fleet.orchestrator("explain", "slow").stdout
        assert "paused" in explained
        assert "pause by" in explained
        assert "looked at again" in explained
        fleet.orchestrator("resume", "slow")
        settled(second, after=len(second.lines))
        seen = len(second.lines)
        fleet.orchestrator("pause", "slow", "--for", "4s")
        second.wait_for("slow: paused", after=seen)
        settled(second, after=len(second.lines))
        refused = fleet.orchestrator("scale", "slow", "3", check=False)
        assert refused.returncode == 2
        assert "2 to 2 instances" in refused.stderr
