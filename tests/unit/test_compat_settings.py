"""FogVerse's variables and attributes: who wins, and what is refused."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from fogverse.compat.config import adopt_topics, consumer_settings, get_config, producer_settings, with_ports
from fogverse.settings import SettingsError


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("FOGVERSE_", "CONSUMER_", "PRODUCER_", "GROUP_ID", "CLIENT_ID", "TOPIC_PATTERN")
    for name in [name for name in os.environ if name.startswith(names)]:
        monkeypatch.delenv(name)


def node(**attributes: object) -> SimpleNamespace:
    return SimpleNamespace(**{"consumer_topic": "a", "group_id": "g", "consumer_servers": "kafka-1", **attributes})


def test_attributes_alone_are_enough() -> None:
    [settings] = consumer_settings(node(producer_topic="b", client_id="g@pi-1.1"))
    assert (settings.source_topic, settings.target_topic, settings.group_id) == ("a", "b", "g")
    assert (settings.bootstrap_servers, settings.instance, settings.host) == ("kafka-1:9092", "g@pi-1.1", "pi-1")


def test_a_variable_wins_over_the_attribute_and_the_units_over_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else an old node on a device would consume what its author's laptop did."""
    monkeypatch.setenv("GROUP_ID", "from-variable")
    monkeypatch.setenv("PRODUCER_TOPIC", "")
    assert consumer_settings(node())[0].group_id == "from-variable"
    assert consumer_settings(node(consumer_conf={"group_id": "from-conf"}))[0].group_id == "from-conf"
    monkeypatch.setenv("FOGVERSE_GROUP_ID", "from-unit")
    monkeypatch.setenv("FOGVERSE_SOURCE_TOPIC", "unit-topic")
    monkeypatch.setenv("FOGVERSE_BOOTSTRAP_SERVERS", "unit:1")
    [settings] = consumer_settings(node(consumer_conf={"group_id": "from-conf"}, producer_topic="b"))
    assert (settings.group_id, settings.source_topic, settings.target_topic) == ("from-unit", "unit-topic", "b")
    assert settings.bootstrap_servers == producer_settings(node()).bootstrap_servers == "unit:1"


def test_a_node_that_asks_for_another_cluster_to_produce_to_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fog node consumes from its own broker and produces to the cloud's."""
    monkeypatch.setenv("FOGVERSE_BOOTSTRAP_SERVERS", "fog:1")
    assert producer_settings(node(producer_servers="cloud:2")).bootstrap_servers == "cloud:2"
    assert producer_settings(node(producer_conf={"bootstrap_servers": ["cloud"]})).bootstrap_servers == "cloud:9092"
    assert consumer_settings(node(producer_servers="cloud:2"))[0].bootstrap_servers == "fog:1"


def test_several_topics_have_a_member_each_with_its_own_name() -> None:
    """Else their reports would overwrite one another."""
    found = consumer_settings(node(consumer_topic="a, b", client_id="g@pi-1.1"))
    assert [(s.source_topic, s.instance) for s in found] == [("a", "g@pi-1.1"), ("b", "g@pi-1-topic2.1")]
    assert [s.source_topic for s in consumer_settings(node(consumer_topic=["x", "y"]))] == ["x", "y"]


def test_security_of_aiokafkas_conf_is_understood_and_the_rest_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """A setting that silently has no effect costs a day."""
    conf = {
        "security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_plain_username": "pi",
        "sasl_plain_password": "hush-hush", "auto_offset_reset": "latest", "loop": None,
    }  # fmt: skip
    [settings] = consumer_settings(node(consumer_conf=conf))
    assert settings.security.sasl_plain_username == "pi"
    assert "auto_offset_reset ignored" in caplog.text
    assert "hush-hush" not in caplog.text


def test_problems_are_told_all_at_once_in_fogverses_words() -> None:
    with pytest.raises(SettingsError) as caught:
        consumer_settings(SimpleNamespace())
    assert len(caught.value.problems) == 2
    assert all("(here also " in problem for problem in caught.value.problems)
    with pytest.raises(SettingsError, match="name the topics in CONSUMER_TOPIC"):
        consumer_settings(node(topic_pattern="^a"))


def test_attributes_say_what_is_really_consumed(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are handed to the auto scaler and to the observer: a wrong one grows the wrong topic."""
    monkeypatch.setenv("FOGVERSE_TARGET_TOPIC", "real-target")
    monkeypatch.setenv("CONSUMER_TOPIC", "real-source")
    made = node(producer_topic="b")
    adopt_topics(made)
    assert (made.consumer_topic, made.producer_topic) == ("real-source", "real-target")
    assert get_config("CONSUMER_TOPIC", made) == "real-source"


def test_servers_get_a_port() -> None:
    assert with_ports("a, b:1,") == with_ports(["a", "b:1"]) == "a:9092,b:1"
