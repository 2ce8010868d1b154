"""How far an instance is by what its group says, and how many partitions the group needs."""

from __future__ import annotations

import pytest

from orchestrator.act.proof import Stage, stage_of, unlucky
from orchestrator.act.scalein import still_members
from orchestrator.core.fleet import Group, Member
from orchestrator.core.growth import Growth, expected, needed
from orchestrator.core.instance import Instance

ONE, TWO = Instance("analyzer", "pi-1", 1), Instance("analyzer", "pi-2", 1)


def group(*members: tuple[str, tuple[int, ...]], state: str = "Stable") -> Group:
    return Group("g", state, tuple(Member(name, ("a",), {"a": owned} if owned else {}) for name, owned in members))


@pytest.mark.parametrize(
    ("seen", "before", "stage"),
    [
        (group(), "alive", "alive"),
        (group((str(TWO), (0,))), "alive", "alive"),
        (group((str(ONE), ())), "alive", "member"),
        (group((str(ONE), (0,))), "alive", "owner"),
        (group((str(ONE), ()), (str(ONE), (0,))), "member", "owner"),
        (group((str(ONE), (0,)), state="PreparingRebalance"), "alive", "joining"),
        (group(), "owner", "owner"),
        (None, "member", "member"),
    ],
)
def test_a_stage_is_what_a_stable_group_says_and_is_never_taken_back(
    seen: Group | None, before: Stage, stage: Stage
) -> None:
    """Lost otherwise: a proof from a group in the middle of a rebalance, or one that starts again with each."""
    assert stage_of(ONE, seen, "a", before) == stage


def test_what_was_there_before_the_start_proves_nothing_until_ansible_says_that_it_runs() -> None:
    """Lost otherwise: a topic grown for a process that does not live, by an earlier life's place in the group."""
    old = Group("g", "Stable", (Member(str(ONE), ("a",), {"a": (0,)}, "old"),))
    asks = Group("g", "PreparingRebalance", (*old.members, Member(str(ONE), (), {}, "new")))
    assert stage_of(ONE, old, "a", "starting", {"old"}) == "starting"
    assert stage_of(ONE, asks, "a", "starting", {"old"}) == "joining"
    assert stage_of(ONE, old, "a", "alive", {"old"}) == "owner"


def test_a_group_is_expected_to_have_those_who_ask_to_join_it() -> None:
    """Lost otherwise: a second rebalance for each scale-out; or partitions for strangers who ask as well."""
    before = group((str(TWO), (0,)))
    asking = group((str(TWO), ()), (str(ONE), ()), ("stranger", ()), state="PreparingRebalance")
    found = expected(before, asking, [ONE, TWO], "a")
    assert [member.client_id for member in found.members] == [str(TWO), str(ONE)]
    assert found.stable
    assert needed(found) == {"a": 2}


def test_who_stays_without_a_partition_is_known_at_once_when_a_topic_may_not_grow() -> None:
    """Lost otherwise: a whole proof's time waited for what cannot come."""
    refused = Growth("a", 1, 2, "", refused="ordering")
    assert unlucky([refused], [ONE, TWO], [TWO]) == [ONE]
    assert unlucky([], [ONE], []) == []


def test_an_instance_is_gone_when_a_stable_group_does_not_list_it() -> None:
    """Lost otherwise: a drain taken for done while its partitions have no owner."""
    assert still_members([ONE, TWO], group((str(TWO), (0,)))) == [TWO]
    assert still_members([ONE], group(state="PreparingRebalance")) == [ONE]


def test_an_instance_that_was_restarted_needs_one_partition_and_not_two() -> None:
    """Lost otherwise: a partition for ever, for each kill -9; but foreign clients that share a name are several."""
    assert needed(group((str(ONE), (0,)), (str(ONE), ()), (str(TWO), ()))) == {"a": 2}
    assert needed(group(("rdkafka", (0,)), ("rdkafka", ()))) == {"a": 2}
