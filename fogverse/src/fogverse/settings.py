"""The settings of one instance, read once and never changed."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fogverse.ordering import refusal
from fogverse.security import PREFIX, Security, read_security
from fogverse.setting_table import TABLE

#: Settings, and what belongs to others: the unit's digest of its settings, the master's inventory.
_KNOWN = frozenset({setting.variable for setting in TABLE} | {"FOGVERSE_CONFIG", "FOGVERSE_INVENTORY"})
_INSTANCE = re.compile(r"(?P<service>[^@]+)@(?P<host>.+)\.\d+")


class SettingsError(ValueError):
    """Settings are missing or wrong.

    Attributes:
        problems: one line each, naming the setting and what is allowed; all of them, not just the first.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one instance consumes, produces, is called, and how long it waits.

    ``setting_table.TABLE`` has the meaning, unit, default and environment variable of each.
    """

    bootstrap_servers: str
    source_topic: str
    group_id: str
    service: str
    instance: str
    host: str
    target_topic: str | None = None
    start: str = "earliest"
    exactly_once: bool = False
    workers: int = 1
    mode: str = "thread"
    batch: int | None = None
    batch_wait_ms: float = 50.0
    ordering: str = "none"
    max_in_flight: int = 1000
    max_in_flight_mb: float = 32.0
    on_failure: str = "stop"
    retries: int = 0
    retry_delay_s: float = 0.5
    dead_letter_topic: str | None = None
    message_timeout_s: float | None = None
    autoscale: bool = False
    observer_topic: str = "observer"
    release: str | None = None
    deployed: str | None = None
    drain_timeout_s: float = 20.0
    topic_timeout_s: float = 120.0
    log_level: str = "info"
    security: Security = field(default_factory=Security)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], given: Mapping[str, object] | None = None) -> Settings:
        """Read the settings.

        Args:
            environ: environment variables; an empty one counts as not set.
            given: values by attribute name that win over the environment, as values or as text (flags);
                None counts as not given.

        Raises:
            SettingsError: with every problem at once.
        """
        given = given or {}
        problems: list[str] = []
        values: dict[str, Any] = {}
        for setting in TABLE:
            override = given.get(setting.name)
            text = environ.get(setting.variable, "") if override is None else str(override)
            text = text or setting.default or ""
            if text:
                try:
                    values[setting.name] = setting.parse(text)
                except ValueError as error:
                    problems.append(f"{setting.variable}={text} ({setting.flag}): {error}")
            elif setting.required:
                problems.append(f"{setting.variable} ({setting.flag}) is missing: {setting.meaning}")
        security, more = read_security(environ)
        problems += more
        source = values.get("source_topic")
        if source is not None and source == values.get("target_topic"):
            problems.append(
                f"FOGVERSE_SOURCE_TOPIC and FOGVERSE_TARGET_TOPIC are both {source}: the service would feed itself"
            )
        if source is not None and source == values.get("dead_letter_topic"):
            problems.append("FOGVERSE_DEAD_LETTER_TOPIC is the source topic: failures would go round for ever")
        reason = refusal(values.get("ordering", "none")) if values.get("autoscale") else None
        if reason is not None:
            problems.append(f"FOGVERSE_AUTOSCALE (--autoscale): {reason}")
        batch, most = values.get("batch"), values.get("max_in_flight")
        if batch is not None and most is not None and batch > most:
            problems.append(
                f"FOGVERSE_BATCH={batch} (--batch) is more than FOGVERSE_MAX_IN_FLIGHT={most}: no batch would be full"
            )
        if problems:
            raise SettingsError(problems)
        return cls(**_failing(_named(values)), security=security)


def misspelt(environ: Mapping[str, str]) -> list[str]:
    """A line for each variable that looks like a setting and is none, with the one that may be meant.

    Unknown ``FOGVERSE_KAFKA_*`` are left out: they are problems, not warnings, since security depends on them.
    """
    unknown = [
        name
        for name, text in sorted(environ.items())
        if name.startswith("FOGVERSE_") and text and name not in _KNOWN and not name.startswith(PREFIX)
    ]
    if not unknown:
        return []
    from difflib import get_close_matches  # noqa: PLC0415 -- rarely needed, and every instance would carry it

    lines = []
    for name in unknown:
        close = get_close_matches(name, _KNOWN, 1, 0.8)
        lines.append(f"{name} is no setting and is ignored" + (f": is {close[0]} meant?" if close else ""))
    return lines


def _named(values: dict[str, Any]) -> dict[str, Any]:
    """Fill in service, host and instance from each other, so that one of them is enough."""
    parts = _INSTANCE.fullmatch(values.get("instance", ""))
    service = values.get("service") or (parts["service"] if parts else values["group_id"])
    host = values.get("host") or (parts["host"] if parts else socket.gethostname())
    instance = values.get("instance") or f"{service}@{host}.1"
    return values | {"service": service, "host": host, "instance": instance}


def _failing(values: dict[str, Any]) -> dict[str, Any]:
    """What happens to a failure: naming a dead-letter topic asks for dead letters, and these for retries before."""
    topic = values.get("dead_letter_topic")
    on_failure = values.get("on_failure") or ("dead_letter" if topic else "stop")
    if on_failure == "dead_letter":
        return (
            {"retries": 3, "dead_letter_topic": f"{values['source_topic']}.dead"} | values | {"on_failure": on_failure}
        )
    return values
