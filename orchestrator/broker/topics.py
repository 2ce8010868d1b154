"""The topics that a master needs: its own two, and those of its services."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from orchestrator.broker.cluster import Cluster
from orchestrator.broker.ledger import state_topic
from orchestrator.core.service import Service
from orchestrator.settings import Settings

log = logging.getLogger(__name__)

#: The broker's clock stamps reports, since a device's is not trusted; an hour of them is more than any window.
OBSERVER_CONFIGS = {"message.timestamp.type": "LogAppendTime", "retention.ms": "3600000"}
LEDGER_CONFIGS = {"cleanup.policy": "compact,delete", "retention.ms": str(7 * 24 * 3600 * 1000)}
STATE_CONFIGS = {"cleanup.policy": "compact"}


def create_topics(cluster: Cluster, settings: Settings, services: Iterable[Service]) -> None:
    """Create what is missing; what is there is left as it is.

    Raises:
        BrokerUnreachable: no broker answered.
    """
    if cluster.create(settings.observer_consumer_topic, 1, OBSERVER_CONFIGS):
        log.info("created topic %s", settings.observer_consumer_topic)
    if cluster.create(settings.ledger_topic, 1, LEDGER_CONFIGS):
        log.info("created topic %s", settings.ledger_topic)
    if cluster.create(state_topic(settings.ledger_topic), 1, STATE_CONFIGS):
        log.info("created topic %s", state_topic(settings.ledger_topic))
    for service in services:
        for topic in filter(None, (service.source_topic, service.target_topic)):
            if cluster.create(topic, 1):
                log.info("created topic %s of service %s with 1 partition", topic, service.name)
