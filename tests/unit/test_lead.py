"""Whether a master leads, as the broker tells it."""

from __future__ import annotations

import pytest

from orchestrator.broker import ledger
from orchestrator.broker.cluster import Cluster
from orchestrator.broker.lead import advice
from orchestrator.core.fleet import Group, Member

MASTER = Member("master", (), {}, "m-1")


@pytest.mark.parametrize(
    ("state", "members", "leads"),
    [
        ("Dead", (), False),
        ("Empty", (), False),
        ("", (), False),  # a broker that has no coordinator for it yet
        ("PreparingRebalance", (MASTER,), True),
        ("Stable", (MASTER,), True),
    ],
)
def test_a_master_is_spoken_of_only_where_the_broker_lists_one(
    monkeypatch: pytest.MonkeyPatch, state: str, members: tuple[Member, ...], *, leads: bool
) -> None:
    """Lost otherwise: an operator who looks for a master that there is not, on a broker that has just started."""
    monkeypatch.setattr(Cluster, "groups", lambda _self, ids: {name: Group(name, state, members) for name in ids})
    monkeypatch.setattr(ledger, "read_state", lambda *_: {})
    said = advice({"bootstrap_servers": ["192.0.2.1:9092"]}, "fogverse-ledger", "slow", stopped=False)
    assert ("a master runs" in said) == leads
