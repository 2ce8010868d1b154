"""Does a master lead, and does it keep its hands off a service? Asked of the broker on the spot."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from kafka.errors import KafkaError

from orchestrator.broker import ledger
from orchestrator.broker.cluster import Cluster
from orchestrator.core.override import Override
from orchestrator.errors import BrokerUnreachable


def group_of(ledger_topic: str) -> str:
    """The consumer group of all masters of the fleet with this ledger."""
    return f"fogverse-orchestrator.{ledger.state_topic(ledger_topic)}"


def advice(options: Mapping[str, Any], ledger_topic: str, service: str, *, stopped: bool) -> str:
    """What somebody should know who starts or stops instances behind the master's back; empty for nothing.

    Args:
        options: kafka-python's connection options.
        ledger_topic: the ledger's topic.
        service: whose instances.
        stopped: whether they are stopped and not started.

    Raises:
        BrokerUnreachable: no broker answered.
    """
    cluster = Cluster(options)
    try:
        group = cluster.groups([group_of(ledger_topic)])[group_of(ledger_topic)]
        if not group.members:  # nor is it evidence of one that a new broker has no coordinator yet
            return ""
        kept = ledger.read_state(options, ledger_topic).get(("override", service))
    except KafkaError as error:
        raise BrokerUnreachable(f"the broker does not tell: {error}") from error
    finally:
        cluster.close()
    order = None if kept is None else Override.from_dict(kept.body)
    if order is not None and order.kind == "pause" and order.holds(time.time()):
        return ""
    what = "may start others in their place" if stopped else "adopts them, and drains what it finds is not needed"
    return f"a master runs: it {what}; to have it leave {service} alone: orchestrator pause {service}"
