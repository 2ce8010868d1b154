"""The analyzer: every message that comes in goes out with a verdict.

Runs on devices as the service ``analyzer``: ``fogverse run incident_detection.analyzer:process``.
Every input has exactly one output, so that whoever reads the target topic can count by id what got lost;
leaving out what is no incident is the next stage's business (``alerts``).

Input, JSON: ``{"id": ..., "text": "..."}``; other fields travel along.
Output, JSON: the input's fields and ``incident`` (bool), ``keyword`` (text or null), ``score`` (0 to 1).
An input that cannot be read comes out as ``{"id", "text": "", "incident": false, "keyword": null,
"score": 0.0, "error": reason}``; its id is its own if it has one (text or a number), else where it lay:
``analyze[0]@12``.
"""

from __future__ import annotations

import json
from typing import Any

from fogverse import Message

from .model import Model

#: Loaded at import: an artifact without a good model fails when it is started, not at its first message.
_MODEL = Model.load()


MAX_ID_CHARACTERS = 200

#: Kafka refuses messages above 1 MB by default, and escaping makes text longer: no output may be refused.
MAX_OUTPUT_BYTES = 900_000


def process(message: Message) -> bytes:
    """Judge one message. Never raises: what is wrong with the input is said in the output."""
    identity: object = message.place
    try:
        fields = _fields(message.value)
        identity = _identity(fields, identity)
        output = _json({**fields, "id": identity, **_judged(fields.get("text"))})
    except (ValueError, RecursionError) as error:
        return _refused(identity, str(error))
    if len(output) > MAX_OUTPUT_BYTES:
        return _refused(identity, f"output of {len(output)} bytes is above {MAX_OUTPUT_BYTES}")
    return output


def _fields(value: bytes) -> dict[str, Any]:
    fields = json.loads(value)
    if not isinstance(fields, dict):
        raise ValueError(f"a JSON {type(fields).__name__}, not an object")  # noqa: TRY004 (it is bad input)
    return fields


def _identity(fields: dict[str, Any], place: object) -> object:
    own = fields.get("id")
    return own if isinstance(own, str | int) and len(str(own)) <= MAX_ID_CHARACTERS else place


def _judged(text: object) -> dict[str, Any]:
    if not isinstance(text, str):
        raise ValueError(f"text is a {type(text).__name__}, not a string")  # noqa: TRY004 (it is bad input)
    verdict = _MODEL.judge(text)
    return {"incident": verdict.incident, "keyword": verdict.keyword, "score": round(verdict.score, 4)}


def _refused(identity: object, reason: str) -> bytes:
    return _json({"id": identity, "text": "", "incident": False, "keyword": None, "score": 0.0, "error": reason[:200]})


def _json(fields: dict[str, Any]) -> bytes:
    """Write JSON in ASCII (a lone surrogate has no UTF-8), refusing NaN, which no other reader knows."""
    return json.dumps(fields, allow_nan=False, separators=(",", ":")).encode("ascii")
