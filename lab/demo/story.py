"""The story: one instance, a rate that it can carry, a lone spike, then an overload that lasts."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from incident_detection.crawler import Crawler
from lab.demo.report import DemoReport
from lab.demo.screen import Screen
from lab.demo.witness import Witness
from orchestrator.broker import ledger
from orchestrator.broker.cluster import Cluster
from orchestrator.broker.ledger import Entry
from orchestrator.broker.tail import tail
from orchestrator.cli.context import Context
from orchestrator.core.tally import Tally
from orchestrator.status import ServiceStatus, collect

SERVICE = "analyzer"
#: Shares of what one instance can finish.
CARRIED, SPIKE, OVERLOAD = 0.4, 5.0, 1.8
SPIKE_S = 4.0
#: The measuring burst must have left the window before the spike: window_max_second and a margin.
CALM_S = 47.0
AFTER_SPIKE_S = 16.0
HOLD_S = 15.0
_TICK_S = 1.0


class StoryFailed(Exception):  # noqa: N818 - it reads as what happened
    """Something that the story waits for did not happen in time; the text says what."""


@dataclass(slots=True)
class _Seen:
    """What is collected on the way."""

    lag_peak: int = 0
    partitions_before: int | None = None
    overload_at: float | None = None
    recovered: bool = False


class Story:
    """Tells the story on a lab whose devices are prepared and whose master runs."""

    def __init__(self, context: Context, screen: Screen) -> None:
        """Take the inventory and settings, already inside the lab's network, and the screen."""
        self._context = context
        self._screen = screen
        self._service = next(s for s in context.inventory.services if s.name == SERVICE)
        bootstrap = ",".join(context.inventory.kafka.bootstrap_servers)
        self._cluster = Cluster(context.admin_options())
        self._crawler = Crawler(bootstrap, topic=self._service.source_topic, rate=0)
        self._witness = Witness(bootstrap, self._service.target_topic or "")
        self._seen = _Seen()
        self._began = time.time()

    def tell(self, master_alive: Callable[[], bool]) -> DemoReport:
        """Tell it; takes three to four minutes.

        Raises:
            StoryFailed: something did not happen in time.
            CrawlerError: the broker took no messages.
        """
        self._alive = master_alive
        say = self._screen.say
        say("the master finds no instance and starts the first one")
        self._until(lambda s: self._step_of(s, "proved"), 90, "the first instance was not proved")
        self._seen.partitions_before = self._status().partitions
        self._crawler.start()
        self._witness.start()
        # However slow this machine is, the burst must not be taken for the overload.
        self._order("pause", SERVICE, "--for", "3m")
        capacity = self._measure()
        self._order("resume", SERVICE)
        rates = {"carried": CARRIED * capacity, "spike": SPIKE * capacity, "overload": OVERLOAD * capacity}
        say(f"a rate that one instance carries: {rates['carried']:,.0f}/s", "bold")
        self._crawler.set_rate(rates["carried"])
        self._for(CALM_S)
        say(f"a lone spike: {rates['spike']:,.0f}/s for {SPIKE_S:g} s", "bold")
        self._crawler.set_rate(rates["spike"])
        self._for(SPIKE_S)
        self._crawler.set_rate(rates["carried"])
        self._for(AFTER_SPIKE_S)
        spike = self._decision("spike")
        say(f"nothing was started: {spike}" if spike else "no decision named the spike", "yellow")
        say(
            f"an overload that lasts: {rates['overload']:,.0f}/s, {OVERLOAD} times what one instance can finish", "bold"
        )
        self._seen.overload_at = time.time()
        self._crawler.set_rate(rates["overload"])
        self._until(lambda s: len(s.instances) > 1 and self._step_of(s, "proved"), 90, "no second instance was proved")
        say("a second instance works; the overload goes on", "green")
        threshold = self._context.settings.input_output_ratio_threshold
        self._until(lambda s: (s.ratio or 0) >= threshold, 60, "the ratio did not recover")
        self._for(HOLD_S)
        self._seen.recovered = (self._status().ratio or 0) >= threshold
        self._screen.keep_table()
        say(f"back to {rates['carried']:,.0f}/s: the two of them work off what was left")
        self._crawler.set_rate(rates["carried"])
        self._until(lambda s: s.lag is not None and s.lag < capacity, 60, "the lag did not go down")
        produced = self._crawler.stop()
        self._until(lambda s: s.lag == 0 and self._witness.unique() >= produced, 45, "", fatal=False)
        return self._report(produced, capacity, rates)

    def close(self) -> None:
        """Stop sending and reading."""
        self._crawler.stop(timeout_s=5)
        self._witness.close()
        self._cluster.close()

    def _order(self, *words: str) -> None:
        """Give the master an order, as an operator does."""
        self._screen.say(f"orchestrator {' '.join(words)}")
        program = str(Path(sys.executable).with_name("orchestrator"))
        command = [program, "-i", str(self._context.inventory.path), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode:
            raise StoryFailed(f"orchestrator {' '.join(words)} ended with {done.returncode}: {done.stderr.strip()}")

    def _measure(self) -> float:
        """What one instance finishes per second when more waits than it can take."""
        self._screen.say("a short burst, to measure what one instance can finish")
        burst = 2_000.0
        for _ in range(5):
            self._crawler.set_rate(burst)
            self._for(1.0)
            self._crawler.set_rate(0)
            first, began = self._witness.unique(), time.monotonic()
            self._for(1.5)
            rate = (self._witness.unique() - first) / (time.monotonic() - began)
            waiting = self._status().lag
            if waiting is not None and waiting > rate / 2:
                self._until(lambda s: s.lag == 0, 60, "the burst was not worked off")
                self._screen.say(f"one instance finishes about {rate:,.0f} messages per second")
                return rate
            burst *= 3
        raise StoryFailed(f"one instance took {burst / 3:,.0f} messages in a second: too fast for this demo")

    def _status(self) -> ServiceStatus:
        status = collect(self._context.inventory, self._context.settings, self._cluster, time.time())
        service = next(s for s in status.services if s.name == SERVICE)
        self._screen.show(status)
        self._seen.lag_peak = max(self._seen.lag_peak, service.lag or 0)
        return service

    def _for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if left > _TICK_S:
                self._status()
            time.sleep(max(0.0, min(_TICK_S / 2, end - time.monotonic())))

    def _until(
        self, condition: Callable[[ServiceStatus], object], deadline_s: float, words: str, *, fatal: bool = True
    ) -> None:
        end = time.monotonic() + deadline_s
        while not condition(self._status()):
            if not self._alive():
                raise StoryFailed("the master has ended; its log is in demo-master.log")
            if time.monotonic() > end:
                if fatal:
                    raise StoryFailed(f"{words} within {deadline_s:g} s; the master's log is in demo-master.log")
                return
            time.sleep(_TICK_S)

    def _step_of(self, service: ServiceStatus, name: str) -> bool:
        since = self._seen.overload_at or self._began
        return any(step["name"] == name and step["at"] >= since for step in service.steps)

    def _entries(self) -> list[Entry]:
        entries = ledger.read(self._context.inventory.kafka.client_options(), self._context.settings.ledger_topic)
        return [entry for entry in entries if entry.service == SERVICE and entry.at >= self._began]

    def _decision(self, kind: str) -> str | None:
        found = [e.body["reason"] for e in self._entries() if e.kind == "decision" and e.body["kind"] == kind]
        return found[-1] if found else None

    def _report(self, produced: int, capacity: float, rates: dict[str, float]) -> DemoReport:
        entries, seen = self._entries(), self._seen
        overload_at = seen.overload_at or time.time()
        steps = [entry for entry in entries if entry.kind == "step"]
        proved = [step for step in steps if step.body["name"] == "proved"]
        placed = [step for step in steps if step.body["name"] == "placed"]
        second = next((step.body for step in proved if step.at >= overload_at), None)
        status = self._status()
        mine = self._witness.counts(self._crawler.run)
        return DemoReport(
            produced=produced,
            processed=len(mine),
            lost=produced - len(mine),
            duplicates=sum(mine.values()) - len(mine),
            capacity_per_s=round(capacity, 1),
            rates_per_s={name: round(rate, 1) for name, rate in rates.items()},
            decisions=tuple(dict(e.body) for e in entries if e.kind == "decision"),
            partitions_before=seen.partitions_before,
            partitions_after=status.partitions,
            deployments_before_overload=sum(step.at < overload_at for step in placed) - 1,
            second_instance=second["instance"] if second else None,
            second_finished=self._finished(second["instance"]) if second else 0,
            time_to_scale_s={k: v for k, v in second["numbers"].items() if k != "after_s"} if second else {},
            recovered=seen.recovered,
            lag_peak=seen.lag_peak,
            lag_end=status.lag,
            story_s=round(time.time() - self._began, 1),
        )

    def _finished(self, instance: str) -> int:
        """Messages that an instance says it has finished, by its reports on the observer topic."""
        options, topic = self._context.observer_options(), self._context.settings.observer_consumer_topic
        tally = Tally()
        for record in tail(options, topic, since=self._began):
            tally.add(record.value, record.timestamp / 1000)
        return round(sum(messages for _, name, _, _, messages, _ in tally.finished if name == instance))
