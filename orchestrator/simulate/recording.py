"""The file that ``orchestrator record`` writes: JSON lines, one per look, documented in ``docs/simulate.md``.

Append-safe: each run of the recorder begins with a line of its own, a line that was torn by a crash is skipped, and
nothing written earlier is touched. Bounded by the recorder's duration and by :data:`LARGEST_BYTES`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.core.service import Service
from orchestrator.errors import SimulationInvalid
from orchestrator.settings import Settings

VERSION = 1
#: Beyond this the recorder stops: a file that fills a disk helps nobody.
LARGEST_BYTES = 200 * 1000 * 1000


@dataclass(frozen=True, slots=True)
class Moment:
    """What was seen of one service at one look; None for what could not be read.

    Attributes:
        at: when, seconds since the epoch by the master's clock.
        ends: end offset of the source topic's partitions.
        committed: committed offset of each, or where its log begins.
        members: partitions by member; None while the group rebalances.
        reports: since the last look, by instance: seconds covered, messages finished, seconds busy per worker.
    """

    at: float
    ends: Mapping[int, int] | None
    committed: Mapping[int, int] | None
    members: Mapping[str, tuple[int, ...]] | None
    reports: Mapping[str, tuple[float, int, float]] = field(default_factory=dict)

    @property
    def lag(self) -> int | None:
        """Messages appended and not committed."""
        if self.ends is None or self.committed is None:
            return None
        return sum(max(0, end - self.committed.get(p, 0)) for p, end in self.ends.items())


@dataclass(frozen=True, slots=True)
class Recording:
    """One run of the recorder.

    Attributes:
        path: the file.
        settings: the master's.
        services: as the inventory had them.
        devices: name, slots and capacity of each, and the services that may use it.
        moments: by service.
        ledger: decisions and steps of that time, as the ledger kept them; empty where it was not read.
    """

    path: Path
    settings: Settings
    services: Mapping[str, Service]
    devices: tuple[Mapping[str, Any], ...]
    moments: Mapping[str, tuple[Moment, ...]]
    ledger: tuple[Mapping[str, Any], ...]


def header(settings: Settings, services: Iterable[Service], devices: Iterable[Mapping[str, Any]], at: float) -> str:
    """The line with which a run of the recorder begins; it holds no secret."""
    shown = settings.model_dump(mode="json", exclude={"kafka_admin_host", "observer_consumer_servers"})
    body = {
        "record": VERSION,
        "at": round(at, 3),
        "settings": shown,
        # an artifact's path and the environment are the user's own business and matter to no simulation
        "services": {s.name: {**s.model_dump(mode="json"), "env": {}, "artifact": "recorded"} for s in services},
        "devices": list(devices),
    }
    return json.dumps(body, separators=(",", ":"))


def line(moments: Mapping[str, Moment]) -> str:
    """One look at every service."""
    first = next(iter(moments.values()))
    body = {
        "at": round(first.at, 3),
        "see": {
            name: {
                "ends": _listed(moment.ends),
                "committed": _listed(moment.committed),
                "members": None if moment.members is None else {m: list(p) for m, p in moment.members.items()},
                "reports": {i: [round(s, 3), n, round(b, 3)] for i, (s, n, b) in moment.reports.items()},
            }
            for name, moment in moments.items()
        },
    }
    return json.dumps(body, separators=(",", ":"))


def ledger_line(entries: Iterable[Mapping[str, Any]]) -> str:
    """What a run of the recorder ends with: the ledger of that time."""
    return json.dumps({"ledger": list(entries)}, separators=(",", ":"))


def read(path: Path) -> Recording:
    """Read the newest run in a file.

    Raises:
        SimulationInvalid: it cannot be read, or holds no run.
    """
    begin: dict[str, Any] | None = None
    moments: dict[str, list[Moment]] = {}
    ledger: list[Mapping[str, Any]] = []
    try:
        for body in _bodies(path):
            if "record" in body:
                if body["record"] != VERSION:
                    raise SimulationInvalid(f"{path}: format {body['record']}; this program reads {VERSION}")
                begin, moments, ledger = body, {name: [] for name in body["services"]}, []
            elif begin is not None and "see" in body:
                for name, seen in body["see"].items():
                    moments[name].append(_moment(float(body["at"]), seen))
            elif begin is not None and "ledger" in body:
                ledger += body["ledger"]
        if begin is None:
            raise SimulationInvalid(f"{path} holds no recording; make one with: orchestrator record {path}")
        return Recording(
            path=path,
            settings=Settings.model_validate(begin["settings"]),
            services={name: Service.model_validate(values) for name, values in begin["services"].items()},
            devices=tuple(begin["devices"]),
            moments={name: tuple(seen) for name, seen in moments.items()},
            ledger=tuple(ledger),
        )
    except (KeyError, TypeError, ValueError, AttributeError, ValidationError) as error:
        raise SimulationInvalid(f"{path} is not a recording that can be used: {error}; record again") from error


def _bodies(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for text in file:
                try:
                    body = json.loads(text)
                except ValueError:
                    continue  # torn by a crash of the recorder
                if isinstance(body, dict):
                    yield body
    except OSError as error:
        raise SimulationInvalid(f"{path} cannot be read: {error.strerror}") from error


def _listed(offsets: Mapping[int, int] | None) -> list[int] | None:
    return None if offsets is None else [offsets[p] for p in sorted(offsets)]


def _moment(at: float, seen: Mapping[str, Any]) -> Moment:
    members = seen["members"]
    return Moment(
        at=at,
        ends=_numbered(seen["ends"]),
        committed=_numbered(seen["committed"]),
        members=None if members is None else {m: tuple(p) for m, p in members.items()},
        reports={i: (float(s), int(n), float(b)) for i, (s, n, b) in seen["reports"].items()},
    )


def _numbered(offsets: list[int] | None) -> dict[int, int] | None:
    return None if offsets is None else {p: int(offset) for p, offset in enumerate(offsets)}
