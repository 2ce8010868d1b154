"""Settings: defaults, the inventory's values, the environment's."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.errors import SettingsInvalid
from orchestrator.settings import Settings

PROJECT = Path(__file__).parents[2]


def test_defaults_are_those_that_existing_deployments_count_on() -> None:
    settings, notices = Settings.load({}, {})

    assert notices == ()
    assert settings.deploy_delay == 60
    assert settings.z_value == 3
    assert settings.window_max_second == 300
    assert settings.input_output_ratio_threshold == 0.8
    assert settings.input_output_refresh_rate == 60
    assert settings.heartbeat_deploy_delay == 120
    assert settings.observer_consumer_topic == "observer"
    assert settings.observer_consumer_group_id == "observer"
    assert settings.observer_consumer_servers is None
    assert settings.kafka_admin_host is None


def test_the_environment_wins_over_the_file() -> None:
    settings, _ = Settings.load(
        {"deploy_delay": 30, "z_value": 2}, {"DEPLOY_DELAY": "10", "SLEEP_TIME": "", "PATH": "/bin"}
    )

    assert (settings.deploy_delay, settings.z_value, settings.sleep_time) == (10, 2, 1)


def test_servers_are_read_as_people_write_them() -> None:
    settings, _ = Settings.load(
        {"kafka_admin_host": ["kafka-1", "[2001:db8::1]:9093"]},
        {"OBSERVER_CONSUMER_SERVERS": "10.0.0.1:9092, kafka-2"},
    )

    assert settings.kafka_admin_host == ("kafka-1:9092", "[2001:db8::1]:9093")
    assert settings.observer_consumer_servers == ("10.0.0.1:9092", "kafka-2:9092")


@pytest.mark.parametrize("place", ["file", "environment"])
def test_the_old_misspelling_is_understood_with_a_notice(place: str) -> None:
    """An existing deployment's environment file must go on working."""
    in_file = {"hearbeart_deploy_delay": 45} if place == "file" else {}
    environ = {"HEARBEART_DEPLOY_DELAY": "45"} if place == "environment" else {}

    settings, notices = Settings.load(in_file, environ)

    assert settings.heartbeat_deploy_delay == 45
    assert len(notices) == 1
    assert "HEARTBEAT_DEPLOY_DELAY" in notices[0].upper()


def test_the_right_spelling_wins_over_the_misspelt_one() -> None:
    settings, _ = Settings.load({}, {"HEARBEART_DEPLOY_DELAY": "45", "HEARTBEAT_DEPLOY_DELAY": "50"})
    assert settings.heartbeat_deploy_delay == 50

    settings, _ = Settings.load({"hearbeart_deploy_delay": 45, "heartbeat_deploy_delay": 50}, {})
    assert settings.heartbeat_deploy_delay == 50


def test_all_problems_are_reported_at_once_with_where_they_come_from() -> None:
    with pytest.raises(SettingsInvalid) as caught:
        Settings.load({"z_value": 0, "deploy_dely": 5}, {"SLEEP_TIME": "fast", "KAFKA_ADMIN_HOST": "a b"})

    problems = {problem.key: (problem.value, problem.allowed) for problem in caught.value.problems}
    assert problems["fogverse_settings.z_value"] == ("0", "more than 0")
    assert "did you mean 'deploy_delay'?" in problems["fogverse_settings.deploy_dely"][1]
    assert problems["environment variable SLEEP_TIME"] == ('"fast"', "a number")
    assert "HOST:PORT" in problems["environment variable KAFKA_ADMIN_HOST"][1]
    assert len(problems) == 4


def test_a_window_that_cannot_hold_a_decision_is_refused() -> None:
    """With a window shorter than the refresh the policy would never see enough, and never act."""
    with pytest.raises(SettingsInvalid, match=r"fogverse_settings\.window_max_second: 30: .*below 3 times"):
        Settings.load({"window_max_second": 30}, {})


@pytest.mark.parametrize("value", ["nan", "inf", True])
def test_a_duration_is_a_finite_number(value: object) -> None:
    """``inf`` seconds is a cooldown that never ends; ``yes`` is not one second."""
    with pytest.raises(SettingsInvalid, match=r"fogverse_settings\.deploy_delay"):
        Settings.load({"deploy_delay": value}, {})


def test_the_documentation_lists_what_there_is() -> None:
    """A stale table makes people set what has no effect."""
    command = [sys.executable, "-m", "orchestrator.settings"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PROJECT).stdout

    documented = (PROJECT / "docs/settings.md").read_text()
    part = re.search(r"<!-- settings:.*?-->\n\n(.*?)\n<!-- end of settings -->", documented, re.DOTALL)
    assert part
    assert part[1] == printed
