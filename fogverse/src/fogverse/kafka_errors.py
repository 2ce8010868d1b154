"""Which of Kafka's errors end a run and which pass by themselves."""

from __future__ import annotations

from confluent_kafka import KafkaError

#: The broker knows us and says no: waiting does not help, a person must.
_REFUSALS = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.INCONSISTENT_GROUP_PROTOCOL,
    }
)
#: This record will never be taken, others may.
_BAD_RECORD = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE, KafkaError.INVALID_RECORD})
#: Another producer has the transactional id by now, or the broker has ended a transaction that took too long.
_FENCED = frozenset({KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH})
#: A rebalance is going on; what was asked will be asked again after it.
_REBALANCE = frozenset({KafkaError.REBALANCE_IN_PROGRESS, KafkaError.ILLEGAL_GENERATION})
#: A broker has started or a coordinator has moved a moment ago: the group can be asked for soon.
_COORDINATOR_COMING = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
    }
)


def is_coordinator_coming(error: KafkaError) -> bool:
    """True if the group's coordinator is not ready, which passes by itself."""
    return error.code() in _COORDINATOR_COMING


def is_refusal(error: KafkaError) -> bool:
    """True if only a person can mend it."""
    return error.fatal() or error.code() in _REFUSALS or is_distrust(error)


def is_distrust(error: KafkaError) -> bool:
    """True if one side does not trust the other's certificate; other troubles with TLS may pass, as in a restart."""
    text = error.str()
    return error.code() == KafkaError._SSL and ("certificate verify failed" in text or "alert" in text)


def is_bad_record(error: KafkaError) -> bool:
    """True if it is the record's own fault, which makes it the callable's."""
    return error.code() in _BAD_RECORD


def is_too_large(error: KafkaError) -> bool:
    """True if the record is larger than the producer or the broker allows, or was sent along with such a one."""
    return error.code() in (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE)


def is_undeliverable(error: KafkaError) -> bool:
    """True if the same output would fail again: too large, or its topic or partition is refused or not there."""
    return (
        is_bad_record(error)
        or is_too_large(error)
        or is_unknown_topic(error)
        or error.code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError._UNKNOWN_PARTITION)
    )


def is_fenced(error: KafkaError) -> bool:
    """True if this producer may not go on, since another has its name."""
    return error.code() in _FENCED


def is_rebalance(error: KafkaError) -> bool:
    """True if it passes with the rebalance."""
    return error.code() in _REBALANCE


def is_unknown_topic(error: KafkaError) -> bool:
    """True if the topic does not exist (yet)."""
    return error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)


def passing(error: KafkaError) -> str:
    """What the log says about an error that librdkafka goes on working against."""
    advice = "it goes on trying"
    if error.code() == KafkaError._ALL_BROKERS_DOWN:
        # A listener that wants TLS or SASL just hangs up on a client without: librdkafka knows no more either.
        advice += "; if the broker runs, compare FOGVERSE_KAFKA_SECURITY_PROTOCOL with its listener"
    return f"{error.str()} ({advice})"


def refused(who: str, error: KafkaError) -> str:
    """What the log says about an error after which there is no use in trying."""
    if is_distrust(error):
        return (
            f"the {who} and the broker do not trust each other's certificates, see FOGVERSE_KAFKA_SSL_*: {error.str()}"
        )
    return f"the broker refuses the {who}: {error.str()}"
