"""Where the next instance goes, and how many partitions the topic needs."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from orchestrator.act.slots import Slots
from orchestrator.core.device import Condition, Device
from orchestrator.core.fleet import Group, Member, observe
from orchestrator.core.ground import Ground
from orchestrator.core.growth import plan
from orchestrator.core.instance import Instance
from orchestrator.core.placement import Request, place
from orchestrator.core.quarantine import after_failure
from orchestrator.core.requirements import Requirements
from orchestrator.core.service import Service
from orchestrator.core.surplus import give_back

DEVICES = [
    Device("pi-1", "10.0.0.1"),
    Device("pi-2", "10.0.0.2", slots=2, capacity=50),
    Device("pi-3", "10.0.0.3", capacity=200),
]
SERVICE = Service(
    name="analyzer",
    source_topic="a",
    target_topic="b",
    group_id="g",
    artifact="x",
    entrypoint="x:y",
    hosts="fog",
    max_instances=4,
)


def ground(occupied: Collection[Instance] = (), **more: Any) -> Ground:
    capacities = {device.name: device.capacity for device in DEVICES if device.capacity}
    return Ground(DEVICES, **{"conditions": {}, "occupied": occupied, "capacities": capacities, **more})


def placed(count: int = 3, where: Ground | None = None, **more: Any) -> list[str]:
    return [str(i) for i in place(Request("analyzer", count, **more), where or ground()).chosen]


def test_the_strongest_device_comes_first_and_an_unknown_one_counts_as_the_weakest() -> None:
    """Lost otherwise: an instance on the slowest board while a fast one idles."""
    assert placed() == ["analyzer@pi-3.1", "analyzer@pi-2.1", "analyzer@pi-1.1"]


def test_a_device_that_runs_none_is_preferred() -> None:
    """Lost otherwise: two instances sharing one board's core."""
    assert placed(4)[-1] == "analyzer@pi-2.2"
    assert placed(1, ground([Instance("analyzer", "pi-3", 1), Instance("analyzer", "pi-2", 1)])) == ["analyzer@pi-1.1"]


def test_packing_fills_the_devices_in_use_first() -> None:
    """Lost otherwise: the devices that could have been switched off."""
    assert placed(2, strategy="pack") == ["analyzer@pi-2.1", "analyzer@pi-2.2"]
    assert placed(1, ground([Instance("other", "pi-2", 1)]), strategy="pack") == ["analyzer@pi-2.1"]


def test_slots_are_shared_by_all_services() -> None:
    """Lost otherwise: a device overfilled by another pipeline."""
    assert "pi-3" not in str(placed(4, ground([Instance("other", "pi-3", 1)])))


def test_a_free_slot_number_is_reused() -> None:
    """Lost otherwise: a unit name that is already running."""
    assert "analyzer@pi-2.1" in placed(3, ground([Instance("analyzer", "pi-2", 2)]))


def test_a_device_too_weak_for_its_share_comes_last() -> None:
    """Lost otherwise: one weak board that holds back all the others, since partitions are dealt out evenly."""
    running = ground([Instance("analyzer", "pi-3", 1)], capacities={"pi-1": 10, "pi-2": 50})
    assert placed(2, running, each=40) == ["analyzer@pi-2.1", "analyzer@pi-2.2"]
    assert placed(2, running) == ["analyzer@pi-2.1", "analyzer@pi-1.1"]
    assert placed(3, running, each=40)[-1] == "analyzer@pi-1.1"


def test_if_nothing_fits_each_filter_says_how_many_it_removed() -> None:
    """Lost otherwise: the answer to 'why was nothing started?'."""
    where = ground(
        [Instance("other", "pi-1", 1)], conditions={"pi-2": Condition(reachable=False)}, quarantined=["pi-3"]
    )
    placement = place(Request("analyzer", 1), where)
    assert placement.chosen == ()
    assert placement.explanation == "0 of 1 placed; removed: 1 unreachable, 1 quarantined, 1 full"


WELL = {"reachable": True, "arch": "aarch64", "memory_mb": 300, "temperature_c": 50.0, "cpus": 4, "load": 1.0}


@pytest.mark.parametrize(
    ("change", "requires", "why"),
    [
        ({"arch": "armv7l"}, {}, "other architecture"),
        ({}, {"arch": ["x86_64"]}, "other architecture"),
        ({}, {"labels": ["camera"]}, "without the labels"),
        ({"temperature_c": 80.0}, {}, "too hot"),
        ({}, {"memory_mb": 301}, "short of memory"),
    ],
)
def test_a_device_that_cannot_do_it_is_left_out(change: dict[str, Any], requires: dict[str, Any], why: str) -> None:
    """Lost otherwise: instances that fail, or slow down, where they are."""
    where = Ground([Device("pi-1", "10.0.0.1")], {"pi-1": Condition(**{**WELL, **change})})
    request = Request("analyzer", requires=Requirements(**requires), arch=frozenset({"aarch64", "x86_64"}))
    assert place(request, where).removed[why] == 1


def test_what_is_not_known_takes_no_device_out() -> None:
    """Lost otherwise: every board without a temperature sensor."""
    where = Ground([Device("pi-1", "10.0.0.1", labels=frozenset({"camera", "roof"}))], {"pi-1": Condition(True)})
    needs = Requirements(memory_mb=100, labels=["camera"], arch="aarch64")  # type: ignore[arg-type]  # as it is written
    assert place(Request("analyzer", requires=needs, arch=frozenset({"aarch64"})), where).chosen


def test_an_overloaded_device_comes_last_but_is_not_lost() -> None:
    """Lost otherwise: either a fleet that a busy minute removes, or instances where they starve."""
    where = ground(conditions={"pi-3": Condition(**{**WELL, "load": 9.0})})
    assert placed(4, where)[-1] == "analyzer@pi-3.1"


def test_each_instance_of_a_batch_needs_its_own_memory() -> None:
    """Lost otherwise: a board that swaps."""
    where = ground(conditions={"pi-2": Condition(**WELL)})
    assert "analyzer@pi-2.2" not in placed(4, where, requires=Requirements(memory_mb=200))


@pytest.mark.parametrize(("strategy", "gone"), [("spread", "analyzer@pi-2.2"), ("pack", "analyzer@pi-1.1")])
def test_given_back_is_what_is_missed_least(strategy: Any, gone: str) -> None:
    """Lost otherwise: the strongest board, or the one that was to become free, keeps working."""
    running = [Instance("analyzer", "pi-1", 1), Instance("analyzer", "pi-2", 1), Instance("analyzer", "pi-2", 2)]
    running.append(Instance("analyzer", "pi-3", 1))
    where = ground(running, capacities={"pi-1": 50, "pi-2": 50, "pi-3": 200})
    assert [str(i) for i in give_back("analyzer", running, 1, strategy, where)] == [gone]
    assert str(give_back("analyzer", running, 4, strategy, where)[-1]) == "analyzer@pi-3.1"


def test_a_hot_device_is_relieved_first() -> None:
    """Lost otherwise: the board that slows down."""
    running = [Instance("analyzer", "pi-1", 1), Instance("analyzer", "pi-3", 1)]
    where = ground(running, conditions={"pi-3": Condition(True, temperature_c=85.0)})
    assert give_back("analyzer", running, 1, "spread", where) == (Instance("analyzer", "pi-3", 1),)


def test_quarantine_grows_with_each_failure_in_a_row_up_to_a_limit() -> None:
    """Lost otherwise: a broken board is tried every five minutes for ever, or never again."""
    first = after_failure(None, "pi-1", "boom", now=0, first_s=10, most_s=35)
    second = after_failure(first, "pi-1", "boom", now=100, first_s=10, most_s=35)
    third = after_failure(second, "pi-1", "boom", now=200, first_s=10, most_s=35)
    assert [first.until, second.until - 100, third.until - 200] == [10, 20, 35]
    assert third.failures == 3


def group(*members: tuple[str, tuple[str, ...]]) -> Group:
    return Group("g", "Stable", tuple(Member(name, topics, {}) for name, topics in members))


def test_a_topic_grows_to_its_members() -> None:
    """Lost otherwise: an instance without a partition, which works on nothing."""
    [growth] = plan(SERVICE, group(("analyzer@pi-1.1", ("a",)), ("analyzer@pi-2.1", ("a",))), {"a": 1})
    assert (growth.topic, growth.before, growth.after, growth.refused) == ("a", 1, 2, None)


def test_each_topic_of_a_group_is_judged_by_its_own_subscribers() -> None:
    """The seed's stated limitation: one topic per group."""
    growths = plan(SERVICE, group(("1", ("a", "b")), ("2", ("a", "b")), ("3", ("b",))), {"a": 1, "b": 2})
    assert [(g.topic, g.after) for g in growths] == [("a", 2), ("b", 3)]


def test_growth_is_never_shrinking_and_unknown_topics_are_left_alone() -> None:
    """Lost otherwise: a request the broker refuses, every second."""
    assert plan(SERVICE, group(("1", ("a", "c"))), {"a": 8}) == ()


@pytest.mark.parametrize("change", [{"ordering": "key"}, {"max_instances": 1}])
def test_growth_is_refused_where_it_would_do_harm(change: dict[str, object]) -> None:
    """Lost otherwise: key order, or the user's limit; growth cannot be undone."""
    service = SERVICE.model_copy(update=change)
    [growth] = plan(service, group(("1", ("a",)), ("2", ("a",))), {"a": 1})
    assert growth.refused


def test_reports_and_membership_together_make_the_fleet() -> None:
    """Lost otherwise: instances started by hand, or those whose report is late."""
    members = (
        Member("analyzer@pi-1.1", ("a",), {"a": (0,)}),
        Member("laptop", ("a",), {"a": (1,)}),
    )
    ages = {"analyzer@pi-2.1": 1.0, "analyzer@pi-3.1": 99.0, "analyzer@elsewhere.1": 1.0, "analyzer@pi-1.9": 1.0}
    fleet = observe("analyzer", "a", {"pi-1": 1, "pi-2": 1, "pi-3": 1}, ages, Group("g", "Stable", members))
    assert [str(o.instance) for o in fleet.observed or ()] == ["analyzer@pi-1.1", "analyzer@pi-2.1"]
    assert fleet.foreign == ("analyzer@elsewhere.1", "analyzer@pi-1.9", "laptop")
    assert fleet.observed is not None
    assert fleet.observed[0].partitions == (0,)
    assert fleet.observed[1].member is False
    assert fleet.count == 1, "one that its stable group does not list is joining, or pretending"


def test_two_actions_cannot_hold_the_same_slot() -> None:
    """Lost otherwise: two services that scale at once overfill the strongest device."""
    slots = Slots({"pi-1": 1, "pi-2": 2})
    assert slots.reserve(Instance("a", "pi-1", 1), occupied=[])
    assert not slots.reserve(Instance("b", "pi-1", 1), occupied=[])
    assert not slots.reserve(Instance("a", "pi-1", 1), occupied=[])
    assert slots.reserve(Instance("b", "pi-2", 1), occupied=[Instance("c", "pi-2", 1)])
    assert not slots.reserve(Instance("d", "pi-2", 1), occupied=[Instance("c", "pi-2", 1)])
    slots.release(Instance("a", "pi-1", 1))
    assert slots.reserve(Instance("b", "pi-1", 1), occupied=[])


def test_nothing_read_is_an_unknown_fleet_not_an_empty_one() -> None:
    """Lost otherwise: a whole fleet started again because the broker was away."""
    assert observe("analyzer", "a", {"pi-1": 1}, None, None).count is None


@pytest.mark.parametrize("name", ["analyzer@pi-3.1", "my-service@node.example.org.12"])
def test_an_instance_name_survives_the_round_trip(name: str) -> None:
    """Lost otherwise: the link between a group member, a unit and a report."""
    assert str(Instance.parse(name)) == name


@pytest.mark.parametrize("name", ["", "analyzer", "analyzer@pi-3", "analyzer@pi-3.0", "a b@c.1", "rdkafka-1"])
def test_a_foreign_name_is_no_instance(name: str) -> None:
    """Lost otherwise: foreign clients counted as ours."""
    assert Instance.parse(name) is None
