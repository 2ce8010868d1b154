"""FogVerse's environment variables and attributes, read into the runtime's settings."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from typing import Any

from fogverse.security import MEANINGS, PREFIX
from fogverse.settings import Settings, SettingsError

log = logging.getLogger(__name__)

#: Port of a server that is named without one, as aiokafka has it.
PORT = 9092
#: Our variable: FogVerse's variable; in lower case it is the attribute.
NAMES = {
    "FOGVERSE_BOOTSTRAP_SERVERS": "CONSUMER_SERVERS",
    "FOGVERSE_SOURCE_TOPIC": "CONSUMER_TOPIC",
    "FOGVERSE_GROUP_ID": "GROUP_ID",
    "FOGVERSE_TARGET_TOPIC": "PRODUCER_TOPIC",
    "FOGVERSE_INSTANCE": "CLIENT_ID",
}
#: Keys of ``consumer_conf`` and ``producer_conf`` that win over variable and attribute, as they do in FogVerse.
_CONF = {"bootstrap_servers": "FOGVERSE_BOOTSTRAP_SERVERS", "group_id": "FOGVERSE_GROUP_ID", "client_id": "CLIENT_ID"}


def get_config(name: str, node: object = None, default: Any = None) -> Any:
    """A value from the environment, else from the node's attribute in lower case, else the default.

    An empty variable counts as not set.
    """
    return os.environ.get(name) or getattr(node, name.lower(), None) or default


def topics_of(node: object) -> tuple[str, ...]:
    """The topics that a node consumes, from a text with commas or a list.

    Raises:
        SettingsError: a pattern is asked for; a node names its topics.
    """
    if get_config("TOPIC_PATTERN", node):
        raise SettingsError(
            ["TOPIC_PATTERN (topic_pattern) is not supported: name the topics in CONSUMER_TOPIC, separated by commas"]
        )
    found = os.environ.get("FOGVERSE_SOURCE_TOPIC") or get_config("CONSUMER_TOPIC", node, ())
    listed = found.split(",") if isinstance(found, str) else found
    return tuple(topic.strip() for topic in listed if topic.strip())


def consumer_settings(node: object) -> list[Settings]:
    """The settings of a node's members of its group: one for each topic.

    ``FOGVERSE_*`` variables, which the unit on a device sets, win; then the node's ``consumer_conf``, FogVerse's
    variables, the node's attributes.

    Raises:
        SettingsError: with every problem at once.
    """
    conf = _conf(node, "consumer_conf")
    values = {ours: get_config(theirs, node) for ours, theirs in NAMES.items() if ours != "FOGVERSE_SOURCE_TOPIC"}
    values["FOGVERSE_BOOTSTRAP_SERVERS"] = with_ports(values["FOGVERSE_BOOTSTRAP_SERVERS"] or "localhost")
    topics = topics_of(node)
    environ = _environ(values | conf)
    found = []
    for number, topic in enumerate(topics or ("",), start=1):
        settings = _settings(environ | {"FOGVERSE_SOURCE_TOPIC": topic})
        if number > 1:  # a name for each, or the group's other members would be hidden behind one in reports
            settings = _settings(
                environ | {"FOGVERSE_SOURCE_TOPIC": topic, "FOGVERSE_INSTANCE": _other(settings, number)}
            )
        found.append(settings)
    return found


def producer_settings(node: object) -> Settings:
    """The settings of a node's own producer; only servers, names and security of them count.

    Raises:
        SettingsError: with every problem at once.
    """
    conf = _conf(node, "producer_conf")
    conf.pop("FOGVERSE_GROUP_ID", None)
    servers = conf.get("FOGVERSE_BOOTSTRAP_SERVERS") or get_config("PRODUCER_SERVERS", node)
    # A unit on a device names one cluster; a node that produces to another says so.
    servers = servers or os.environ.get("FOGVERSE_BOOTSTRAP_SERVERS") or get_config("CONSUMER_SERVERS", node)
    name = type(node).__name__
    values = {
        "FOGVERSE_INSTANCE": get_config("CLIENT_ID", node),
        "FOGVERSE_GROUP_ID": get_config("GROUP_ID", node, name),
    }
    environ = _environ(values | conf)
    environ |= {"FOGVERSE_BOOTSTRAP_SERVERS": with_ports(servers or "localhost"), "FOGVERSE_SOURCE_TOPIC": "none"}
    return _settings(environ)


def with_ports(servers: str | Iterable[str]) -> str:
    """Servers in one line, each with a port."""
    listed = servers.split(",") if isinstance(servers, str) else servers
    return ",".join(
        server if ":" in server else f"{server}:{PORT}" for server in (part.strip() for part in listed) if server
    )


def _conf(node: object, attribute: str) -> dict[str, str]:
    """What a conf dictionary says, by our variables; what has no meaning here is named in the log."""
    values: dict[str, str] = {}
    ignored = []
    for key, value in dict(getattr(node, attribute, None) or {}).items():
        if key == "bootstrap_servers":
            values[_CONF[key]] = with_ports(value)
        elif key in _CONF:
            values["FOGVERSE_INSTANCE" if key == "client_id" else _CONF[key]] = str(value)
        elif key in MEANINGS:
            values[PREFIX + key.upper()] = str(value)
        elif key != "loop":
            ignored.append(key)
    if ignored:
        log.warning("%s: %s ignored: the runtime chooses these itself", attribute, ", ".join(sorted(ignored)))
    return values


def _environ(values: Mapping[str, str | None]) -> dict[str, str]:
    set_ones = {name: text for name, text in os.environ.items() if text}
    return {name: text for name, text in values.items() if text} | set_ones


def _settings(environ: Mapping[str, str]) -> Settings:
    try:
        return Settings.from_environment(environ)
    except SettingsError as error:
        raise SettingsError([_in_their_words(problem) for problem in error.problems]) from None


def _in_their_words(problem: str) -> str:
    for ours, theirs in NAMES.items():
        if problem.startswith(ours):
            return f"{problem} (here also {theirs}, or the attribute {theirs.lower()})"
    return problem


def _other(settings: Settings, number: int) -> str:
    stem, dot, slot = settings.instance.rpartition(".")
    return f"{stem}-topic{number}.{slot}" if dot and slot.isdecimal() else f"{settings.instance}-topic{number}"


def adopt_topics(node: Any) -> None:
    """Let the node's topic attributes say what will be consumed and produced to, wherever that is set."""
    topics = topics_of(node)
    if topics:
        node.consumer_topic = topics[0] if len(topics) == 1 else list(topics)
    target = os.environ.get("FOGVERSE_TARGET_TOPIC") or get_config("PRODUCER_TOPIC", node)
    if target:
        node.producer_topic = target
