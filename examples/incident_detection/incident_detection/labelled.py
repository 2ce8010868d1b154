"""Labelled messages: the CSV files that models are trained on and the crawler draws from."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

#: The example's own small corpus of invented messages.
CORPUS = Path(__file__).with_name("corpus.csv")

_TARGETS = {"1": True, "0": False}


class DataError(Exception):
    """A CSV file cannot be used; the text names the line and what is wanted there."""


@dataclass(frozen=True)
class Labelled:
    """One message and what people say about it.

    Attributes:
        text: the message.
        incident: True when it is about a real incident.
        keyword: what it is about, in a word or two; empty when nobody said.
    """

    text: str
    incident: bool
    keyword: str = ""


def read_labelled(path: Path = CORPUS) -> list[Labelled]:
    """Read messages with their labels: columns ``text``, ``target`` (1 or 0) and, optionally, ``keyword``.

    Raises:
        DataError: the file cannot be read, lacks a column or has a target that is neither 1 nor 0.
    """
    messages = []
    for line, row in _rows(path, ("text", "target")):
        target = (row["target"] or "").strip()
        if target not in _TARGETS:
            raise DataError(f"{path}, line {line}: target is {target!r}, not 1 (incident) or 0")
        keyword = unquote(row.get("keyword") or "").strip()
        messages.append(Labelled(row["text"] or "", _TARGETS[target], keyword))
    return messages


def read_texts(path: Path) -> list[str]:
    """Read the ``text`` column alone; empty texts are left out.

    Raises:
        DataError: the file cannot be read, has no such column, or nothing in it.
    """
    return [text for _, row in _rows(path, ("text",)) if (text := (row["text"] or "").strip())]


def _rows(path: Path, columns: tuple[str, ...]) -> list[tuple[int, dict[str, str | None]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{path}: no column {' and '.join(missing)} in its first line")
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: {error}") from error
    if not rows:
        raise DataError(f"{path}: no messages after its first line")
    return rows
