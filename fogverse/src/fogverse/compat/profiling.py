"""Measuring each phase of each message, to a CSV file and, if asked, to a topic."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter, time
from typing import Any, Protocol

from fogverse.compat.codec import size_bytes
from fogverse.compat.columns import COLUMNS, TIME_FORMAT, header, since_header_ms, whole
from fogverse.compat.config import get_config, producer_settings, with_ports
from fogverse.compat.csv_file import CsvFile
from fogverse.compat.node import payload
from fogverse.compat.record import RecordMetadata
from fogverse.compat.topic_log import TopicLog
from fogverse.message import Message

_ROW: ContextVar[dict[str, Any]] = ContextVar("row")


class RowLog(Protocol):
    """Where rows go instead of the CSV file."""

    def csv_log(self, row: list[Any]) -> None:
        """Take one row, in the order of the columns."""


class Profiling:
    """The first base of a node that is to be measured: ``class MyNode(Profiling, Consumer, Producer)``.

    Writes ``DIRNAME/log_NAME.csv`` with the columns ``asctime`` (local time), ``name`` and those of
    ``columns.COLUMNS``.
    A file that cannot be written, or a broker that is away, costs rows, which are counted, and never a message.

    Args:
        name: of the file and in the rows; the class' name and, on a device, the instance's by default.
        dirname: folder of the file.
        df_header: the columns to write, in this order; what is put into ``self._log_data`` may be one.
        remote_logging: whether rows also go to the topic ``LOGGING_TOPIC`` (``logging_topic``; by default
            ``fogverse-profiling``) at ``LOGGING_PRODUCER_SERVERS``, by default the node's producer's servers.
        remote_logging_name: names the rows in the topic; ``name`` by default.
        logger: where rows go instead of the file.
        app_id: names the run in the topic.
        loop: not used.
    """

    def __init__(
        self,
        name: str | None = None,
        dirname: str | Path | None = None,
        df_header: Sequence[str] = tuple(COLUMNS),
        remote_logging: bool = False,
        remote_logging_name: str | None = None,
        logger: RowLog | None = None,
        app_id: str | None = None,
        loop: asyncio.AbstractEventLoop | None = None,  # noqa: ARG002
    ) -> None:
        instance = os.environ.get("FOGVERSE_INSTANCE")
        self._profiling_name = name or "_".join(part for part in (type(self).__name__, instance) if part)
        self._remote_logging_name = remote_logging_name or self._profiling_name
        self.app_id = app_id or secrets.token_hex(3)
        self._df_header = list(df_header)
        self._row_log = logger
        self._csv: CsvFile | None = None
        if logger is None:
            file = Path(dirname or "logs") / f"log_{self._profiling_name}.csv"
            self._csv = CsvFile(file, ["asctime", "name", *self._df_header])
        self._remote_logging = remote_logging
        self._topic_log: TopicLog | None = None

    @property
    def _log_data(self) -> dict[str, Any]:
        """The row of the message in whose course the running code was called."""
        return _ROW.get({})

    async def start_producer(self) -> None:
        """Get ready to send."""
        await super().start_producer()  # type: ignore[misc]  # of the node's other bases
        self._remote()

    async def close_producer(self) -> None:
        """Send no more, and write the last rows."""
        await super().close_producer()  # type: ignore[misc]
        if self._csv is not None:
            await asyncio.to_thread(self._csv.close)
        if self._topic_log is not None:
            await asyncio.to_thread(self._topic_log.close)

    def _before_receive(self) -> None:
        self._receive_began = perf_counter()

    def _after_receive(self, received: Any) -> None:
        message = received if isinstance(received, Message) else None
        _ROW.set(
            {
                "topic from": message.topic if message else None,
                "offset received": message.offset if message else -1,
                "consume time (ms)": _ms(self._receive_began),
                "size data received (KB)": _kb(payload(received)),
            }
        )

    def _before_decode(self, _data: Any) -> None:
        self._begin("decode")

    def _after_decode(self, data: Any) -> None:
        row = self._end("decode", "decoded", data)
        message = getattr(self, "message", None)
        if isinstance(message, Message):
            row["frame delay (ms)"] = since_header_ms(header(message.headers, "timestamp"), datetime.now(UTC))
            if message.timestamp_ms is not None:
                row["msg creation delay (ms)"] = round(time() * 1000 - message.timestamp_ms, 2)
        else:
            row["frame delay (ms)"] = -1
            row["msg creation delay (ms)"] = row.get("consume time (ms)")

    def _before_process(self, _data: Any) -> None:
        self._begin("process")

    def _after_process(self, result: Any) -> None:
        self._end("process", "processed", result)

    def _before_encode(self, _result: Any) -> None:
        self._begin("encode")

    def _after_encode(self, data: Any) -> None:
        self._end("encode", "encoded", data)

    def _before_send(self, data: Any) -> None:
        self._begin("send")
        self._log_data["size data sent (KB)"] = _kb(data)

    def _after_send(self, _data: Any) -> None:
        row = self._log_data
        if row:  # nothing was sent, or not in the way that tells of its acknowledgement
            row["send time (ms)"] = _ms(row["send began"])
            row |= {"frame": -1, "offset sent": -1}
            self._write(row)

    def _get_extra_callback_args(self) -> tuple[list[Any], dict[str, Any]]:
        row = self._log_data
        taken = {
            "log_data": row.copy(),
            "headers": getattr(self, "_headers", None),
            "topic": getattr(self, "_topic", None),
            "timestamp": row.get("send began"),
        }
        row.clear()
        return [], taken

    async def callback(
        self,
        record_metadata: RecordMetadata | None,
        *_arguments: Any,
        log_data: dict[str, Any],
        headers: Any = None,
        topic: str | None = None,
        timestamp: float | None = None,
        **_options: Any,
    ) -> None:
        """The broker has acknowledged what was sent: its row is complete."""
        log_data["send time (ms)"] = None if timestamp is None else _ms(timestamp)
        log_data["frame"] = whole(header(headers, "frame"))
        log_data["topic to"] = topic if record_metadata else None
        log_data["offset sent"] = record_metadata.offset if record_metadata else -1
        self._write(log_data)

    def _begin(self, phase: str) -> None:
        self._log_data[f"{phase} began"] = perf_counter()

    def _end(self, phase: str, made: str, data: Any) -> dict[str, Any]:
        row = self._log_data
        row[f"{phase} time (ms)"] = _ms(row[f"{phase} began"])
        row[f"size data {made} (KB)"] = _kb(data)
        return row

    def _write(self, row: dict[str, Any]) -> None:
        values = [row.get(column) for column in self._df_header]
        if self._csv is not None:
            self._csv.add([f"{datetime.now():%Y/%m/%d %H:%M:%S.%f}"[:-3], self._profiling_name, *values])
        elif self._row_log is not None:
            self._row_log.csv_log(values)
        remote = self._remote()
        if remote is not None:
            now = datetime.now(UTC).strftime(TIME_FORMAT)
            remote.add(
                {
                    "app_id": self.app_id,
                    "name": self._remote_logging_name,
                    "log headers": ["timestamp", *self._df_header],
                    "log data": [now, *values],
                    "extras": getattr(self, "extra_remote_data", {}),
                }
            )

    def _remote(self) -> TopicLog | None:
        if self._remote_logging and self._topic_log is None:
            settings = producer_settings(self)
            servers = get_config("LOGGING_PRODUCER_SERVERS", self)
            if servers:
                settings = replace(settings, bootstrap_servers=with_ports(servers))
            self._topic_log = TopicLog(settings, get_config("LOGGING_TOPIC", self, "fogverse-profiling"))
        return self._topic_log


def _ms(began: float) -> float:
    return round((perf_counter() - began) * 1000, 3)


def _kb(data: Any) -> float:
    return round(size_bytes(data) / 1000, 3)
