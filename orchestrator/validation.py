"""From what pydantic found wrong to what a user can read: key path, value, what is allowed."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError

from orchestrator.errors import Problem

#: Stands for a value that is not there (``None`` is a value).
ABSENT: Final = object()

#: Where a key stands: keys of mappings and indexes of lists, from the variable's name on.
KeyPath = tuple[str | int, ...]

MASK = "********"
_SECRET = re.compile(r"passw|passphrase|secret|token|credential|api_?key|private_key(?!_file)", re.IGNORECASE)
_LONGEST_SHOWN = 80

#: Pydantic's kinds of error in a user's words; ``{...}`` is filled in from the error's context.
_WORDS = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text: put it in quotes",
    "string_too_short": "not empty",
    "dict_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "list_type": "a list",
    "greater_than_equal": "{ge:g} or more",
    "greater_than": "more than {gt:g}",
    "less_than_equal": "{le:g} or less",
    "less_than": "less than {lt:g}",
    "literal_error": "one of {expected}",
    "union_tag_invalid": "one of {expected_tags}",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong at a key, before it is known in which file it stands.

    Attributes:
        path: the key.
        value: what stands there; ``ABSENT`` when nothing does.
        allowed: what may stand there, or what to do.
    """

    path: KeyPath
    value: object
    allowed: str

    def problem(
        self,
        file: Path | None = None,
        line: int | None = None,
        *,
        key: str | None = None,
        secret: bool = False,
    ) -> Problem:
        """The same for the user's eyes; ``secret`` masks the value whatever the key is called."""
        value = None if self.value is ABSENT else shown(self.path, self.value, secret=secret)
        return Problem(file, line, key or dotted(self.path), value, self.allowed)


def dotted(path: KeyPath) -> str:
    """``("fogverse_services", "a", 0)`` as ``fogverse_services.a[0]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def shown(path: KeyPath, value: object, *, secret: bool = False) -> str:
    """A value for a report: short, on one line, a mask where it is or may hold a secret."""
    if secret or any(_SECRET.search(str(part)) for part in path):
        return MASK
    text = json.dumps(_masked(value), ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"


def findings_of(
    error: ValidationError,
    data: object,
    prefix: KeyPath,
    model: type[BaseModel],
    allowed: Mapping[str, str],
    unwritten: str = "",
) -> tuple[Finding, ...]:
    """Everything pydantic found, in the words of whoever wrote ``data``.

    Args:
        error: what pydantic raised for ``data``.
        data: the values validated, as written.
        prefix: the key path of ``data`` itself.
        model: the model ``data`` was validated against, for the names that exist.
        allowed: by key (its path within the model, dotted, without indexes), what may stand there where
            pydantic's words do not say it.
        unwritten: a field of the model that is no key for the user.
    """
    found: list[Finding] = []
    for detail in error.errors(include_url=False):
        path, value = _written_path(data, detail["loc"])
        kind, key, words = detail["type"], ".".join(part for part in path if isinstance(part, str)), detail["msg"]
        if kind == "missing":
            words = f"required: {allowed[key]}" if key in allowed else "required"
        elif kind == "extra_forbidden":
            words = _unknown_key(str(path[-1]), model, path, data, unwritten)
        elif kind == "value_error":
            words = words.removeprefix("Value error, ")
            field = words.split(" ", 1)[0]
            if not path and field in model.model_fields:  # a check of the whole begins with the key it is about
                path, value = (field,), data.get(field, ABSENT) if isinstance(data, Mapping) else ABSENT
        elif kind in _WORDS and key not in allowed:
            words = _WORDS[kind].format(**detail.get("ctx", {}))
        else:
            words = allowed.get(key) or words[:1].lower() + words[1:]
        finding = Finding((*prefix, *path), value, words)
        if all(finding.path != other.path for other in found):  # a union says the same once per member
            found.append(finding)
    return tuple(found)


def booleans(data: Mapping[str, Any], prefix: KeyPath, model: type[BaseModel]) -> tuple[Finding, ...]:
    """``yes`` and ``true`` where a number is wanted: pydantic would take them for 1."""
    return tuple(
        Finding((*prefix, name), data[name], "a number, not a boolean")
        for name, field in model.model_fields.items()
        if field.annotation in {int, float} and isinstance(data.get(name), bool)
    )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``did you mean 'x'? known: …`` or only what is known."""
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return f"{guess}known: {', '.join(names)}"


def _unknown_key(key: str, model: type[BaseModel], path: KeyPath, data: object, unwritten: str) -> str:
    models = [model]
    for part in path[:-1]:  # down to the nested model, or the alternatives, that the key was written in
        annotations = [one.model_fields[str(part)].annotation for one in models if str(part) in one.model_fields]
        models = [found for annotation in annotations for found in _models_in(annotation)]
        data = data[part] if isinstance(data, Mapping) else None
    written = data.get("name") if isinstance(data, Mapping) else None
    named = [one for one in models if "name" in one.model_fields and one.model_fields["name"].default == written]
    known = dict.fromkeys(name for one in named or models for name in one.model_fields)
    if len(path) == 1:
        known.pop(unwritten, None)
    return f"unknown key; {did_you_mean(key, known)}"


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for member in get_args(annotation) for model in _models_in(member)]


def _written_path(data: object, loc: tuple[int | str, ...]) -> tuple[KeyPath, object]:
    """The part of pydantic's location that exists in ``data``, and its value.

    Pydantic's location also names members of unions, which nobody wrote.
    """
    path: list[str | int] = []
    value = data
    for position, part in enumerate(loc):
        if isinstance(value, Mapping):
            if part not in value and position < len(loc) - 1:
                continue
            value = value.get(part, ABSENT)
        elif isinstance(value, list | tuple) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            continue
        path.append(part)
    return tuple(path), value


def _masked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: MASK if _SECRET.search(str(key)) else _masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(item) for item in value]
    return value
