"""How many instances, on which devices and partitions; and what is learned of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.core.device import Device
from orchestrator.core.efforts import Efforts, Work
from orchestrator.core.estimate import Estimate
from orchestrator.core.features import Features, Level
from orchestrator.core.fleet import Group, Member, Observed, ServiceFleet
from orchestrator.core.growth import even, plan
from orchestrator.core.instance import Instance
from orchestrator.core.learning import learn
from orchestrator.core.memory import Finding, Memory, Trial
from orchestrator.core.need import startup
from orchestrator.core.partition import Partition
from orchestrator.core.policy_settings import CapacitySettings
from orchestrator.core.rates import Rates
from orchestrator.core.service import Service
from orchestrator.core.sizing import Ladder, by_class, capacity
from orchestrator.core.traffic import Traffic

RULE = CapacitySettings()
SERVICE = Service(
    name="s", source_topic="in", group_id="g", artifact="a", entrypoint="a:b", hosts="fog", max_instances=12
)
DEVICES = {
    **{f"big-{n}": Device(f"big-{n}", "x", device_class="pi-5") for n in range(3)},
    **{f"small-{n}": Device(f"small-{n}", "x", device_class="pi-3") for n in range(6)},
}
RATES = Rates(DEVICES, {"pi-5": Estimate.of((400.0,), 9, 0.0), "pi-3": Estimate.of((100.0,), 9, 0.0)})


def fleet(*devices: str) -> ServiceFleet:
    observed = tuple(Observed(Instance("s", name, 1), 0.5, True, (n,)) for n, name in enumerate(devices))
    return ServiceFleet(observed, devices=DEVICES)


def size(needed: float, *running: str, partitions: int | None = 1, **change: object) -> tuple[int, str]:
    service = SERVICE.model_copy(update=change)
    found = Ladder(service, fleet(*running), RATES, partitions).smallest(needed, 1)
    return found.instances, by_class(found.devices, RATES)


@pytest.mark.parametrize(
    ("needed", "instances", "classes"),
    [(300, 1, "1 pi-5"), (700, 2, "2 pi-5"), (1200, 3, "3 pi-5"), (100, 1, "1 pi-5")],
)
def test_strong_devices_are_used_first(needed: float, instances: int, classes: str) -> None:
    """Lost otherwise: four small boards where one large one would do."""
    assert size(needed) == (instances, classes)


def test_a_weak_device_that_would_hold_strong_ones_back_is_not_added() -> None:
    """Partitions are dealt out evenly by number: three strong ones and a weak one manage four times the weak one."""
    assert size(1300.0) == (3, "3 pi-5")  # nine would manage 9 * 100


def test_a_fleet_of_weak_devices_grows_by_their_rate() -> None:
    """Lost otherwise: a size computed for devices that it does not get."""
    assert size(330.0, "small-0", "small-1")[0] == 4


def test_fixed_partitions_are_taken_into_account() -> None:
    """Four partitions on three members are 2/1/1: no faster than on two."""
    assert size(1000.0, partitions=4, ordering="key") == (2, "2 pi-5")
    assert capacity(100.0, 3, 4) == capacity(100.0, 2, 4) == 200.0
    assert capacity(100.0, 4, 4) == 400.0
    assert capacity(100.0, 6, 4) == 400.0


@pytest.mark.parametrize(
    ("members", "before", "most", "after"),
    [(3, 4, 12, 6), (3, 4, 5, 5), (3, 1, 12, 3), (4, 8, 12, 8), (3, 20, 12, 20), (5, 1, 3, 3), (7, 10, 13, 13)],
)
def test_partitions_are_even_over_members_within_the_limit(members: int, before: int, most: int, after: int) -> None:
    """Lost otherwise: one member with twice the work, or partitions that nobody needed."""
    assert even(members, before, most) == after


def group(count: int) -> Group:
    return Group("g", "Stable", tuple(Member(f"s@d{n}.1", ("in",), {}) for n in range(count)))


def test_a_topic_is_grown_once_for_the_whole_scale_out() -> None:
    """Lost otherwise: a rebalance for every instance of a batch."""
    assert [g.after for g in plan(SERVICE, group(2), {"in": 1}, planned=5)] == [5]
    assert [g.after for g in plan(SERVICE, group(3), {"in": 4}, planned=3)] == [6]
    assert plan(SERVICE, group(2), {"in": 4}, planned=3) == ()
    assert plan(SERVICE, group(3), {"in": 4}) == ()


def test_a_topic_is_not_grown_beyond_its_limit() -> None:
    """Lost otherwise: partitions that cannot be taken back."""
    limited = SERVICE.model_copy(update={"max_partitions": 3})
    assert [g.after for g in plan(limited, group(3), {"in": 1}, planned=5)] == [3]
    [refused] = plan(limited, group(4), {"in": 3})
    assert refused.refused == "4 members are more than max_partitions 3 of s"


def seen(lag: int, work: dict[str, Work]) -> Features:
    traffic = Traffic(*(200.0,) * 5, 0.0, 200.0, 200.0, float(lag), 0.0, float(lag), 0.0, "reports")
    level = Level(None, None, None, None, None, 0)
    offsets = tuple(Partition(n, lag, 0) for n in range(2))
    return Features("s", 0, 5, level, level, "reports", 2 * lag, 2, traffic, work, offsets)


def learned(lag: int, busy: float, consumed: float, memory: Memory | None = None) -> Memory:
    work = {f"s@small-{n}.1": Work(consumed, busy, 10) for n in range(2)}
    before = memory or Memory()
    return replace(before, capacities=learn(seen(lag, work), fleet("small-0", "small-1"), before, RULE, 1000.0))


def test_a_rate_is_learned_only_while_it_shows() -> None:
    """Lost otherwise: an idle instance taken for a slow one."""
    assert learned(0, 0.2, 20.0).capacities == {}
    assert learned(0, 0.8, 80.0).capacities["pi-3"].rate == pytest.approx(100)
    assert learned(5000, 0.95, 90.0).capacities["pi-3"].rate == 90
    assert learned(5000, 0.1, 10.0).capacities == {}  # it waits for something else


def test_nothing_is_learned_while_a_scale_out_is_being_judged() -> None:
    """Lost otherwise: a rate that falls with every instance in front of the same bottleneck."""
    known = Memory(capacities={"pi-3": Estimate.of((100.0,), 9, 0.0)})
    trial, finding = Trial(900.0, 1, 2, 1.0, 2.0, 3.0, 2), Finding("no-effect", "", 900.0, 2, 3.0, 2)
    for open_question in (replace(known, trial=trial), replace(known, finding=finding)):
        assert learned(5000, 0.95, 20.0, open_question).capacities["pi-3"].count == 9
    assert learned(5000, 0.95, 20.0, known).capacities["pi-3"].count == 10


def test_one_odd_sample_moves_an_estimate_little_and_a_lasting_change_moves_it() -> None:
    """Lost otherwise: a fleet that doubles because of one bad interval, or never learns that messages got heavier."""
    estimate = Estimate.of((99.0, 100.0, 101.0, 100.0), 4, 0.0)
    assert estimate.add(5.0, 1.0).rate == 100
    for n in range(16):
        estimate = estimate.add(50.0, float(n))
    assert (estimate.rate, len(estimate.samples), estimate.count) == (50, 16, 20)


def test_a_class_that_nothing_is_known_of_counts_as_the_weakest() -> None:
    """Lost otherwise: a new board reckoned with the strongest one's rate."""
    devices = {**DEVICES, "new": Device("new", "x", device_class="pi-0"), "told": Device("told", "x", capacity=7.0)}
    rates = Rates(devices, {"pi-5": Estimate.of((400.0,), 9, 0.0)})
    assert (rates.of("new"), rates.of("told"), rates.of("big-1")) == (7.0, 7.0, 400.0)
    assert Rates({}, {}).usual is None


def test_the_start_up_time_is_measured() -> None:
    """Lost otherwise: a Pi with a slow card reckoned as if it were the lab."""
    assert startup((), RULE) == 20
    assert startup((10.0, 11.0, 12.0, 300.0), RULE) == 12


def test_efforts_are_bounded_and_only_those_of_known_services_count() -> None:
    """Lost otherwise: a stranger's reports that fill the memory or teach a rate."""
    efforts = Efforts(["s"], 20)
    efforts.add_all([("s", "s@d.1", 0.5, 1.5, 50.0, 0.5), ("x", "x@d.1", 0.5, 1.5, 50.0, 0.5)])
    efforts.add_all([("s", "s@d.1", 1.5, 2.5, 150.0, 9.0)])
    assert efforts.read(3, 3, ["s"]) == {"s": {"s@d.1": Work(pytest.approx(200 / 3), pytest.approx(0.5), 3)}}
