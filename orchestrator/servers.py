"""Kafka bootstrap servers as people write them: ``a:9092,b:9092`` or a list of such."""

from __future__ import annotations

import re

#: What a malformed value is told to be.
ALLOWED = "HOST:PORT, several separated by commas or as a list, e.g. kafka-1:9092,kafka-2:9092"

_HIGHEST_PORT = 65535
_DEFAULT_PORT = 9092
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]"
_SERVER = re.compile(rf"(?P<host>{_HOST})(?::(?P<port>\d{{1,5}}))?")


def parse_servers(written: object) -> tuple[str, ...]:
    """Read bootstrap servers into ``host:port`` each; a missing port is Kafka's 9092.

    Raises:
        ValueError: when one is not of the form HOST:PORT, or there is none; the text names it.
    """
    texts = written.split(",") if isinstance(written, str) else written
    if not isinstance(texts, list | tuple) or not texts:
        raise ValueError(ALLOWED)
    servers = []
    for text in texts:
        found = _SERVER.fullmatch(text.strip()) if isinstance(text, str) else None
        port = int(found["port"] or _DEFAULT_PORT) if found else 0
        if not found or not 0 < port <= _HIGHEST_PORT:
            raise ValueError(f"{text!r} is not {ALLOWED}")
        servers.append(f"{found['host']}:{port}")
    return tuple(servers)
