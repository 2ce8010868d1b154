"""Texts for the crawler to send, without end."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence

_OPENINGS = ("", "", "", "Just now: ", "Hey, ", "Look: ", "Right now. ", "Well... ")
_ENDINGS = ("", "", "", "!", "...", " #{tag}", " via @{tag}{number}", " https://t.example/{number}")
SHARE_LOWER_CASE = 0.2
SHARE_UPPER_CASE = 0.1  # of the rest
_TAGS = ("news", "today", "local", "city", "live", "us")


def cycle(texts: Sequence[str]) -> Iterator[str]:
    """Give the texts in order, again and again."""
    return itertools.cycle(texts)


def variations(texts: Sequence[str], *, seed: int = 0) -> Iterator[str]:
    """Give variations of the texts, in an order that depends on the seed alone.

    Openings, endings, numbers, hashtags and letter case change as they do between people; what the message
    is about stays.
    """
    chance = random.Random(seed)  # noqa: S311 (must repeat itself, guards no secret)
    while True:
        text = chance.choice(texts)
        if chance.random() < SHARE_LOWER_CASE:
            text = text.lower()
        elif chance.random() < SHARE_UPPER_CASE:
            text = text.upper()
        opening, ending = chance.choice(_OPENINGS), chance.choice(_ENDINGS)
        yield opening + text + ending.format(tag=chance.choice(_TAGS), number=chance.randrange(1000))
