"""How to reach the Kafka cluster: the inventory's ``fogverse_kafka``, named as in kafka-python."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, model_validator

from orchestrator.servers import ALLOWED as SERVERS_ALLOWED
from orchestrator.servers import parse_servers
from orchestrator.validation import Finding, findings_of

#: The variable in the inventory.
VARIABLE = "fogverse_kafka"

_FILES = ("ssl_cafile", "ssl_certfile", "ssl_keyfile")
_EXAMPLE = 'a mapping in group_vars/all, e.g. fogverse_kafka: {bootstrap_servers: "kafka-1:9092"}'
_ALLOWED = {"bootstrap_servers": SERVERS_ALLOWED}


class Hidden(str):
    """A secret for a client that logs its options as they are represented (kafka-python does, at debug level)."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Nothing of it."""
        return "'**********'"


class KafkaSettings(BaseModel):
    """Bootstrap servers and security settings of the cluster.

    Attributes:
        bootstrap_servers: ``host:port`` each.
        security_protocol: how the connection is protected.
        sasl_mechanism: how the client proves who it is; only with a ``SASL_`` protocol.
        sasl_plain_username: user name for every mechanism (the name is kafka-python's).
        sasl_plain_password: password for every mechanism; never shown.
        ssl_cafile: the authority that signed the brokers' certificates, absolute after reading.
        ssl_certfile: the client's own certificate, absolute after reading.
        ssl_keyfile: the key of ``ssl_certfile``, absolute after reading.
        ssl_password: pass phrase of ``ssl_keyfile``; never shown.
        ssl_check_hostname: whether the certificate must name the broker that was asked.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bootstrap_servers: Annotated[tuple[str, ...], BeforeValidator(parse_servers)]
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_plain_username: str | None = Field(default=None, min_length=1)
    sasl_plain_password: SecretStr | None = None
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_password: SecretStr | None = None
    ssl_check_hostname: bool = True

    @model_validator(mode="after")
    def _complete(self) -> KafkaSettings:
        sasl = self.security_protocol.startswith("SASL_")
        if sasl and not (self.sasl_mechanism and self.sasl_plain_username and self.sasl_plain_password):
            raise ValueError(
                f"security_protocol {self.security_protocol} needs sasl_mechanism, sasl_plain_username "
                "and sasl_plain_password"
            )
        if not sasl and (self.sasl_mechanism or self.sasl_plain_username or self.sasl_plain_password):
            raise ValueError(
                f"security_protocol {self.security_protocol} does not use the sasl_* settings that are there: "
                "SASL_PLAINTEXT or SASL_SSL does"
            )
        if self.ssl_keyfile and not self.ssl_certfile:
            raise ValueError("ssl_keyfile is set without ssl_certfile")
        return self

    def client_options(self) -> dict[str, Any]:
        """Keyword arguments for kafka-python's clients, passwords in clear (but not in their ``repr``)."""
        options: dict[str, Any] = {"bootstrap_servers": list(self.bootstrap_servers)}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if name == "bootstrap_servers" or value is None:
                continue
            options[name] = Hidden(value.get_secret_value()) if isinstance(value, SecretStr) else value
        return options


def check_kafka(written: object, project: Path) -> tuple[KafkaSettings | None, tuple[Finding, ...]]:
    """Validate ``fogverse_kafka``.

    Args:
        written: the variable, templated; ``ABSENT`` when there is none.
        project: folder that relative paths of certificates begin in.
    """
    if not isinstance(written, Mapping) or not written:
        return None, (Finding((VARIABLE,), written, f"required: {_EXAMPLE}"),)
    values, missing = dict(written), []
    for name in _FILES:
        if isinstance(file := written.get(name), str) and file:
            values[name] = str(project / Path(file).expanduser())
            if not Path(values[name]).is_file():
                missing.append(Finding((VARIABLE, name), file, f"no such file: {values[name]}"))
    try:
        return KafkaSettings.model_validate(values), tuple(missing)
    except ValidationError as error:
        return None, (*missing, *findings_of(error, dict(written), (VARIABLE,), KafkaSettings, _ALLOWED))
