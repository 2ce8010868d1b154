"""What the text of a setting may be: each parser gives its value, or raises ValueError with what is allowed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from fogverse.security import FALSE, TRUE

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_SERVERS = re.compile(r"[^\s,:]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}")


def topic(text: str) -> str:
    """A topic's name."""
    if not _TOPIC.fullmatch(text) or text in (".", ".."):
        raise ValueError("a topic name is needed: up to 249 letters, digits, '.', '_' and '-'")
    return text


def servers(text: str) -> str:
    """Brokers."""
    parts = [part.strip() for part in text.split(",")]
    if not all(_SERVERS.fullmatch(part) for part in parts):
        raise ValueError("host:port is needed, several separated by commas")
    return ",".join(parts)


def count(highest: int, lowest: int = 1) -> Callable[[str], int]:
    """A parser for whole numbers."""

    def parse(text: str) -> int:
        if not text.isdecimal() or not lowest <= int(text) <= highest:
            raise ValueError(f"a whole number from {lowest} to {highest} is needed")
        return int(text)

    return parse


def megabytes(text: str) -> float:
    """An amount of memory, MB."""
    try:
        megabytes = float(text)
    except ValueError:
        megabytes = math.nan
    if not 0 < megabytes <= 100_000:  # noqa: PLR2004 -- said in the message
        raise ValueError("a number of megabytes above 0 and up to 100000 is needed")
    return megabytes


def seconds(text: str) -> float:
    """A time that is not zero, seconds."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < 86_400:  # noqa: PLR2004 -- said in the message
        raise ValueError("a number of seconds above 0 and below a day is needed")
    return seconds


def milliseconds(text: str) -> float:
    """A time that may be zero, milliseconds."""
    try:
        milliseconds = float(text)
    except ValueError:
        milliseconds = math.nan
    if not 0 <= milliseconds <= 60_000:  # noqa: PLR2004 -- said in the message
        raise ValueError("a number of milliseconds from 0 to 60000 is needed")
    return milliseconds


def one_of(*allowed: str) -> Callable[[str], str]:
    """A parser for one of several words."""

    def parse(text: str) -> str:
        if text.lower() not in allowed:
            raise ValueError(f"one of {', '.join(allowed)} is needed")
        return text.lower()

    return parse


def yes_or_no(text: str) -> bool:
    """A switch."""
    if text.lower() not in TRUE + FALSE:
        raise ValueError("true or false is needed")
    return text.lower() in TRUE


def word(text: str) -> str:
    """A name."""
    if text != text.strip() or not text.isprintable():
        raise ValueError("printable text without blanks around it is needed")
    return text
