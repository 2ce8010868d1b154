"""Reading the runtime's settings: wrong ones must be seen before anything runs, and secrets must stay secret."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from fogverse import cli
from fogverse.kafka_config import consumer_config, producer_config, report_config, transaction_config
from fogverse.security import DEFAULTS, MEANINGS, PREFIX, SECRETS
from fogverse.setting_table import TABLE
from fogverse.settings import Settings, SettingsError

ENOUGH = {
    "FOGVERSE_BOOTSTRAP_SERVERS": "kafka-1:9092, kafka-2:9092",
    "FOGVERSE_SOURCE_TOPIC": "analyze",
    "FOGVERSE_GROUP_ID": "analyzer-group",
}
SASL = {
    "FOGVERSE_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "FOGVERSE_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "FOGVERSE_KAFKA_SASL_PLAIN_USERNAME": "pi",
    "FOGVERSE_KAFKA_SASL_PLAIN_PASSWORD": "hush-hush",
}


def problems(environ: dict[str, str], **given: object) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(environ, given)
    return caught.value.problems


def test_the_least_settings_give_the_documented_defaults() -> None:
    settings = Settings.from_environment(ENOUGH | {"FOGVERSE_HOST": "pi-3"})
    assert settings.bootstrap_servers == "kafka-1:9092,kafka-2:9092"
    assert (settings.service, settings.instance) == ("analyzer-group", "analyzer-group@pi-3.1")
    assert (settings.target_topic, settings.workers, settings.ordering) == (None, 1, "none")
    assert (settings.observer_topic, settings.drain_timeout_s, settings.topic_timeout_s) == ("observer", 20, 120)


def test_the_instance_name_of_the_unit_gives_service_and_host() -> None:
    """Else reports of a device would carry the host name of its image instead of its name in the inventory."""
    settings = Settings.from_environment(ENOUGH | {"FOGVERSE_INSTANCE": "analyzer@pi-3.lan.2"})
    assert (settings.service, settings.host) == ("analyzer", "pi-3.lan")


def test_a_given_value_wins_over_the_environment_and_an_empty_variable_counts_as_unset() -> None:
    settings = Settings.from_environment(
        ENOUGH | {"FOGVERSE_WORKERS": "2", "FOGVERSE_TARGET_TOPIC": ""}, {"workers": 4, "ordering": None}
    )
    assert (settings.workers, settings.target_topic, settings.ordering) == (4, None, "none")


def test_every_problem_is_told_at_once() -> None:
    """Else mending a device's settings takes one restart for each."""
    told = problems(
        {
            "FOGVERSE_BOOTSTRAP_SERVERS": "kafka-1",
            "FOGVERSE_SOURCE_TOPIC": "no blanks",
            "FOGVERSE_WORKERS": "0",
            "FOGVERSE_ORDERING": "random",
            "FOGVERSE_DRAIN_TIMEOUT_S": "soon",
            "FOGVERSE_KAFKA_SASL_PASSWORD": "x",
        }
    )
    assert len(told) == 7
    for number, variable in enumerate(
        (
            "BOOTSTRAP_SERVERS",
            "SOURCE_TOPIC",
            "GROUP_ID",
            "WORKERS",
            "ORDERING",
            "DRAIN_TIMEOUT_S",
            "KAFKA_SASL_PASSWORD",
        )
    ):
        assert told[number].startswith(f"FOGVERSE_{variable}"), told
    assert "(--workers): a whole number from 1 to 1024 is needed" in told[3]


def test_a_service_that_would_feed_itself_is_refused() -> None:
    assert "feed itself" in problems(ENOUGH | {"FOGVERSE_TARGET_TOPIC": "analyze"})[0]


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        ({"FOGVERSE_KAFKA_SECURITY_PROTOCOL": "TLS"}, "one of PLAINTEXT, SSL"),
        ({"FOGVERSE_KAFKA_SASL_PLAIN_PASSWORD": "hush-hush"}, "would not use it: choose SASL_SSL"),
        ({"FOGVERSE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "SASL_MECHANISM is missing"),
        (SASL | {"FOGVERSE_KAFKA_SASL_MECHANISM": "GSSAPI"}, "one of PLAIN, SCRAM-SHA-256"),
        ({"FOGVERSE_KAFKA_SSL_CAFILE": "/ca.pem"}, "choose SSL or SASL_SSL"),
        ({"FOGVERSE_KAFKA_SECURITY_PROTOCOL": "SSL", "FOGVERSE_KAFKA_SSL_CAFILE": "/no/ca.pem"}, "no such file"),
        ({"FOGVERSE_KAFKA_SSL_CHECK_HOSTNAME": "perhaps"}, "true or false is needed"),
    ],
)
def test_security_settings_that_contradict_each_other_are_told(environ: dict[str, str], text: str) -> None:
    """Else a password could be set and the connection still be open to everybody."""
    told = " ".join(problems(ENOUGH | environ))
    assert text in told
    assert "hush-hush" not in told


def test_security_settings_reach_librdkafka_under_its_own_names(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.touch()
    settings = Settings.from_environment(
        ENOUGH
        | SASL
        | {
            "FOGVERSE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "FOGVERSE_KAFKA_SSL_CAFILE": str(authority),
            "FOGVERSE_KAFKA_SSL_CHECK_HOSTNAME": "no",
        }
    )
    for config in (consumer_config(settings), producer_config(settings), report_config(settings)):
        assert config["security.protocol"] == "SASL_SSL"
        assert config["sasl.mechanism"] == "SCRAM-SHA-512"
        assert (config["sasl.username"], config["sasl.password"]) == ("pi", "hush-hush")
        assert config["ssl.ca.location"] == str(authority)
        assert config["ssl.endpoint.identification.algorithm"] == "none"


def test_passwords_are_in_no_text_of_the_settings() -> None:
    """Else they end up in a log or a bug report."""
    assert "hush-hush" not in repr(Settings.from_environment(ENOUGH | SASL))


def test_a_secret_may_be_in_a_file_and_what_is_wrong_with_it_is_told(tmp_path: Path) -> None:
    """Lost: passwords that only their process can read, since a process' environment is shown by /proc."""
    variable = "FOGVERSE_KAFKA_SASL_PLAIN_PASSWORD_FILE"
    others = ENOUGH | {name: text for name, text in SASL.items() if not name.endswith("PASSWORD")}
    file = tmp_path / "password"
    file.write_text("hush hush \n")
    found = Settings.from_environment(others | {variable: str(file)})
    assert found.security.sasl_plain_password == "hush hush ", "only the line break is the editor's"
    assert problems(ENOUGH | SASL | {variable: str(file)}) == (
        f"{variable} and FOGVERSE_KAFKA_SASL_PLAIN_PASSWORD are both set: one of them is needed",
    )
    assert "No such file" in problems(others | {variable: str(tmp_path / "none")})[0]
    file.write_text("\n")
    assert f"{variable}={file}: the file is empty" in problems(others | {variable: str(file)})


def test_the_table_and_the_settings_agree() -> None:
    """Else a setting would exist that nobody can set, or be documented and not exist."""
    assert {s.name for s in TABLE} | {"security"} == {f.name for f in fields(Settings)}


@pytest.mark.parametrize("command", ["run", "check"])
def test_help_explains_every_setting(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Flag, variable, default and unit: else a user has to read the code."""
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    shown = "".join(capsys.readouterr().out.split())  # lines are broken anywhere
    for setting in TABLE:
        default = "required" if setting.required else f"default: {setting.default or setting.fallback}"
        unit = f"; unit: {setting.unit}" if setting.unit else ""
        value = f",--no-{setting.flag[2:]}" if setting.switch else "X"
        assert f"{setting.flag}{value}{setting.meaning}".replace(" ", "") in shown
        assert f"[{setting.variable}; {default}{unit}]".replace(" ", "") in shown
    for name in MEANINGS:
        if name in SECRETS:
            assert PREFIX + name.upper() in shown
        else:
            assert f"--kafka-{name.replace('_', '-')}X" in shown
            assert f"[{PREFIX}{name.upper()};default:{DEFAULTS.get(name, 'none')}]".replace(" ", "") in shown


def test_a_wrong_setting_ends_the_command_with_exit_code_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("logging.root.handlers", [])
    monkeypatch.setattr("logging.root.level", 30)
    for setting in TABLE:
        monkeypatch.delenv(setting.variable, raising=False)
    assert cli.main(["run", "json:dumps", "--workers", "many", "--group-id", "g"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 3
    assert "FOGVERSE_WORKERS=many (--workers)" in told[2]


def test_dead_letters_come_with_a_topic_or_are_asked_for_and_bring_retries() -> None:
    """Else naming a dead-letter topic would change nothing, or today's services would skip messages unasked."""
    plain = Settings.from_environment(ENOUGH)
    assert (plain.on_failure, plain.retries, plain.dead_letter_topic) == ("stop", 0, None)
    named = Settings.from_environment(ENOUGH | {"FOGVERSE_DEAD_LETTER_TOPIC": "lost"})
    assert (named.on_failure, named.retries, named.dead_letter_topic) == ("dead_letter", 3, "lost")
    asked = Settings.from_environment(ENOUGH | {"FOGVERSE_ON_FAILURE": "dead_letter", "FOGVERSE_RETRIES": "0"})
    assert (asked.retries, asked.dead_letter_topic) == (0, "analyze.dead")
    assert "go round for ever" in problems(ENOUGH | {"FOGVERSE_DEAD_LETTER_TOPIC": "analyze"})[0]


def test_transactions_carry_the_name_of_the_instance_and_end_before_they_are_ended() -> None:
    """Else a new process would not fence its predecessor, or each outage would fence the only one."""
    environ = ENOUGH | {"FOGVERSE_EXACTLY_ONCE": "True", "FOGVERSE_INSTANCE": "analyzer@pi-3.1"}
    settings = Settings.from_environment(environ)
    assert settings.exactly_once
    config = transaction_config(settings)
    assert config["transactional.id"] == "analyzer-group/analyzer@pi-3.1"
    assert 0 < config["message.timeout.ms"] < config["transaction.timeout.ms"]
    assert consumer_config(settings)["isolation.level"] == "read_committed"


def test_a_start_and_a_promise_that_do_not_exist_are_refused() -> None:
    told = problems(ENOUGH | {"FOGVERSE_START": "now", "FOGVERSE_EXACTLY_ONCE": "perhaps"})
    assert "one of earliest, latest is needed" in told[0]
    assert "true or false is needed" in told[1]
