"""Looks at how the broker keeps the instances' reports: with its own time, and for as long as the window is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orchestrator.broker.topics import OBSERVER_CONFIGS
from orchestrator.checks.line import Line

TIMESTAMP, RETENTION, RETENTION_BYTES = "message.timestamp.type", "retention.ms", "retention.bytes"
#: What is asked for, to be given to :func:`observer_lines`.
ASKED = (TIMESTAMP, RETENTION, RETENTION_BYTES)
#: Kafka's word for no limit.
_ENDLESS = -1


def observer_lines(topic: str, configs: Mapping[str, str], window_s: float, servers: str) -> Iterable[Line]:
    """At most one line about the observer topic; none when it is as the master would have created it, or as good.

    Args:
        topic: the observer topic, which exists.
        configs: its settings that are ``ASKED`` for; empty when the broker does not tell them to this user.
        window_s: seconds that the master looks back.
        servers: for the mend.
    """
    if missing := [name for name in ASKED if name not in configs]:
        yield Line(
            "topic",
            topic,
            "note",
            f"the broker does not tell its {', '.join(missing)}",
            f"give the master's Kafka user the right DescribeConfigs on the topic {topic}, to have them looked at",
        )
        return
    wrong = dict(_wrong(configs, window_s))
    if wrong:
        change = ",".join(f"{name}={OBSERVER_CONFIGS[name]}" for name in wrong)
        yield Line(
            "topic",
            topic,
            "warn",
            "; ".join(wrong.values()),
            f"kafka-configs.sh --bootstrap-server {servers} --alter --entity-type topics --entity-name {topic} "
            f"--add-config {change}",
        )


def _wrong(configs: Mapping[str, str], window_s: float) -> Iterable[tuple[str, str]]:
    """Settings that do harm, each with what it does."""
    stamped, kept_ms = configs[TIMESTAMP], int(configs[RETENTION])
    if stamped != OBSERVER_CONFIGS[TIMESTAMP]:
        words = (
            "reports carry the times of their devices' clocks; one that is wrong puts what was reported before a "
            "master's start into the wrong seconds, or out of its window"
        )
        yield TIMESTAMP, f"{TIMESTAMP} is {stamped}: {words}"
    if kept_ms == _ENDLESS and int(configs[RETENTION_BYTES]) == _ENDLESS:
        yield RETENTION, f"{RETENTION} is {kept_ms}: reports are kept for ever, one a second from each instance"
    elif 0 <= kept_ms < window_s * 1000:
        words = f"a master that starts looks back {window_s:g} s (window_max_second), and finds less"
        yield RETENTION, f"{RETENTION} is {kept_ms}: {words}"
