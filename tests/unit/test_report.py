"""Observer messages of every shape, and the ones that are refused."""

from __future__ import annotations

import json

import pytest

from orchestrator.core.report import Pair, Rejected, Report, Throughput, parse
from orchestrator.core.tally import Tally

REPORT = {
    "v": 1, "service": "analyzer", "instance": "analyzer@pi-1.1", "host": "pi-1", "source_topic": "analyze",
    "target_topic": "client", "interval_s": 1.0, "consumed": 10, "emitted": 9, "failed": 1, "busy_s": 0.5, "workers": 1,
    "in_flight": 0, "lag_ms_p95": 12.5, "rss_mb": 30.0, "cpu": 0.2,
}  # fmt: skip


def test_our_report_is_read() -> None:
    """Lost otherwise: every instance of ours."""
    report = parse(json.dumps(REPORT).encode())
    assert isinstance(report, Report)
    assert (report.consumed, report.busy_s) == (10, 0.5)


def test_an_announcement_with_a_key_named_v_is_no_report() -> None:
    """Lost otherwise: a node whose own settings happen to look like ours."""
    assert isinstance(parse(b'{"source_topic":"a","target_topic":"b","deploy_configs":{"v":1}}'), Pair)


def test_a_sink_and_an_idle_instance_are_read() -> None:
    """Lost otherwise: reports without a target or without a finished message."""
    report = parse(
        json.dumps({**REPORT, "target_topic": None, "lag_ms_p95": None, "rss_mb": None, "cpu": None}).encode()
    )
    assert isinstance(report, Report)


def test_the_seeds_throughput_is_read() -> None:
    """Lost otherwise: existing FogVerse nodes."""
    message = parse(b'{"target_topic": "client", "timestamp": 1700000000.5, "total_messages": 1}')
    assert message == Throughput(target_topic="client", total_messages=1, timestamp=1700000000.5)


@pytest.mark.parametrize(
    "configs",
    [
        {
            "deploy_configs": {
                "max_instance": 3,
                "topic_id": "client",
                "service_name": "s",
                "provider": "p",
                "image_env": {},
            }
        },
        {"topic_configs": {"max_instance": 3, "extra_configs": {}}},
        {"deploy_configs": None},
        {},
    ],
)
def test_the_seeds_announcement_is_read_in_all_its_forms(configs: dict[str, object]) -> None:
    """Lost otherwise: existing FogVerse nodes, of either release."""
    assert isinstance(parse(json.dumps({"source_topic": "a", "target_topic": "b", **configs}).encode()), Pair)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (None, "empty"),
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[1]", "not an object"),
        (b"[" * 10_000, "not JSON"),
        (b'{"hello": 1}', "none of the known shapes"),
        (b"x" * 20_000, "20000 bytes"),
        (json.dumps({**REPORT, "v": 2}).encode(), "report: v"),
        (json.dumps({**REPORT, "consumed": -1}).encode(), "report: consumed"),
        (json.dumps({**REPORT, "consumed": 1e300}).encode(), "report: consumed"),
        (json.dumps({**REPORT, "interval_s": 0}).encode(), "report: interval_s"),
        (json.dumps({**REPORT, "busy_s": float("nan")}).encode(), "not JSON"),
        (json.dumps({**REPORT, "instance": ""}).encode(), "report: instance"),
        (json.dumps({**REPORT, "instance": "a\n18:00:00 INFO fake"}).encode(), "report: instance"),
        (b'{"source_topic": "a\\u001b[31m", "target_topic": "b"}', "pair: source_topic"),
        (json.dumps({k: v for k, v in REPORT.items() if k != "service"}).encode(), "report: service"),
        (b'{"target_topic": "t", "total_messages": "many"}', "throughput: total_messages"),
    ],
)
def test_what_is_no_report_is_refused_with_a_reason(raw: bytes | None, reason: str) -> None:
    """Lost otherwise: the loop, to one malformed or hostile message."""
    with pytest.raises(Rejected, match=reason):
        parse(raw)


def test_the_tally_counts_refusals_and_keeps_a_sample() -> None:
    """Lost otherwise: the means to find who sends rubbish."""
    tally = Tally()
    tally.add(json.dumps(REPORT).encode(), 100.0)
    for offset in range(50):
        tally.add(b"rubbish", 101.0, 3, offset)
    assert tally.rejected == 50
    assert len(tally.samples) == 20
    assert (tally.samples[-1].partition, tally.samples[-1].offset) == (3, 49)
    assert tally.accepted["report"] == 1
    assert tally.first_progress == {"analyzer@pi-1.1": 100.0}
