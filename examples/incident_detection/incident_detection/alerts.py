"""The alerts: a sink that prints the incidents among the analyzer's output, one line each.

Runs on a device as a service without a target topic (``fogverse run incident_detection.alerts:process``;
``journalctl -u fogverse-alerts@1`` shows the lines), or by hand:
``python -m incident_detection.alerts --bootstrap-servers HOST:PORT``.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from fogverse import Executor, ExitCode, Message, SettingsError


def process(message: Message) -> None:
    """Print an incident: time (UTC, of the analyzer's message), keyword, score, text.

    Anything else is left out in silence; what is not the analyzer's JSON is named on stderr.
    """
    try:
        line = _line(message)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        print(
            f"{message.place}: not a verdict of the analyzer: {_printable(repr(error))[:200]}",
            file=sys.stderr,
            flush=True,
        )
        return
    if line:
        print(line, flush=True)


def _line(message: Message) -> str | None:
    verdict: dict[str, Any] = json.loads(message.value)
    if verdict["incident"] is not True:
        return None
    when = "(no time)"
    if message.timestamp_ms is not None:
        when = f"{datetime.fromtimestamp(message.timestamp_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
    keyword = _printable(str(verdict["keyword"] or "?"))
    return f"{when}  {keyword:<14}  {verdict['score']:.2f}  {_printable(verdict['text'])[:280]}"


def _printable(text: str) -> str:
    """Make one harmless line of a stranger's text: control characters could rewrite a terminal or a log."""
    line = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(line.split())


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the incidents of a topic until interrupted; the exit code is the runtime's."""
    parser = argparse.ArgumentParser(
        prog="python -m incident_detection.alerts", description="Print incidents as they are detected."
    )
    parser.add_argument("--bootstrap-servers", required=True, metavar="HOST:PORT")
    parser.add_argument("--topic", default="client", help="where the analyzer writes to [client]")
    parser.add_argument("--group-id", default="alerts", help="consumer group [alerts]")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="alerts: %(message)s")
    try:
        executor = Executor(
            process,
            bootstrap_servers=options.bootstrap_servers,
            source_topic=options.topic,
            group_id=options.group_id,
        )
    except SettingsError as error:
        print(f"alerts: {error}", file=sys.stderr)
        return ExitCode.BAD_SETTINGS
    return executor.run()


if __name__ == "__main__":
    sys.exit(main())
