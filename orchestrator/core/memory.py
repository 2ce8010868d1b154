"""What a policy remembers of a service between decisions; the ledger keeps it across restarts and masters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from orchestrator.core.decision import Kind
from orchestrator.core.estimate import Estimate


@dataclass(frozen=True, slots=True)
class Trial:
    """A scale-out whose effect has not been judged yet.

    Attributes:
        at: when it was decided, seconds since the epoch.
        current: instances before.
        desired: instances wanted.
        output_per_s: messages finished per second before.
        expected_per_s: what was expected to be finished per second with all of them.
        arrival_per_s: arrival then.
        partitions: of the source topic then; None when unknown.
        known: names of the instances that ran before.
        reached_at: when as many as were wanted, or as came, had joined; None while they are awaited.
    """

    at: float
    current: int
    desired: int
    output_per_s: float
    expected_per_s: float
    arrival_per_s: float
    partitions: int | None
    known: tuple[str, ...] = ()
    reached_at: float | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Why more instances do not help; nothing is added before something changed.

    Attributes:
        kind: ``no-effect``, ``shared-bottleneck`` or ``slow-device``.
        words: the same in a sentence, the partition, record or device named.
        at: when it was found, seconds since the epoch.
        instances: that ran then.
        arrival_per_s: arrival then.
        partitions: of the source topic then; None when unknown.
        device: the device to blame; None when it is none's fault.
    """

    kind: Kind
    words: str
    at: float
    instances: int
    arrival_per_s: float
    partitions: int | None
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """What a policy remembers of one service.

    Attributes:
        last_start_at: when the last instance was asked for, seconds since the epoch.
        last_seen_new_at: when an instance was last seen for the first time.
        last_stop_at: when an instance was last told to stop.
        busy: what is being carried out right now, in words; None when nothing is. Not kept across restarts.
        startups: seconds from a decision to a new instance's first message, newest last.
        capacities: by device class, what one instance of this service manages there.
        known_since: since when every decision knew its traffic; None when the last did not.
        known_at: when that was last so.
        wanted: recommendations as (when, instances), each lower than the one before it: the first that is young
            enough is the highest of the time since then.
        trial: the scale-out that is being judged.
        finding: why more instances do not help.
    """

    last_start_at: float | None = None
    last_seen_new_at: float | None = None
    last_stop_at: float | None = None
    busy: str | None = None
    startups: tuple[float, ...] = ()
    capacities: Mapping[str, Estimate] = field(default_factory=dict)
    known_since: float | None = None
    known_at: float | None = None
    wanted: tuple[tuple[float, int], ...] = ()
    trial: Trial | None = None
    finding: Finding | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values of everything but ``busy``."""
        return {
            "last_start_at": self.last_start_at,
            "last_seen_new_at": self.last_seen_new_at,
            "last_stop_at": self.last_stop_at,
            "startups": list(self.startups),
            "capacities": {name: estimate.as_dict() for name, estimate in self.capacities.items()},
            "known_since": self.known_since,
            "known_at": self.known_at,
            "wanted": [list(pair) for pair in self.wanted],
            "trial": None if self.trial is None else {**asdict(self.trial), "known": list(self.trial.known)},
            "finding": None if self.finding is None else asdict(self.finding),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Memory:
        """Read what :meth:`as_dict` wrote; a key that is missing has its default.

        Raises:
            ValueError: a value is not of its kind; the text names it.
        """
        try:
            trial, finding = values.get("trial"), values.get("finding")
            return cls(
                last_start_at=_time(values, "last_start_at"),
                last_seen_new_at=_time(values, "last_seen_new_at"),
                last_stop_at=_time(values, "last_stop_at"),
                startups=tuple(float(s) for s in values.get("startups", ())),
                capacities={k: Estimate.from_dict(v) for k, v in values.get("capacities", {}).items()},
                known_since=_time(values, "known_since"),
                known_at=_time(values, "known_at"),
                wanted=tuple((float(at), int(count)) for at, count in values.get("wanted", ())),
                trial=None if trial is None else Trial(**{**trial, "known": tuple(trial["known"])}),
                finding=None if finding is None else Finding(**finding),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a policy's memory: {error}") from error


def _time(values: Mapping[str, Any], name: str) -> float | None:
    value = values.get(name)
    return None if value is None else float(value)
