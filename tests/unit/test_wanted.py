"""Releases that may start by themselves: what the playbooks publish, and what an instance makes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from confluent_kafka import KafkaError, KafkaException

from fogverse import wanted as gate
from fogverse.settings import Settings
from fogverse.stopping import Stopping
from orchestrator import wanted
from orchestrator.core.diagnosis import Diagnosis
from orchestrator.core.fleet import ServiceFleet
from orchestrator.core.health import Sight, Vital, follow
from orchestrator.core.instance import Instance
from orchestrator.core.requirements import HealSettings
from orchestrator.core.treatment import treat

HERE = Instance("slow", "pi-1", 1)


def settings(**given: object) -> Settings:
    needed = {"bootstrap_servers": "kafka-1:9092", "source_topic": "in", "group_id": "slow"}
    return Settings.from_environment({}, needed | given)


def test_master_and_instance_speak_of_the_same_topic_and_number() -> None:
    """Lost otherwise: every device that was off, in silence."""
    assert wanted.releases_topic("observer") == gate.releases_topic("observer")
    assert wanted.MOST_RELEASES <= gate.MOST_RELEASES


def test_during_an_upgrade_both_may_start_and_afterwards_only_the_new_one() -> None:
    """Lost otherwise: a device that reboots while the others are upgraded, or when an upgrade was broken off."""
    both = wanted.after(("old",), "new", only=False)
    assert both == ("new", "old")
    assert wanted.after(both, "new", only=False) == both, "said once"
    assert wanted.after(both, "new", only=True) == ("new",)
    assert wanted.after((), "new", only=False) == (), (
        "what nobody spoke of may start: the release that devices have, too"
    )
    assert wanted.after((), "new", only=True) == ("new",)
    assert len(wanted.after(tuple(map(str, range(40))), "new", only=False)) == wanted.MOST_RELEASES


NONSENSE = [
    b"", b"[]", b"5", b"{", b'{"releases": []}', b'{"releases": "new"}', b'{"releases": [1]}',
    b'{"releases": ["a b"]}', json.dumps({"releases": ["x"] * 17}).encode(), b'{"releases": ["\\u001b[2J"]}',
    b"\xff", None,
]  # fmt: skip


@pytest.mark.parametrize("value", NONSENSE)
def test_a_record_that_makes_no_sense_says_nothing(value: bytes | None) -> None:
    """Lost otherwise: instances that anybody stops, or a terminal that anybody writes to, with one bad record."""
    assert gate.releases_of(value) is None


@pytest.mark.parametrize("value", NONSENSE)
def test_what_instances_do_not_heed_is_said_again(value: bytes | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost otherwise: the gate, for good: the controller takes for said what a bad record or a tombstone has undone."""
    good = b'{"releases": ["new"]}'
    records = [SimpleNamespace(key=b"slow", value=one) for one in (good, value)]
    records += [SimpleNamespace(key=key, value=good) for key in (b"other", b"\xff", None)]
    monkeypatch.setattr(wanted, "tail", lambda *_args, **_options: records)
    said = wanted.read({}, "observer")
    assert "slow" not in said
    assert said["other"] == ("new",)


@pytest.mark.parametrize(("given", "asked"), [({}, 0), ({"release": "a", "deployed": "a"}, 0), ({"release": "a"}, 1)])
def test_only_a_start_that_nobody_ordered_asks(
    given: dict[str, object], asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost otherwise: time to scale, or the question itself."""
    questions: list[Settings] = []
    monkeypatch.setattr(gate, "ask", questions.append)
    assert gate.Gate(settings(**given), Stopping(1), lambda _why, _wanted: None).opens()
    assert len(questions) == asked


def test_an_old_release_waits_until_it_is_wanted_again_and_says_for_what(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost otherwise: messages processed by code that was replaced; or an instance that waits for ever."""
    timed_out = KafkaException(KafkaError(KafkaError._TIMED_OUT))
    answers: Iterator[object] = iter([timed_out, ("new",), ("new", "old")])

    def ask(_settings: Settings) -> object:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(gate, "ask", ask)
    monkeypatch.setattr(gate, "AGAIN_S", 0.0)
    monkeypatch.setattr(gate, "RETRY_S", 0.0)
    told: list[tuple[str, str | None]] = []
    assert gate.Gate(settings(release="old"), Stopping(1), lambda *said: told.append(said)).opens()
    assert [wants for _, wants in told] == [None, "new"]
    assert told[1][0].startswith("waits for release new, has old")


def test_a_stop_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost otherwise: a drain that lasts until systemd kills."""
    stopping = Stopping(1)

    def ask(_settings: Settings) -> tuple[str, ...]:
        stopping.request("SIGTERM")
        return ("new",)

    monkeypatch.setattr(gate, "ask", ask)
    assert not gate.Gate(settings(release="old"), stopping, lambda _why, _wanted: None).opens()


def test_who_may_not_read_the_topic_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost otherwise: every service of a cluster whose access rules are older than this topic."""

    def ask(_settings: Settings) -> None:
        raise KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))

    monkeypatch.setattr(gate, "ask", ask)
    assert gate.Gate(settings(release="old"), Stopping(1), lambda _why, _wanted: None).opens()


class Broker:
    """Stands where the client would be: its answers, and the errors that it tells by the way."""

    records: ClassVar[list[object]] = []
    told: ClassVar[list[KafkaError]] = []
    lists = True
    of_topic: KafkaError | None = None

    def __init__(self, config: dict[str, Any], **_options: object) -> None:
        self.errors, self.left = config["error_cb"], list(self.records)

    def list_topics(self, topic: str, **_options: object) -> object:
        if not self.lists:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        return SimpleNamespace(topics={topic: SimpleNamespace(error=self.of_topic)})

    def assign(self, _partitions: object) -> None:
        """Nobody asks."""

    def poll(self, _timeout_s: float) -> object:
        for error in self.told:
            self.errors(error)
        return self.left.pop(0) if self.left else None

    def close(self) -> None:
        """Nothing is open."""


def test_a_wrong_password_is_told_as_such_while_it_is_asked_what_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost otherwise: hours, since a device that boots with a password of yesterday says that no broker is there."""
    monkeypatch.setattr(gate, "Consumer", Broker)
    monkeypatch.setattr(Broker, "lists", False)
    monkeypatch.setattr(
        Broker,
        "told",
        [KafkaError(KafkaError._ALL_BROKERS_DOWN), KafkaError(KafkaError._AUTHENTICATION, "bad password")],
    )
    stopping, told = Stopping(1), list[str]()

    def waits(why: str, _wanted: str | None) -> None:
        told.append(why)
        stopping.request("enough")

    assert not gate.Gate(settings(release="old"), stopping, waits).opens(), "nor does it run unasked"
    assert told == ["asks which release is wanted: the broker refuses the consumer: bad password"]


def test_a_right_that_is_missing_is_no_wrong_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost otherwise: the services of a cluster whose access rules are older than the topic, as of one without it."""
    refusal = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    monkeypatch.setattr(gate, "Consumer", Broker)
    monkeypatch.setattr(Broker, "of_topic", refusal)
    monkeypatch.setattr(Broker, "told", [refusal])
    assert gate.Gate(settings(release="old"), Stopping(1), lambda _why, _wanted: None).opens()


def test_what_was_read_of_an_endless_topic_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost otherwise: the gate, to whoever floods the topic, or on a slow link: the last record counts."""
    record = SimpleNamespace(error=lambda: None, key=lambda: b"slow", value=lambda: b'{"releases": ["old"]}')
    monkeypatch.setattr(gate, "Consumer", Broker)
    monkeypatch.setattr(gate, "READ_S", 0.05)
    monkeypatch.setattr(Broker, "records", [record] * 1_000_000)
    with pytest.raises(KafkaException, match="not read to its end"):
        gate.ask(settings(release="old"))


@pytest.mark.parametrize(
    ("ours", "enabled", "action"), [("new", True, "upgrade"), ("other", True, "wait"), ("new", False, "wait")]
)
def test_a_waiting_instance_is_brought_what_it_waits_for_and_nothing_else(
    ours: str,
    enabled: bool,
    action: str,
) -> None:
    """Lost otherwise: a device that waits for ever, or that a master with an older folder takes back to old code."""
    sight = Sight(ServiceFleet(observed=()), None, None, reporting=True, at=100.0, outdated={HERE: "new"})
    vitals, [ailment] = follow({}, [HERE], sight, HealSettings())
    assert (ailment.complaint, ailment.waits_for) == ("outdated", "new")
    found = Diagnosis(reachable=True, active="activating" if enabled else "deactivating", sub="start", enabled=enabled)
    treatment = treat(ailment, found, vitals[HERE], HealSettings(), 100.0, ours)
    assert treatment.action == action


def test_a_device_that_waits_but_does_not_answer_is_not_taken_for_gone() -> None:
    """Lost otherwise: a replacement for an instance that says that it is there."""
    sight = Sight(ServiceFleet(observed=()), None, None, reporting=True, at=100.0, outdated={HERE: "new"})
    _, [ailment] = follow({}, [HERE], sight, HealSettings())
    vital = Vital(well_at=0.0, moved_at=0.0)
    assert treat(ailment, Diagnosis(reachable=False), vital, HealSettings(), 100.0, "new").action == "wait"
