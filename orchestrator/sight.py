"""Puts what the shells read into the window: reports, offsets, and the history from before the start."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from orchestrator.broker.cluster import Cluster
from orchestrator.broker.look import Look
from orchestrator.core.service import Service
from orchestrator.core.signals import ARRIVAL, COMMITTED, LAG, REPORTED, SENT
from orchestrator.core.tally import Tally
from orchestrator.core.window import Signal, Window

log = logging.getLogger(__name__)

#: How many spans the arrivals from before the start are read in: a second or more each.
HISTORY_SPANS = 60


def count_reports(window: Window, tally: Tally, services: Sequence[Service]) -> None:
    """Add what the observer has read about the given services; a stranger's names must not fill the window."""
    known = {Signal(REPORTED, s.name) for s in services} | {
        Signal(SENT, s.target_topic) for s in services if s.target_topic
    }
    window.spread_all(span for span in tally.spans if span[0] in known)


def count_offsets(window: Window, before: Look | None, after: Look, services: Iterable[Service]) -> None:
    """Add what happened between two looks at the cluster; between failed looks nothing is known, so nothing is added.

    Args:
        window: the counters.
        before: the previous look; None when it failed or this is the first.
        after: this look.
        services: whose source topics and groups are counted.
    """
    if before is None or after.at <= before.at:
        return
    for service in services:
        topic, group = service.source_topic, service.group_id
        pairs = (
            (Signal(ARRIVAL, topic), before.end(topic), after.end(topic)),
            (Signal(COMMITTED, service.name), before.progress(group, topic), after.progress(group, topic)),
        )
        lag = after.lag(group, topic)
        if lag is not None:  # a level, not a count: as message-seconds it is spread over seconds like the others
            window.spread(Signal(LAG, service.name), before.at, after.at, lag * (after.at - before.at))
        for signal, earlier, later in pairs:
            if earlier is None or later is None:
                continue
            if later < earlier:
                log.warning("offsets of %s went back from %d to %d: was the topic recreated?", topic, earlier, later)
                continue
            window.spread(signal, before.at, after.at, later - earlier)


def count_history(window: Window, cluster: Cluster, services: Iterable[Service], now: float) -> None:
    """Read what arrived before the start from the messages' own timestamps, so that a restart costs no window.

    Raises:
        BrokerUnreachable: no broker answered.
    """
    span = max(1.0, window.length_s / HISTORY_SPANS)
    times = [now - window.length_s + n * span for n in range(int(window.length_s / span) + 1)]
    for topic in sorted({service.source_topic for service in services}):
        counts = cluster.arrivals(topic, times)
        for start, end, earlier, later in zip(times, times[1:], counts, counts[1:], strict=False):
            # a topic with timestamps out of order may count backwards: nothing is known then
            if later >= earlier:
                window.spread(Signal(ARRIVAL, topic), start, end, later - earlier)
