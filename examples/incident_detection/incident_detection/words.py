"""From a message's text to the words a classifier learns from."""

from __future__ import annotations

import html
import re
from functools import lru_cache

from nltk.stem.snowball import EnglishStemmer

#: Longer texts are read up to here: a hostile message must not cost more than a long one.
MAX_CHARACTERS = 2000

URL = "<url>"
USER = "<user>"
NUMBER = "<num>"

_URL = re.compile(r"https?://\S+|www\.\S+")
_USER = re.compile(r"@\w+")
_HASHTAG = re.compile(r"#(\w+)")
_CAMEL_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_WORD = re.compile(rf"{URL}|{USER}|{NUMBER}|[^\W\d_]+(?:'[^\W\d_]+)?")

_stemmer = EnglishStemmer()


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """Give the stem of one lower-case word: ``flooded``, ``flooding`` and ``floods`` are one word here.

    Cached: of the time per message stemming would be the largest part, and few words make up most texts.
    """
    return str(_stemmer.stem(word))


def words(text: str) -> list[str]:
    """Split a message into lower-case stems, in the order of the text.

    Addresses, user names and numbers become ``<url>``, ``<user>`` and ``<num>``: that there is one tells
    something, which one does not. ``#ForestFire`` is read as ``forest fire``.
    """
    text = html.unescape(text[:MAX_CHARACTERS])
    text = _URL.sub(f" {URL} ", text)
    text = _USER.sub(f" {USER} ", text)
    text = _HASHTAG.sub(lambda tag: f" {_CAMEL_HUMP.sub(' ', tag[1])} ", text)
    text = _NUMBER.sub(f" {NUMBER} ", text)
    return [word if word.startswith("<") else stem(word) for word in _WORD.findall(text.lower())]
