"""Placement and giving back, whatever the fleet looks like."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.device import Condition, Device
from orchestrator.core.ground import Ground
from orchestrator.core.instance import Instance
from orchestrator.core.placement import Request, place
from orchestrator.core.quarantine import Quarantine, after_failure
from orchestrator.core.requirements import Requirements
from orchestrator.core.surplus import give_back

STRATEGIES = st.sampled_from(["spread", "pack"])
NAMES = [f"pi-{number}" for number in range(1, 6)]


@st.composite
def grounds(draw: st.DrawFn) -> Ground:
    """Up to five devices, some of them full, gone, hot, in quarantine or of another architecture."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    devices = [
        Device(name, "10.0.0.1", draw(st.integers(1, 3)), labels=draw(st.sampled_from([frozenset(), frozenset({"a"})])))
        for name in names
    ]
    conditions = {
        name: Condition(
            draw(st.booleans()),
            arch=draw(st.sampled_from([None, "aarch64", "armv7l"])),
            cpus=draw(st.sampled_from([None, 4])),
            memory_mb=draw(st.sampled_from([None, 50, 150, 400])),
            temperature_c=draw(st.sampled_from([None, 40.0, 90.0])),
        )
        for name in draw(st.lists(st.sampled_from(names), unique=True))
    }
    occupied = {
        Instance(service, device.name, slot)
        for device in devices
        for slot, service in enumerate(draw(st.lists(st.sampled_from(["s", "other"]), max_size=device.slots)), start=1)
    }
    rated = draw(st.lists(st.sampled_from(names), unique=True))
    return Ground(
        devices, conditions, occupied, draw(st.lists(st.sampled_from(names), unique=True, max_size=2)),
        {name: float(draw(st.integers(1, 100))) for name in rated},
    )  # fmt: skip


def requests(strategy: Literal["spread", "pack"], count: int, each: float | None) -> Request:
    needs = Requirements(memory_mb=100, labels=("a",))
    return Request("s", count, each, strategy, needs, frozenset({"aarch64"}))


@given(grounds(), STRATEGIES, st.integers(1, 8), st.none() | st.floats(1, 400))
def test_nothing_is_placed_where_it_must_not_run(
    ground: Ground, strategy: Literal["spread", "pack"], count: int, each: float | None
) -> None:
    """Lost otherwise: a device overfilled, or an instance on one that is gone, hot, failing or of another kind."""
    placement = place(requests(strategy, count, each), ground)
    chosen = placement.chosen
    assert len(set(chosen)) == len(chosen) <= count
    assert not set(chosen) & set(ground.occupied)
    for device in ground.devices:
        here = [i for i in chosen if i.device == device.name]
        if not here:
            continue
        found = ground.conditions.get(device.name, Condition(True))
        assert found.reachable
        assert device.name not in ground.quarantined
        assert "a" in device.labels
        assert found.arch in (None, "aarch64")
        assert found.temperature_c is None or found.temperature_c < ground.limits.temperature_c
        assert found.memory_mb is None or found.memory_mb >= 100 * len(here)
        assert len(here) + sum(i.device == device.name for i in ground.occupied) <= device.slots


@given(grounds(), STRATEGIES, st.integers(1, 8))
def test_every_device_is_either_used_or_counted_or_not_needed(
    ground: Ground, strategy: Literal["spread", "pack"], count: int
) -> None:
    """Lost otherwise: the answer to 'why not this one?'."""
    placement = place(requests(strategy, count, None), ground)
    assert sum(placement.removed.values()) <= len(ground.devices)
    if not placement.chosen:
        assert sum(placement.removed.values()) == len(ground.devices)


@given(grounds(), STRATEGIES, st.integers(1, 4), st.floats(1, 100))
def test_no_device_too_weak_for_its_share_is_taken_while_another_is_left(
    ground: Ground, strategy: Literal["spread", "pack"], count: int, each: float
) -> None:
    """Lost otherwise: a fleet of the size that was reckoned with, which does not manage what was reckoned with."""
    chosen = place(requests(strategy, count, each), ground).chosen
    every = place(requests(strategy, 99, None), ground).chosen
    able = [i for i in every if ground.capacity(i.device) >= each]
    assert sum(ground.capacity(i.device) >= each for i in chosen) == min(len(chosen), len(able))
    assert len(chosen) == min(count, len(every))


@given(grounds(), st.integers(1, 6))
def test_packing_needs_no_more_devices_than_necessary(ground: Ground, count: int) -> None:
    """Lost otherwise: devices in use that could have been switched off."""
    packed = {i.device for i in place(requests("pack", count, None), ground).chosen}
    spread = {i.device for i in place(requests("spread", count, None), ground).chosen}
    used = {i.device for i in ground.occupied}
    assert len(packed - used) <= len(spread - used)


@given(grounds(), STRATEGIES, st.integers(0, 8))
def test_given_back_are_as_many_as_asked_for_and_never_a_stronger_one_before_a_weaker(
    ground: Ground, strategy: Literal["spread", "pack"], count: int
) -> None:
    """Lost otherwise: the strongest board stops while the weakest goes on."""
    running = [i for i in ground.occupied if i.service == "s"]
    gone = give_back("s", running, count, strategy, ground)
    assert len(gone) == len(set(gone)) == min(count, len(running))
    assert set(gone) <= set(running)
    kept = [i for i in running if i not in gone and not ground.hot(i.device)]
    well = [i for i in gone if not ground.hot(i.device)]
    assert max((ground.capacity(i.device) for i in well), default=0) <= min(
        (ground.capacity(i.device) for i in kept), default=float("inf")
    )


@given(st.lists(st.floats(0, 1e9), max_size=60), st.floats(0, 1e4), st.floats(0, 1e5))
def test_quarantine_never_shrinks_in_a_row_and_never_exceeds_its_limit(
    times: list[float], first_s: float, most_s: float
) -> None:
    """Lost otherwise: a broken board that is tried ever more often, or an overflow after many failures."""
    last: Quarantine | None = None
    lengths = []
    for now in sorted(times):
        last = after_failure(last, "pi-1", "boom", now, first_s, most_s)
        lengths.append(last.until - now)
    assert all(later >= earlier - 1e-3 for earlier, later in pairwise(lengths))
    assert all(length <= max(first_s, most_s) + 1e-3 for length in lengths)
