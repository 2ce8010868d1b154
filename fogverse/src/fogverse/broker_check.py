"""What ``fogverse check`` asks the broker. Nothing is written, and no group is joined."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic, sleep, time
from typing import Any

from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it exports them, if not for mypy
    AclOperation,
    AdminClient,
    ConfigResource,
    OffsetSpec,
)

from fogverse.exit_codes import ExitCode
from fogverse.findings import Finding, fail, ok, warn
from fogverse.kafka_config import admin_config
from fogverse.kafka_errors import is_distrust, is_refusal, is_unknown_topic, passing
from fogverse.settings import Settings

#: Seconds for one question.
ASK_S = 10.0
#: Seconds that clocks may differ: what time synchronisation keeps, and the age of a report, are less.
SKEW_S = 2.0
_COMING = frozenset(
    {KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.NOT_COORDINATOR}
)
_REFUSED = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED})


def broker_findings(settings: Settings) -> Iterator[Finding]:
    """Broker, topics, group and clock, in this order; without a broker the rest is not asked."""
    told: list[KafkaError] = []
    admin = AdminClient(admin_config(settings) | {"error_cb": told.append, "log_level": 0})
    reached = _broker(admin, settings, told)
    yield reached
    if reached.level == "fail":
        return
    source, partitions = _source(admin, settings)
    yield source
    for subject, topic, level in (
        ("target topic", settings.target_topic, "fail"),
        ("dead-letter topic", settings.dead_letter_topic if settings.on_failure == "dead_letter" else None, "fail"),
        ("observer topic", settings.observer_topic, "warn"),
    ):
        if topic is not None:
            yield _written(admin, f"{subject} {topic}", topic, needed=level == "fail")
    yield _group(admin, settings, partitions)
    yield _clock(admin, settings.observer_topic)


def _broker(admin: AdminClient, settings: Settings, told: list[KafkaError]) -> Finding:
    subject = f"broker {settings.bootstrap_servers}"
    deadline = monotonic() + ASK_S
    while True:
        try:
            brokers = admin.list_topics(timeout=1).brokers
        except KafkaException as error:
            admin.poll(0)
            refused = [found for found in told if is_refusal(found)]
            if refused or monotonic() > deadline:
                reason = passing(told[-1]) if told and not refused else (refused or [error.args[0]])[0].str()
                mend = "is it running, and is this its address?"
                if refused:
                    mend = "FOGVERSE_KAFKA_SSL_*" if is_distrust(refused[0]) else "user, password and security settings"
                return fail(subject, ExitCode.REFUSED, reason, mend)
        else:
            return ok(subject, f"reached, {len(brokers)} broker{'s' if len(brokers) > 1 else ''}")


def _described(admin: AdminClient, topic: str) -> Any:
    """The topic's description; None if it does not exist.

    Raises:
        KafkaException: the broker does not say.
    """
    try:
        asked = admin.describe_topics(
            TopicCollection([topic]), include_authorized_operations=True, request_timeout=ASK_S
        )
        return asked[topic].result(ASK_S + 1)
    except KafkaException as error:
        if is_unknown_topic(error.args[0]):
            return None
        raise


def _source(admin: AdminClient, settings: Settings) -> tuple[Finding, int | None]:
    topic, subject = settings.source_topic, f"source topic {settings.source_topic}"
    try:
        found = _described(admin, topic)
    except KafkaException as error:
        return _unanswered(subject, error, "READ and DESCRIBE", needed=True), None
    if found is None:
        if settings.autoscale:
            return ok(subject, "missing; it would be made (FOGVERSE_AUTOSCALE)"), None
        waits = f"missing; a run would wait {settings.topic_timeout_s:.0f} s for it"
        return fail(subject, ExitCode.REFUSED, waits, "create it, or set FOGVERSE_AUTOSCALE=1"), None
    count = len(found.partitions)
    if not _may(found, AclOperation.READ):
        return fail(subject, ExitCode.REFUSED, "this user may not read it", "grant READ"), count
    return ok(subject, f"{count} partition{'s' if count != 1 else ''}"), count


def _written(admin: AdminClient, subject: str, topic: str, *, needed: bool) -> Finding:
    try:
        found = _described(admin, topic)
    except KafkaException as error:
        return _unanswered(subject, error, "WRITE and DESCRIBE", needed=needed)
    if found is None:
        if not needed:
            return warn(subject, "missing: reports would be dropped", "create it")
        return fail(subject, ExitCode.REFUSED, "missing", "create it, unless the broker creates topics by itself")
    if not _may(found, AclOperation.WRITE):
        text = "this user may not write to it"
        return fail(subject, ExitCode.REFUSED, text, "grant WRITE") if needed else warn(subject, text, "grant WRITE")
    return ok(subject, "exists, may be written to")


def _group(admin: AdminClient, settings: Settings, partitions: int | None) -> Finding:
    name = settings.group_id
    subject = f"group {name}"
    try:
        found = _group_described(admin, name)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return ok(subject, "new")
        return _unanswered(subject, error, "READ and DESCRIBE", needed=True)
    if not _may(found, AclOperation.READ):
        return fail(subject, ExitCode.REFUSED, "this user may not join it", "grant READ on the group")
    members = {member.client_id for member in found.members}
    if settings.instance in members:
        return warn(subject, f"{settings.instance} is a member already", "does it run somewhere else?")
    if found.state in {ConsumerGroupState.DEAD, ConsumerGroupState.EMPTY}:
        return ok(subject, "no members")
    text = f"{len(found.members)} member{'s' if len(found.members) != 1 else ''}"
    if partitions is not None and len(found.members) >= partitions and not settings.autoscale:
        text += f" for {partitions} partition{'s' if partitions != 1 else ''}: one more would wait for its own"
        return warn(subject, text, "grow the topic, run a master, or set FOGVERSE_AUTOSCALE=1")
    return ok(subject, text)


def _group_described(admin: AdminClient, name: str) -> Any:
    """The group's description; waits for a coordinator, which a new cluster only makes when it is asked for.

    Raises:
        KafkaException: the broker does not say.
    """
    deadline = monotonic() + ASK_S
    while True:
        asked = admin.describe_consumer_groups([name], include_authorized_operations=True, request_timeout=ASK_S)
        try:
            return asked[name].result(ASK_S + 1)
        except KafkaException as error:
            if error.args[0].code() not in _COMING or monotonic() > deadline:
                raise
            sleep(0.2)


def _clock(admin: AdminClient, topic: str) -> Finding:
    """Compare with the newest time that the broker itself has written: Kafka does not tell the time otherwise."""
    try:
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        config = admin.describe_configs([resource], request_timeout=ASK_S)[resource].result(ASK_S + 1)
        if config["message.timestamp.type"].value != "LogAppendTime":
            return warn("clock", f"not compared: times in {topic} are not the broker's", "LogAppendTime there helps")
        partitions = admin.list_topics(topic, timeout=ASK_S).topics[topic].partitions
        places = {TopicPartition(topic, number): OffsetSpec.max_timestamp() for number in partitions}  # type: ignore[no-untyped-call]
        answers = admin.list_offsets(places, request_timeout=ASK_S).values()
        newest_ms = max((answer.result(ASK_S + 1).timestamp for answer in answers), default=-1)
    except KafkaException as error:
        return warn("clock", f"not compared: {error.args[0].str()}")
    if newest_ms < 0:
        return warn("clock", f"not compared: nothing has been reported to {topic} yet")
    ahead_s = newest_ms / 1000 - time()
    if ahead_s > SKEW_S:
        return warn("clock", f"at least {ahead_s:.0f} s behind the broker's", "lags in reports are wrong: set up NTP")
    if ahead_s < -SKEW_S:
        return warn("clock", f"not compared: the last report is {-ahead_s:.0f} s old by this device's clock")
    return ok("clock", f"within {SKEW_S:.0f} s of the broker's")


def _may(found: Any, operation: AclOperation) -> bool:
    """Whether an operation is allowed; brokers without an authorizer, and old ones, allow all or tell nothing."""
    allowed = found.authorized_operations
    return not allowed or operation in allowed or AclOperation.ALL in allowed


def _unanswered(subject: str, error: KafkaException, rights: str, *, needed: bool) -> Finding:
    reason = f"{error.args[0].name()}: {error.args[0].str()}"
    refused = error.args[0].code() in _REFUSED
    mend = f"grant {rights}" if refused else "ask again"
    return fail(subject, ExitCode.REFUSED, reason, mend) if needed and refused else warn(subject, reason, mend)
