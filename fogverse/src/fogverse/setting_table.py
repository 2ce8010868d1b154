"""Every setting of the runtime in one table, which reads them, writes ``--help`` and checks the docs."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fogverse.security import FALSE, TRUE

MODES = ("thread", "process")
ORDERINGS = ("none", "key", "partition")
ON_FAILURE = ("stop", "dead_letter")
STARTS = ("earliest", "latest")
LOG_LEVELS = ("debug", "info", "warning", "error")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_SERVERS = re.compile(r"[^\s,:]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        name: attribute of ``Settings``; the flag is ``--`` and the name with hyphens.
        variable: environment variable.
        parse: text to value; raises ValueError with what is allowed.
        meaning: one sentence for people.
        default: as text; None when another rule gives it, which ``fallback`` describes.
        fallback: what holds when it is not given and there is no default.
        unit: unit of the value, if it has one.
        required: whether the run cannot do without.
        switch: whether the flag has no value: ``--name`` means yes, ``--no-name`` no.
    """

    name: str
    variable: str
    parse: Callable[[str], Any]
    meaning: str
    default: str | None = None
    fallback: str = ""
    unit: str = ""
    required: bool = False
    switch: bool = False

    @property
    def flag(self) -> str:
        """The command-line flag."""
        return "--" + self.name.replace("_", "-")

    @property
    def notes(self) -> str:
        """Variable, default and unit in brackets, as ``--help`` shows them."""
        default = "required" if self.required else f"default: {self.default or self.fallback}"
        return f"[{self.variable}; {default}{f'; unit: {self.unit}' if self.unit else ''}]"


def _topic(text: str) -> str:
    if not _TOPIC.fullmatch(text) or text in (".", ".."):
        raise ValueError("a topic name is needed: up to 249 letters, digits, '.', '_' and '-'")
    return text


def _servers(text: str) -> str:
    parts = [part.strip() for part in text.split(",")]
    if not all(_SERVERS.fullmatch(part) for part in parts):
        raise ValueError("host:port is needed, several separated by commas")
    return ",".join(parts)


def _count(highest: int, lowest: int = 1) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or not lowest <= int(text) <= highest:
            raise ValueError(f"a whole number from {lowest} to {highest} is needed")
        return int(text)

    return parse


def _megabytes(text: str) -> float:
    try:
        megabytes = float(text)
    except ValueError:
        megabytes = math.nan
    if not 0 < megabytes <= 100_000:  # noqa: PLR2004 -- said in the message
        raise ValueError("a number of megabytes above 0 and up to 100000 is needed")
    return megabytes


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < 86_400:  # noqa: PLR2004 -- said in the message
        raise ValueError("a number of seconds above 0 and below a day is needed")
    return seconds


def _milliseconds(text: str) -> float:
    try:
        milliseconds = float(text)
    except ValueError:
        milliseconds = math.nan
    if not 0 <= milliseconds <= 60_000:  # noqa: PLR2004 -- said in the message
        raise ValueError("a number of milliseconds from 0 to 60000 is needed")
    return milliseconds


def _one_of(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in allowed:
            raise ValueError(f"one of {', '.join(allowed)} is needed")
        return text.lower()

    return parse


def _yes_or_no(text: str) -> bool:
    if text.lower() not in TRUE + FALSE:
        raise ValueError("true or false is needed")
    return text.lower() in TRUE


def _word(text: str) -> str:
    if text != text.strip() or not text.isprintable():
        raise ValueError("printable text without blanks around it is needed")
    return text


TABLE = (
    Setting(
        "bootstrap_servers",
        "FOGVERSE_BOOTSTRAP_SERVERS",
        _servers,
        "brokers to find the cluster by: host:port, several separated by commas",
        required=True,
    ),
    Setting("source_topic", "FOGVERSE_SOURCE_TOPIC", _topic, "topic to consume", required=True),
    Setting(
        "target_topic",
        "FOGVERSE_TARGET_TOPIC",
        _topic,
        "topic to produce to; a sink has none",
        fallback="none, a sink",
    ),
    Setting("group_id", "FOGVERSE_GROUP_ID", _word, "consumer group that all instances share", required=True),
    Setting(
        "start",
        "FOGVERSE_START",
        _one_of(*STARTS),
        "where a group without any position on the topic starts, once: earliest or latest; partitions added later "
        "are always read from their first message",
        default="earliest",
    ),
    Setting(
        "exactly_once",
        "FOGVERSE_EXACTLY_ONCE",
        _yes_or_no,
        "true: outputs and positions are committed together in Kafka transactions, so that readers with "
        "isolation.level=read_committed see each output once",
        default="false",
    ),
    Setting(
        "service",
        "FOGVERSE_SERVICE",
        _word,
        "name of the service in reports",
        fallback="the instance's part before '@', else the group",
    ),
    Setting(
        "instance",
        "FOGVERSE_INSTANCE",
        _word,
        "name of this process: Kafka client id and name in reports",
        fallback="SERVICE@HOST.1",
    ),
    Setting(
        "host",
        "FOGVERSE_HOST",
        _word,
        "name of this device in reports",
        fallback="the instance's part between '@' and the last '.', else the host name",
    ),
    Setting(
        "workers",
        "FOGVERSE_WORKERS",
        _count(1024),
        "messages worked on at once; 1 works in the loop itself, more in threads beside it",
        default="1",
        unit="messages",
    ),
    Setting(
        "mode",
        "FOGVERSE_MODE",
        _one_of(*MODES),
        "where the callable works: thread, or process (one for each worker, which imports it) for work that computes",
        default="thread",
    ),
    Setting(
        "batch",
        "FOGVERSE_BATCH",
        _count(10_000),
        "the callable takes a list of up to so many messages, and each worker works on one list at a time",
        fallback="none: it takes one message, not a list",
        unit="messages",
    ),
    Setting(
        "batch_wait_ms",
        "FOGVERSE_BATCH_WAIT_MS",
        _milliseconds,
        "how long a message waits for a batch to become full while a worker is free",
        default="50",
        unit="milliseconds",
    ),
    Setting(
        "ordering",
        "FOGVERSE_ORDERING",
        _one_of(*ORDERINGS),
        "order to keep with several workers: none, key (within a partition, as Kafka has it) or partition",
        default="none",
    ),
    Setting(
        "max_in_flight",
        "FOGVERSE_MAX_IN_FLIGHT",
        _count(1_000_000),
        "messages begun and not finished with several workers, shared out among the partitions: a full one waits",
        default="1000",
        unit="messages",
    ),
    Setting(
        "max_in_flight_mb",
        "FOGVERSE_MAX_IN_FLIGHT_MB",
        _megabytes,
        "bytes of these messages from which on nothing more is fetched",
        default="32",
        unit="MB (10^6 bytes)",
    ),
    Setting(
        "on_failure",
        "FOGVERSE_ON_FAILURE",
        _one_of(*ON_FAILURE),
        "what becomes of a message after its last retry: stop (exit code 6, not committed) or dead_letter",
        fallback="dead_letter if a dead-letter topic is set, else stop",
    ),
    Setting(
        "retries",
        "FOGVERSE_RETRIES",
        _count(1000, 0),
        "how often the callable is called again for a message it failed on",
        fallback="3 with dead_letter, else 0",
        unit="calls",
    ),
    Setting(
        "retry_delay_s",
        "FOGVERSE_RETRY_DELAY_S",
        _seconds,
        "pause before the first retry; doubles with each, up to 30 s, less up to half by chance",
        default="0.5",
        unit="seconds",
    ),
    Setting(
        "dead_letter_topic",
        "FOGVERSE_DEAD_LETTER_TOPIC",
        _topic,
        "topic for messages that fail for good",
        fallback="SOURCE_TOPIC.dead with dead_letter",
    ),
    Setting(
        "message_timeout_s",
        "FOGVERSE_MESSAGE_TIMEOUT_S",
        _seconds,
        "how long a call may last before its message is named as stuck; with mode process its worker is replaced",
        fallback="none",
        unit="seconds",
    ),
    Setting(
        "autoscale",
        "FOGVERSE_AUTOSCALE",
        _yes_or_no,
        "make a missing source topic, and let it grow so that every member of the group owns a partition; needless "
        "where a master runs; only with ordering none",
        default="no",
        switch=True,
    ),
    Setting("observer_topic", "OBSERVER_TOPIC", _topic, "topic for this instance's reports", default="observer"),
    Setting("release", "FOGVERSE_RELEASE", _word, "checksum of the deployed code, for the log", fallback="none"),
    Setting(
        "drain_timeout_s",
        "FOGVERSE_DRAIN_TIMEOUT_S",
        _seconds,
        "how long stopping may take before the process ends with exit code 5",
        default="20",
        unit="seconds",
    ),
    Setting(
        "topic_timeout_s",
        "FOGVERSE_TOPIC_TIMEOUT_S",
        _seconds,
        "how long a missing source or target topic is waited for before the process ends with exit code 4",
        default="120",
        unit="seconds",
    ),
    Setting(
        "log_level",
        "FOGVERSE_LOG_LEVEL",
        _one_of(*LOG_LEVELS),
        "least important lines to log: debug, info, warning or error",
        default="info",
    ),
)
