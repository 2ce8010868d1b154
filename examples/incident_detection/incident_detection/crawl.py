"""The crawler's command line, behind ``python -m incident_detection.crawler``."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from .crawler import Crawler, CrawlerError
from .labelled import DataError, read_labelled, read_texts
from .pace import Profile
from .texts import cycle, variations


def main(arguments: Sequence[str] | None = None) -> int:
    """Send until count, duration or profile is done or SIGTERM or SIGINT comes.

    Returns:
        The exit code: 0 when Kafka acknowledged everything sent, 1 when not or when sending failed.
    """
    logging.basicConfig(level=logging.WARNING, format="crawler: %(message)s")
    options = _parser().parse_args(arguments)
    try:
        crawler = _crawler(options)
        _run(crawler, verbose=options.verbose)
    except (CrawlerError, DataError) as error:
        print(f"crawler: {error}", file=sys.stderr)
        return 1
    print(f"{crawler.run}: {crawler.acknowledged} of {crawler.sent} messages acknowledged", flush=True)
    return 0 if crawler.acknowledged == crawler.sent else 1


def _run(crawler: Crawler, *, verbose: bool) -> None:
    interrupted = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, lambda *_: interrupted.set())
    try:
        crawler.start()
        at, sent, acknowledged = time.monotonic(), 0, 0
        while not interrupted.is_set() and not crawler.wait(0.1):
            now = time.monotonic()
            if verbose and now - at >= 1:
                rate = (crawler.sent - sent) / (now - at)
                confirmed = (crawler.acknowledged - acknowledged) / (now - at)
                print(f"sent {rate:.0f}/s, acknowledged {confirmed:.0f}/s, {crawler.sent} in all", flush=True)
                at, sent, acknowledged = now, crawler.sent, crawler.acknowledged
    finally:
        crawler.stop()
        for number, handler in before.items():
            signal.signal(number, handler)


def _crawler(options: argparse.Namespace) -> Crawler:
    if options.csv:
        texts = cycle(read_texts(options.csv))
    else:
        texts = variations([example.text for example in read_labelled()], seed=options.seed)
    return Crawler(
        options.bootstrap_servers,
        options.topic,
        rate=options.rate,
        profile=options.profile,
        duration_s=options.duration,
        count=options.count,
        texts=texts,
        keyed=options.key == "id",
        settings=dict(options.setting),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m incident_detection.crawler", description="Send short messages to a topic at a set rate."
    )
    parser.add_argument("--bootstrap-servers", required=True, metavar="HOST:PORT")
    parser.add_argument("--topic", default="analyze", help="[analyze]")
    parser.add_argument("--rate", type=_number, default=200.0, help="messages per second [200]")
    parser.add_argument("--profile", type=_profile, metavar="30s@100,5s@1000", help="rates over time")
    end = parser.add_mutually_exclusive_group()
    end.add_argument("--duration", type=_number, metavar="SECONDS", help="end after so long")
    end.add_argument("--count", type=int, metavar="N", help="end after so many messages")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="send its column text, again and again")
    parser.add_argument("--seed", type=int, default=0, help="of the variations sent without --csv [0]")
    parser.add_argument("--key", choices=("none", "id"), default="none", help="the messages' keys [none]")
    parser.add_argument(
        "-X", "--setting", type=_setting, action="append", default=[], metavar="NAME=VALUE",
        help="librdkafka setting, such as security.protocol=SSL; may be repeated",
    )  # fmt: skip
    parser.add_argument("--verbose", action="store_true", help="print the rates of every second")
    return parser


def _number(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 on")
    return value


def _profile(text: str) -> Profile:
    try:
        return Profile.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value
