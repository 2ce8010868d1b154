"""How to reach a guarded broker: settings named as kafka-python names them, so master and device share one list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

PREFIX = "FOGVERSE_KAFKA_"
PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
SECRETS = frozenset({"sasl_plain_password", "ssl_password"})
#: Ends the name of a variable that names the file in which a secret is, instead of holding it.
IN_FILE = "_file"
TRUE, FALSE = ("true", "yes", "1", "on"), ("false", "no", "0", "off")

#: Our (kafka-python's) name: librdkafka's name.
_LIBRDKAFKA = {
    "security_protocol": "security.protocol",
    "sasl_mechanism": "sasl.mechanism",
    "sasl_plain_username": "sasl.username",
    "sasl_plain_password": "sasl.password",
    "ssl_cafile": "ssl.ca.location",
    "ssl_certfile": "ssl.certificate.location",
    "ssl_keyfile": "ssl.key.location",
    "ssl_password": "ssl.key.password",
}

#: What holds where one is not given.
DEFAULTS = {"security_protocol": "PLAINTEXT", "ssl_cafile": "the system's", "ssl_check_hostname": "true"}

#: What each means, for ``--help`` and the docs.
MEANINGS = {
    "security_protocol": "one of " + ", ".join(PROTOCOLS),
    "sasl_mechanism": "one of " + ", ".join(MECHANISMS),
    "sasl_plain_username": "user name for any of the mechanisms",
    "sasl_plain_password": "password for any of the mechanisms",
    "ssl_cafile": "PEM file with the authorities that sign the broker's certificate",
    "ssl_certfile": "PEM file with this client's certificate chain",
    "ssl_keyfile": "PEM file with this client's private key",
    "ssl_password": "password of the private key",
    "ssl_check_hostname": "whether the broker's certificate must carry its host name",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """Security settings of every Kafka connection; passwords are kept out of its ``repr``."""

    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_plain_username: str | None = None
    sasl_plain_password: str | None = field(default=None, repr=False)
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_password: str | None = field(default=None, repr=False)
    ssl_check_hostname: bool = True

    def librdkafka(self) -> dict[str, str]:
        """The same as librdkafka's configuration properties. Holds the secrets: never log it."""
        properties = {
            theirs: str(value) for ours, theirs in _LIBRDKAFKA.items() if (value := getattr(self, ours)) is not None
        }
        if self.security_protocol.endswith("SSL"):
            properties["ssl.endpoint.identification.algorithm"] = "https" if self.ssl_check_hostname else "none"
        return properties


def read_security(values: Mapping[str, str]) -> tuple[Security, list[str]]:
    """Read security settings from environment variables ``FOGVERSE_KAFKA_*``, and the secrets' files that they name.

    Returns:
        The settings, and every problem found; with problems the settings are not fit for use.
    """
    known = {f.name for f in fields(Security)}
    given: dict[str, str] = {}
    problems = []
    for variable, text in sorted(values.items()):
        if not variable.startswith(PREFIX) or not text:
            continue
        name = variable.removeprefix(PREFIX).lower()
        secret = name.removesuffix(IN_FILE)
        if name in known:
            given[name] = text
        elif secret in SECRETS and values.get(PREFIX + secret.upper()):
            problems.append(f"{variable} and {PREFIX}{secret.upper()} are both set: one of them is needed")
        elif secret in SECRETS:
            try:
                given[secret] = _in_file(Path(text))
            except (OSError, ValueError) as error:
                problems.append(f"{variable}={text}: {error.strerror if isinstance(error, OSError) else error}")
        else:
            every = [PREFIX + f.name.upper() for f in fields(Security)] + sorted(map(in_file, SECRETS))
            problems.append(f"{variable} is not known; known are {', '.join(every)}")
    check_hostname = given.pop("ssl_check_hostname", "true").lower()
    if check_hostname not in TRUE + FALSE:
        problems.append(f"{PREFIX}SSL_CHECK_HOSTNAME={check_hostname}: true or false is needed")
    security = Security(**given, ssl_check_hostname=check_hostname in TRUE)
    return security, problems + _contradictions(security)


def in_file(secret: str) -> str:
    """The variable that names a secret's file."""
    return f"{PREFIX}{secret}{IN_FILE}".upper()


def _in_file(path: Path) -> str:
    """A secret as an editor leaves it in a file: its last line break is not part of it."""
    try:
        text = path.read_text("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError("the file is not text in UTF-8") from None
    if not text:
        raise ValueError("the file is empty")
    return text


def _contradictions(security: Security) -> list[str]:
    problems = []
    protocol = security.security_protocol
    if protocol not in PROTOCOLS:
        return [f"{PREFIX}SECURITY_PROTOCOL={protocol}: one of {', '.join(PROTOCOLS)} is needed"]
    sasl = ("sasl_mechanism", "sasl_plain_username", "sasl_plain_password")
    if protocol.startswith("SASL"):
        problems += [
            f"{PREFIX}{name.upper()} is missing: {protocol} needs it"
            + (f", or {in_file(name)}" if name in SECRETS else "")
            for name in sasl
            if not getattr(security, name)
        ]
        if security.sasl_mechanism and security.sasl_mechanism not in MECHANISMS:
            problems.append(
                f"{PREFIX}SASL_MECHANISM={security.sasl_mechanism}: one of {', '.join(MECHANISMS)} is needed"
            )
    else:
        problems += [
            f"{PREFIX}{name.upper()} is set but {PREFIX}SECURITY_PROTOCOL={protocol} would not use it: "
            "choose SASL_SSL or SASL_PLAINTEXT"
            for name in sasl
            if getattr(security, name)
        ]
    for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
        path = getattr(security, name)
        if path and not protocol.endswith("SSL"):
            problems.append(
                f"{PREFIX}{name.upper()} is set but {PREFIX}SECURITY_PROTOCOL={protocol} would not use it: "
                "choose SSL or SASL_SSL"
            )
        elif path and not Path(path).is_file():
            problems.append(f"{PREFIX}{name.upper()}={path}: there is no such file, or it may not be read")
    return problems
