"""From the windows to what each service's policy looks at: the one door to both kinds of features."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.core import features, traffic
from orchestrator.core.efforts import Efforts
from orchestrator.core.features import Features, Level
from orchestrator.core.partition import Partition
from orchestrator.core.policy import Rule
from orchestrator.core.ratio import RatioRule
from orchestrator.core.service import Service
from orchestrator.core.traffic import Span
from orchestrator.core.window import Window


@dataclass(frozen=True, slots=True)
class View:
    """What is known of a service beside the windows.

    Attributes:
        service: which.
        rule: what it is decided by.
        lag: of its group in messages, None unknown.
        partitions: of its source topic, None unknown.
        offsets: these partitions; empty when unknown.
        stuck: places that its instances' reports name as stuck, as ``topic[partition]@offset``.
    """

    service: Service
    rule: Rule
    lag: int | None
    partitions: int | None
    offsets: tuple[Partition, ...] = ()
    stuck: tuple[str, ...] = ()


def read(window: Window, efforts: Efforts, until: int, views: Iterable[View]) -> dict[str, Features]:
    """Read the features of services, each for its own rule, by service name.

    Args:
        window: the services' counters.
        efforts: the instances'.
        until: the second up to which both are complete (exclusive).
        views: the services that are due.
    """
    by_beat: dict[int, list[View]] = {}
    by_span: dict[Span, list[View]] = {}
    for view in views:
        rule = view.rule
        if isinstance(rule, RatioRule):
            by_beat.setdefault(rule.refresh_s, []).append(view)
        else:
            by_span.setdefault(Span(rule.persistence_s, rule.steady_s, rule.noise_z), []).append(view)
    found: dict[str, Features] = {}
    for refresh_s, group in by_beat.items():
        sources = {v.service.name: (v.service.source_topic, v.service.target_topic) for v in group}
        lag = {v.service.name: v.lag for v in group}
        partitions = {v.service.name: v.partitions for v in group}
        found |= features.read(window, until, refresh_s, sources, lag, partitions)
    for span, group in by_span.items():
        named = [(v.service.name, v.service.source_topic, v.service.target_topic) for v in group]
        work = efforts.read(until, span.persistence_s, (v.service.name for v in group))
        for view, seen in zip(group, traffic.read(window, until, span, named), strict=True):
            found[view.service.name] = Features(
                service=view.service.name,
                at=until,
                refresh_s=view.rule.refresh_s,
                arrival=_level(seen.arrival),
                output=_level(seen.output_now),
                output_from=seen.output_from,
                lag=view.lag,
                partitions=view.partitions,
                traffic=seen,
                work=work.get(view.service.name, {}),
                offsets=view.offsets,
                stuck=view.stuck,
            )
    return found


def _level(rate: float | None) -> Level:
    return Level(rate, None, None, None, None, 0)
