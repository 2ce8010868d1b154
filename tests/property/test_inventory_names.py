"""Misspelt variables are told, and nothing else is taken for one."""

from __future__ import annotations

import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from orchestrator.inventory.names import PREFIX, known, meant
from orchestrator.project import PROJECT

NAMES = known(PROJECT)
LETTERS = st.sampled_from(string.ascii_lowercase)


@st.composite
def slips(draw: st.DrawFn) -> tuple[str, str]:
    """A name that is read, and the same with one slip of the finger after the prefix."""
    name = draw(st.sampled_from(sorted(NAMES)))
    rest = name.removeprefix(PREFIX)
    at = draw(st.integers(0, len(rest) - 1))
    before, letter, after = rest[:at], rest[at], rest[at + 1 :]
    slipped = draw(
        st.sampled_from(
            [
                before + after,
                before + letter * 2 + after,
                before + draw(LETTERS) + after,
                before + draw(LETTERS) + letter + after,
                before + after[:1] + letter + after[1:],
            ]
        )
    )
    return name, PREFIX + slipped


@given(slips())
def test_one_slip_of_the_finger_is_told_with_the_name_that_was_meant(slip: tuple[str, str]) -> None:
    """Lost otherwise: four slots that were asked for, and one that is used."""
    name, written = slip
    assume(written not in NAMES)
    assert meant(written, NAMES) is not None
    assert meant(written, {name}) == name


@pytest.mark.parametrize("rest", ["rack", "room", "owner", "vlan", "grafana_url", "backup_host", "ups", "site_name"])
def test_names_of_a_users_own_are_left_alone(rest: str) -> None:
    """Lost otherwise: a fleet that is refused for a variable of somebody's own playbook."""
    assert meant(PREFIX + rest, NAMES) is None


def test_every_name_that_is_read_is_known_and_is_ours() -> None:
    """Lost otherwise: an inventory that is refused for what its page tells one to write."""
    assert {"fogverse_slots", "fogverse_netns", "fogverse_device_sysctl", "fogverse_consumer_unit_options"} <= NAMES
    assert all(name.startswith(PREFIX) for name in NAMES)
    assert all(meant(name, NAMES) == name for name in NAMES)
