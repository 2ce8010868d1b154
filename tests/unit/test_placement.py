"""Where the next instance goes, and how many partitions the topic needs."""

from __future__ import annotations

import pytest

from orchestrator.act.slots import Slots
from orchestrator.core.device import Device
from orchestrator.core.fleet import Group, Member, observe
from orchestrator.core.growth import plan
from orchestrator.core.instance import Instance
from orchestrator.core.placement import Mark, place
from orchestrator.core.service import Service

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


def names(**where: object) -> list[str]:
    arguments = {"occupied": [], "unreachable": [], "marks": [], "now": 0.0, **where}
    return [str(i) for i in place("analyzer", DEVICES, **arguments).candidates]  # type: ignore[arg-type]


def test_the_strongest_device_comes_first_and_an_unknown_one_counts_as_the_weakest() -> None:
    """Lost otherwise: an instance on the slowest board while a fast one idles."""
    assert names() == ["analyzer@pi-3.1", "analyzer@pi-2.1", "analyzer@pi-1.1"]


def test_a_device_that_runs_none_is_preferred() -> None:
    """Lost otherwise: two instances sharing one board's core."""
    assert names(occupied=[Instance("analyzer", "pi-2", 1)])[-1] == "analyzer@pi-2.2"


def test_slots_are_shared_by_all_services() -> None:
    """Lost otherwise: a device overfilled by another pipeline."""
    assert "pi-3" not in str(names(occupied=[Instance("other", "pi-3", 1)]))


def test_a_free_slot_number_is_reused() -> None:
    """Lost otherwise: a unit name that is already running."""
    assert "analyzer@pi-2.1" in names(occupied=[Instance("analyzer", "pi-2", 2)])


def test_if_nothing_fits_each_filter_says_how_many_it_removed() -> None:
    """Lost otherwise: the answer to 'why was nothing started?'."""
    placement = place(
        "analyzer", DEVICES, [Instance("other", "pi-1", 1)], ["pi-2"], [Mark("pi-3", "boom", until=10.0)], now=5.0
    )
    assert placement.candidates == ()
    assert placement.explanation == "0 candidates; removed: 1 unreachable, 1 marked, 1 full"


def test_a_mark_expires() -> None:
    """Lost otherwise: a device that failed once is never used again."""
    assert "analyzer@pi-3.1" in names(marks=[Mark("pi-3", "boom", until=10.0)], now=10.0)


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
