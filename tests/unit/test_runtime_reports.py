"""The report of each second: the master scales by these numbers."""

from __future__ import annotations

import json

from fogverse.meter import SAMPLES, Meter, Reading
from fogverse.report import report
from fogverse.settings import Settings
from fogverse.throttle import Throttle
from fogverse.usage import CpuShare, rss_mb


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


SETTINGS = Settings(
    bootstrap_servers="b:1",
    source_topic="analyze",
    group_id="g",
    service="analyzer",
    instance="analyzer@pi-3.1",
    host="pi-3",
)


def test_the_message_is_version_1_of_the_contract() -> None:
    """Else the master counts the report as rejected and sees no instance."""
    value = report(SETTINGS, Reading(1.00049, 7, 5, 1, 0.25, 2, 12.34), workers=1, rss_mb=30.06, cpu=0.12345)
    assert json.loads(value) == {
        "v": 1,
        "service": "analyzer",
        "instance": "analyzer@pi-3.1",
        "host": "pi-3",
        "source_topic": "analyze",
        "target_topic": None,
        "interval_s": 1.0,
        "consumed": 7,
        "emitted": 5,
        "failed": 1,
        "busy_s": 0.25,
        "workers": 1,
        "in_flight": 2,
        "lag_ms_p95": 12.3,
        "rss_mb": 30.1,
        "cpu": 0.123,
        "retries": 0,
        "dead_letters": 0,
        "stuck": [],
        "queue_ms_p95": None,
        "process_ms_p50": None,
        "process_ms_p95": None,
    }


def test_what_is_unknown_is_null_and_not_zero() -> None:
    value = json.loads(report(SETTINGS, Reading(1, 0, 0, 0, 0, 0, None), workers=1, rss_mb=None, cpu=None))
    assert (value["lag_ms_p95"], value["rss_mb"], value["cpu"]) == (None, None, None)


def test_a_long_call_counts_as_busy_in_every_interval_it_touches() -> None:
    """Else an instance stuck in slow calls looks idle, and no help is started."""
    clock = Clock()
    meter = Meter(clock)
    meter.message_begun()
    clock.now += 0.5
    meter.call_began()
    clock.now += 0.5
    first = meter.read()
    clock.now += 1
    second = meter.read()
    clock.now += 0.25
    meter.call_ended()
    clock.now += 0.75
    meter.messages_finished(1, 2, [1750])
    third = meter.read()
    assert [r.busy_s for r in (first, second, third)] == [0.5, 1, 0.25]
    assert [r.in_flight for r in (first, second, third)] == [1, 1, 0]
    assert (third.consumed, third.emitted, third.lag_ms_p95, third.interval_s) == (1, 2, 1750, 1)


def test_calls_at_the_same_time_add_up() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.call_began()
    meter.call_began()
    clock.now += 1
    assert meter.read().busy_s == 2


def test_a_call_of_the_loop_itself_counts_as_far_as_it_got() -> None:
    """Else one worker stuck in a slow call looks idle, or its time is counted twice."""
    clock = Clock()
    meter = Meter(clock)
    meter.own = 0.25, clock.now
    clock.now += 0.5
    first = meter.read()
    clock.now += 1
    meter.own = 1.75, None
    meter.calls_timed([1.5])
    second = meter.read()
    assert (first.busy_s, second.busy_s, second.process_ms_p50, meter.read().busy_s) == (0.75, 1, 1500, 0)


def test_each_way_of_leaving_ends_being_in_flight() -> None:
    """Else a service that drops or buries messages seems to work on more and more of them."""
    meter = Meter(Clock())
    for _ in range(6):
        meter.message_begun()
    meter.messages_finished(2, 3, [-5.0, -7.0])
    meter.messages_buried(1)
    meter.message_failed()
    meter.message_dropped()
    reading = meter.read()
    assert (reading.consumed, reading.emitted, reading.failed, reading.dead_letters) == (2, 3, 2, 1)
    assert (reading.in_flight, reading.lag_ms_p95) == (1, 0)


def test_a_reading_starts_from_nothing() -> None:
    meter = Meter(Clock())
    meter.message_begun()
    meter.messages_finished(1, 1, [])
    assert meter.read().consumed == 1
    again = meter.read()
    assert (again.consumed, again.emitted, again.lag_ms_p95) == (0, 0, None)


def test_the_lag_is_the_95th_percentile_and_bounded_in_memory() -> None:
    meter = Meter(Clock())
    for age in range(1, 101):
        meter.messages_finished(1, 0, [age])
    assert meter.read().lag_ms_p95 == 95
    for age in range(20 * SAMPLES):
        meter.messages_finished(1, 0, [age])
    found = meter.read().lag_ms_p95
    assert found is not None
    assert 0.93 < found / (20 * SAMPLES) < 0.97


def test_cpu_is_a_share_of_one_core() -> None:
    wall, cpu = Clock(), Clock()
    share = CpuShare(wall, cpu)
    wall.now += 2
    cpu.now += 0.5
    assert share.read() == 0.25
    assert share.read() is None


def test_memory_is_read_in_megabytes() -> None:
    found = rss_mb()
    assert found is not None
    assert 5 < found < 5000


def test_a_lasting_condition_is_logged_once_per_quiet_time() -> None:
    """Else a long outage fills the card of a device."""
    clock = Clock()
    throttle = Throttle(10, clock)
    assert [throttle.allows("a"), throttle.allows("a"), throttle.allows("b")] == [True, False, True]
    clock.now += 10
    assert throttle.allows("a")
