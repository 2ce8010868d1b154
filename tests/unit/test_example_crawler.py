"""The example's crawler: rates, profiles and counts, with a clock and a producer made for the test."""

from __future__ import annotations

import itertools
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from incident_detection.crawl import main
from incident_detection.crawler import Crawler, CrawlerError
from incident_detection.pace import Pace, Profile
from incident_detection.texts import cycle, variations


class FakeProducer:
    """Takes messages at the test's time and acknowledges them when polled; ``full`` refuses so many first."""

    def __init__(self, now: list[float], *, full: int = 0, fail_at: int = -1, topic_error: object = None) -> None:
        self.now, self.full, self.fail_at, self.topic_error = now, full, fail_at, topic_error
        self.at: list[float] = []
        self.values: list[dict[str, Any]] = []
        self.waiting: list[Any] = []

    def list_topics(self, topic: str, **_: object) -> Any:
        return type("Metadata", (), {"topics": {topic: type("Topic", (), {"error": self.topic_error})}})

    def produce(self, _topic: str, value: bytes, *, key: bytes | None, on_delivery: Any) -> None:
        if self.full:
            self.full -= 1
            raise BufferError
        if len(self.at) == self.fail_at:
            raise ValueError("too large")
        self.at.append(self.now[0])
        self.values.append(json.loads(value) | {"key": key})
        self.waiting.append(on_delivery)

    def poll(self, _timeout: float) -> None:
        while self.waiting:
            self.waiting.pop()(None, None)

    def flush(self, _timeout: float) -> int:
        self.poll(0)
        return 0


def crawl(producer: FakeProducer, **options: Any) -> Crawler:
    """Run a crawler to its end on the test's clock, every wait taking as long as asked for."""

    def wait(seconds: float) -> None:
        producer.now[0] += seconds

    crawler = Crawler(
        "broker:9092",
        producer=lambda _: producer,
        clock=lambda: producer.now[0],
        wait=options.pop("wait", wait),
        texts=itertools.repeat("fire"),
        **options,
    )
    crawler.start()
    assert crawler.wait(20), "the crawler did not end"
    return crawler


def per_second(at: list[float]) -> list[int]:
    return [sum(second <= moment - at[0] < second + 1 for moment in at) for second in range(int(at[-1] - at[0]) + 1)]


@pytest.mark.parametrize("rate", [1, 7, 200, 3000])
def test_the_rate_is_kept_evenly(rate: int) -> None:
    """Lost: a demo whose overload is the overload it says; bursts would overload a service that is fast enough."""
    producer = FakeProducer([1000.0])
    crawler = crawl(producer, rate=rate, duration_s=4)
    assert crawler.stop() == crawler.sent == 4 * rate
    gaps = [later - earlier for earlier, later in itertools.pairwise(producer.at)]
    assert max(gaps) <= max(1 / rate, 0.005) + 1e-3


def test_a_profile_is_followed_and_ends_the_crawler() -> None:
    """Lost: "a spike of 5 s", exactly."""
    producer = FakeProducer([0.0])
    assert crawl(producer, profile=Profile.parse("3s@100,1s@1000,2s@0,2s@400")).stop() == 300 + 1000 + 800
    assert sum(moment <= 3 for moment in producer.at) == 300
    assert sum(3 < moment <= 4 for moment in producer.at) == 1000
    assert not [moment for moment in producer.at if 4 < moment < 6]


def test_ids_are_unique_and_count_up_and_keys_are_as_asked() -> None:
    """Lost: telling lost messages from duplicates at the pipeline's end."""
    producer = FakeProducer([0.0])
    crawler = crawl(producer, rate=500, count=1200, keyed=True, run="r")
    assert [value["id"] for value in producer.values] == [f"r-{n:07d}" for n in range(1, 1201)]
    assert producer.values[0]["key"] == b"r-0000001"
    assert crawler.stop() == crawler.stop() == 1200
    other = FakeProducer([0.0])
    assert crawl(other, rate=500, count=1).run != crawl(FakeProducer([0.0]), rate=500, count=1).run
    assert other.values[0]["key"] is None


def test_a_long_hold_up_is_not_made_up_for_with_a_flood() -> None:
    """Lost: a laptop that sleeps for an hour and then sends an hour's messages at once."""
    producer = FakeProducer([0.0])
    held_up = iter([3600.0])

    def wait(seconds: float) -> None:
        producer.now[0] += next(held_up, seconds)

    crawl(producer, rate=100, duration_s=3601, wait=wait).stop()
    assert max(per_second(producer.at)) <= 100 + 50


def test_the_rate_can_be_changed_while_it_runs() -> None:
    """Lost: the demo's overload. A pause must end at once, whatever the clock says."""
    producer = FakeProducer([0.0])
    crawler = Crawler("broker:9092", producer=lambda _: producer, rate=0, count=20, texts=cycle(["a"]))
    crawler.start()
    assert not crawler.wait(0.05)
    assert crawler.sent == 0
    crawler.set_rate(1000)
    assert crawler.wait(20)
    assert crawler.stop() == 20
    with pytest.raises(ValueError, match="-1"):
        crawler.set_rate(-1)


def test_stopping_ends_an_endless_crawler_and_leaves_no_thread() -> None:
    before = threading.active_count()
    crawler = Crawler("broker:9092", producer=lambda _: FakeProducer([0.0]), rate=0, texts=cycle(["a"]))
    crawler.start()
    assert crawler.stop() == 0
    assert threading.active_count() == before
    assert Crawler("broker:9092", texts=cycle(["a"])).stop() == 0, "one that never started stops as well"


def test_a_full_queue_is_waited_for_and_loses_nothing() -> None:
    """Lost: messages, whenever the broker is slower than the crawler."""
    producer = FakeProducer([0.0], full=5)
    assert crawl(producer, rate=100, count=10).stop() == 10
    assert [value["id"][-2:] for value in producer.values] == [f"{n:02d}" for n in range(1, 11)]


def test_a_failure_while_sending_is_told_by_stop() -> None:
    """Lost: a crawler that has died in its thread, noticed."""
    with pytest.raises(CrawlerError, match="after 3 messages: too large"):
        crawl(FakeProducer([0.0], fail_at=3), rate=100, count=10).stop()


def test_a_missing_topic_is_told_at_the_start() -> None:
    missing = type("Error", (), {"str": lambda _: "unknown topic"})()
    with pytest.raises(CrawlerError, match=r"topic 'analyze' at broker:9092: unknown topic; create it first"):
        crawl(FakeProducer([0.0], topic_error=missing))


def test_a_wrong_setting_is_told_at_the_start() -> None:
    with pytest.raises(CrawlerError, match="No such configuration property"):
        Crawler("127.0.0.1:1", settings={"no.such": "1"}, texts=cycle(["a"])).start()


def test_profiles_are_read_and_refused() -> None:
    """Lost: a typing error named, before anything is sent."""
    profile = Profile.parse("30s@100, 0.5s@1000,60s@400")
    assert profile.seconds == 90.5
    assert [profile.at(elapsed) for elapsed in (0, 29.9, 30, 30.5)] == [
        (100, 30), (100, 30), (1000, 30.5), (400, 90.5),
    ]  # fmt: skip
    assert profile.at(90.5)[0] == 0
    for text in ("", "30@100", "s@1", "30s@-1", "30s@1,", "0s@5"):
        with pytest.raises(ValueError, match=r"SECONDS|no time"):
            Profile.parse(text)


def test_a_pause_drops_what_was_due() -> None:
    """Lost: "0 pauses" meaning now, even after a hold-up."""
    pace = Pace(100, now=0.0)
    assert pace.take(1.0, 10) == 10, "50 are due after a hold-up, 10 are taken"
    pace.set_rate(0, now=1.0)
    assert pace.take(9.0, 100) == 0
    pace.set_rate(10, now=9.0)
    assert pace.take(9.0, 100) <= 1


def test_variations_repeat_with_their_seed_and_keep_their_subject() -> None:
    """Lost: a demo that can be repeated, on messages that are still what their label says."""
    texts = ["House fire on Mill Lane", "this song is great"]
    first = list(itertools.islice(variations(texts, seed=3), 500))
    assert first == list(itertools.islice(variations(texts, seed=3), 500))
    assert first != list(itertools.islice(variations(texts, seed=4), 500))
    assert len(set(first)) > 100
    assert all("mill lane" in text.lower() or "song" in text.lower() for text in first)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--rate", "-1"], "not a number from 0 on"),
        (["--profile", "fast"], "not SECONDSs@RATE"),
        (["--setting", "x"], "not NAME=VALUE"),
        (["--duration", "1", "--count", "1"], "not allowed with"),
    ],
)
def test_wrong_options_are_explained(options: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--bootstrap-servers", "broker:9092", *options])
    assert reason in capsys.readouterr().err


def test_a_csv_without_texts_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "data.csv"
    path.write_text("a\n1\n")
    assert main(["--bootstrap-servers", "broker:9092", "--csv", str(path)]) == 1
    assert "no column text" in capsys.readouterr().err
