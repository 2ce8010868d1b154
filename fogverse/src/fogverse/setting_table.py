"""Every setting of the runtime in one table, which reads them, writes ``--help`` and checks the docs."""

from __future__ import annotations

from fogverse import texts
from fogverse.setting import Setting

MODES = ("thread", "process")
ORDERINGS = ("none", "key", "partition")
ON_FAILURE = ("stop", "dead_letter")
STARTS = ("earliest", "latest")
LOG_LEVELS = ("debug", "info", "warning", "error")

TABLE = (
    Setting(
        "bootstrap_servers",
        "FOGVERSE_BOOTSTRAP_SERVERS",
        texts.servers,
        "brokers to find the cluster by: host:port, several separated by commas",
        required=True,
    ),
    Setting("source_topic", "FOGVERSE_SOURCE_TOPIC", texts.topic, "topic to consume", required=True),
    Setting(
        "target_topic",
        "FOGVERSE_TARGET_TOPIC",
        texts.topic,
        "topic to produce to; a sink has none",
        fallback="none, a sink",
    ),
    Setting("group_id", "FOGVERSE_GROUP_ID", texts.word, "consumer group that all instances share", required=True),
    Setting(
        "start",
        "FOGVERSE_START",
        texts.one_of(*STARTS),
        "where a group without any position on the topic starts, once: earliest or latest; partitions added later "
        "are always read from their first message",
        default="earliest",
    ),
    Setting(
        "exactly_once",
        "FOGVERSE_EXACTLY_ONCE",
        texts.yes_or_no,
        "true: outputs and positions are committed together in Kafka transactions, so that readers with "
        "isolation.level=read_committed see each output once",
        default="false",
    ),
    Setting(
        "service",
        "FOGVERSE_SERVICE",
        texts.word,
        "name of the service in reports",
        fallback="the instance's part before '@', else the group",
    ),
    Setting(
        "instance",
        "FOGVERSE_INSTANCE",
        texts.word,
        "name of this process: Kafka client id and name in reports",
        fallback="SERVICE@HOST.1",
    ),
    Setting(
        "host",
        "FOGVERSE_HOST",
        texts.word,
        "name of this device in reports",
        fallback="the instance's part between '@' and the last '.', else the host name",
    ),
    Setting(
        "workers",
        "FOGVERSE_WORKERS",
        texts.count(1024),
        "messages worked on at once; 1 works in the loop itself, more in threads beside it",
        default="1",
        unit="messages",
    ),
    Setting(
        "mode",
        "FOGVERSE_MODE",
        texts.one_of(*MODES),
        "where the callable works: thread, or process (one for each worker, which imports it) for work that computes",
        default="thread",
    ),
    Setting(
        "batch",
        "FOGVERSE_BATCH",
        texts.count(10_000),
        "the callable takes a list of up to so many messages, and each worker works on one list at a time",
        fallback="none: it takes one message, not a list",
        unit="messages",
    ),
    Setting(
        "batch_wait_ms",
        "FOGVERSE_BATCH_WAIT_MS",
        texts.milliseconds,
        "how long a message waits for a batch to become full while a worker is free",
        default="50",
        unit="milliseconds",
    ),
    Setting(
        "ordering",
        "FOGVERSE_ORDERING",
        texts.one_of(*ORDERINGS),
        "order to keep with several workers: none, key (within a partition, as Kafka has it) or partition",
        default="none",
    ),
    Setting(
        "max_in_flight",
        "FOGVERSE_MAX_IN_FLIGHT",
        texts.count(1_000_000),
        "messages begun and not finished with several workers, shared out among the partitions: a full one waits",
        default="1000",
        unit="messages",
    ),
    Setting(
        "max_in_flight_mb",
        "FOGVERSE_MAX_IN_FLIGHT_MB",
        texts.megabytes,
        "bytes of these messages from which on nothing more is fetched",
        default="32",
        unit="MB (10^6 bytes)",
    ),
    Setting(
        "on_failure",
        "FOGVERSE_ON_FAILURE",
        texts.one_of(*ON_FAILURE),
        "what becomes of a message after its last retry: stop (exit code 6, not committed) or dead_letter",
        fallback="dead_letter if a dead-letter topic is set, else stop",
    ),
    Setting(
        "retries",
        "FOGVERSE_RETRIES",
        texts.count(1000, 0),
        "how often the callable is called again for a message it failed on",
        fallback="3 with dead_letter, else 0",
        unit="calls",
    ),
    Setting(
        "retry_delay_s",
        "FOGVERSE_RETRY_DELAY_S",
        texts.seconds,
        "pause before the first retry; doubles with each, up to 30 s, less up to half by chance",
        default="0.5",
        unit="seconds",
    ),
    Setting(
        "dead_letter_topic",
        "FOGVERSE_DEAD_LETTER_TOPIC",
        texts.topic,
        "topic for messages that fail for good",
        fallback="SOURCE_TOPIC.dead with dead_letter",
    ),
    Setting(
        "message_timeout_s",
        "FOGVERSE_MESSAGE_TIMEOUT_S",
        texts.seconds,
        "how long a call may last before its message is named as stuck; with mode process its worker is replaced",
        fallback="none",
        unit="seconds",
    ),
    Setting(
        "autoscale",
        "FOGVERSE_AUTOSCALE",
        texts.yes_or_no,
        "make a missing source topic, and let it grow so that every member of the group owns a partition; needless "
        "where a master runs; only with ordering none",
        default="no",
        switch=True,
    ),
    Setting("observer_topic", "OBSERVER_TOPIC", texts.topic, "topic for this instance's reports", default="observer"),
    Setting(
        "release",
        "FOGVERSE_RELEASE",
        texts.word,
        "checksum of the deployed code, for the log; one that is not wanted any more waits until it is replaced",
        fallback="none",
    ),
    Setting(
        "deployed",
        "FOGVERSE_DEPLOYED",
        texts.word,
        "release that a deployment starts right now: whether it is wanted is not asked",
        fallback="none: it is asked",
    ),
    Setting(
        "drain_timeout_s",
        "FOGVERSE_DRAIN_TIMEOUT_S",
        texts.seconds,
        "how long stopping may take before the process ends with exit code 5",
        default="20",
        unit="seconds",
    ),
    Setting(
        "topic_timeout_s",
        "FOGVERSE_TOPIC_TIMEOUT_S",
        texts.seconds,
        "how long a missing source or target topic is waited for before the process ends with exit code 4",
        default="120",
        unit="seconds",
    ),
    Setting(
        "log_level",
        "FOGVERSE_LOG_LEVEL",
        texts.one_of(*LOG_LEVELS),
        "least important lines to log: debug, info, warning or error",
        default="info",
    ),
)
