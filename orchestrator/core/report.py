"""Observer messages: what instances (ours and FogVerse's own) say about their throughput.

Three shapes are understood on one topic; anything else raises :class:`Rejected`, which the observer
counts and keeps as a sample. A message never chooses what is executed: it only carries numbers.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

#: A report of one instance is some 400 bytes; whatever is larger than this is not one.
MAX_BYTES = 16 * 1024
#: Above any real count per report; keeps a hostile number from drowning a window's sums.
MAX_COUNT = 1_000_000_000

Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
#: What becomes a word in a log or a terminal must not carry line breaks or escapes.
Name = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,249}$")]
Place = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}\[\d{1,10}\]@\d{1,20}$")]
Release = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Topic = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]


class Rejected(ValueError):  # noqa: N818 - named for what happened to the message, as in the docs and the CLI
    """An observer message that is none of the known shapes; its text says why in one line."""


class Report(BaseModel):
    """Our report, version 1: one per instance and second.

    Attributes:
        service: name of the service in the inventory.
        instance: ``service@device.slot``.
        interval_s: seconds that the counts cover, ending when the message was appended.
        consumed: messages finished, their output acknowledged.
        emitted: outputs acknowledged by the broker.
        failed: messages whose processing raised.
        busy_s: seconds spent in the user's code, summed over workers.
        lag_ms_p95: 95th percentile of (finished - message timestamp), None when nothing finished.
        rss_mb: resident memory in MiB.
        cpu: share of one core used, 0 to number of cores.
        stuck: places of messages that are worked on for too long, as ``topic[partition]@offset``.
        waits_for: the release without which the instance does not begin; None once it works.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    v: Literal[1]
    service: Name
    instance: Name
    host: Name
    source_topic: Topic
    target_topic: Topic | None = None
    interval_s: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
    consumed: Count
    emitted: Count
    failed: Count = 0
    busy_s: Seconds = 0.0
    workers: Annotated[int, Field(ge=1, le=100_000)] = 1
    in_flight: Count = 0
    lag_ms_p95: Annotated[float, Field(allow_inf_nan=False)] | None = None
    rss_mb: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    cpu: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    stuck: Annotated[tuple[Place, ...], Field(max_length=64)] = ()
    waits_for: Release | None = None


class Throughput(BaseModel):
    """The seed's throughput message (upstream: NodeHeartBeat): messages sent to a topic since the last one."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    target_topic: Topic
    total_messages: Count
    timestamp: float | int | str | None = None


class Pair(BaseModel):
    """The seed's announcement of an input/output pair (upstream: AutoScaleRequest).

    Attributes:
        deploy_configs: what the node says about its own deployment. It is shown, never executed: the
            inventory decides. Upstream's ``topic_configs`` with ``extra_configs`` is read as the same.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    source_topic: Topic
    target_topic: Topic
    deploy_configs: dict[str, Any] | None = None
    topic_configs: dict[str, Any] | None = None


Message = Report | Throughput | Pair


def _shape(fields: dict[str, Any]) -> type[Report] | type[Throughput] | type[Pair]:
    if "v" in fields:
        return Report
    if "total_messages" in fields:
        return Throughput
    if "source_topic" in fields and "target_topic" in fields:
        return Pair
    raise Rejected("none of the known shapes: no 'v', no 'total_messages', no 'source_topic' with 'target_topic'")


def parse(raw: bytes | None) -> Message:
    """Read one observer message.

    Args:
        raw: the record's value; None for a tombstone.

    Raises:
        Rejected: it is not JSON, not an object, too large, of no known shape, or a value is out of range.
    """
    if raw is None:
        raise Rejected("empty message")
    if len(raw) > MAX_BYTES:
        raise Rejected(f"{len(raw)} bytes; at most {MAX_BYTES} are read")
    if b'"v"' in raw:
        try:  # nearly every message: read and validated in one go
            return Report.model_validate_json(raw)
        except ValidationError:
            pass  # not one after all, or a bad one: below is said why
    try:
        fields = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise Rejected(f"not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise Rejected("JSON, but not an object")
    shape = _shape(fields)
    try:
        return shape.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Rejected(f"{shape.__name__.lower()}: {where}: {first['msg']}") from None
