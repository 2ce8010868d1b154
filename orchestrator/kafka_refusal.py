"""Why a guarded broker and a client do not come together, where kafka-python only says that it found no broker.

Its connections end before they can tell: a broker answers a wrong password by hanging up. So the steps of a connection
are taken here once more, one after the other, and the one that fails is the answer.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from typing import Any

from kafka.errors import KafkaError, KafkaTimeoutError
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

_TIMEOUT_S = 3.0
_NAME = "fogverse-orchestrator"


def refusal(options: Mapping[str, Any]) -> str:
    """What the first broker that can be reached does not like about us, or we about it, with the mend; else empty.

    Args:
        options: kafka-python's connection options; they may hold passwords, none of which is in the answer.
    """
    protocol = options.get("security_protocol", "PLAINTEXT")
    for server in options["bootstrap_servers"]:
        host, _, port = server.rpartition(":")
        host = host.strip("[]")
        try:
            with socket.create_connection((host, int(port)), timeout=_TIMEOUT_S) as link:
                words = _of_certificates(link, host, options) if protocol.endswith("SSL") else ""
        except OSError:
            continue  # not reached: another may be
        if not words and protocol.startswith("SASL"):
            words = _of_user({**options, "bootstrap_servers": [server]})
        if words:
            return f"{server} {words}"
    return ""


def _of_certificates(link: socket.socket, host: str, options: Mapping[str, Any]) -> str:
    """Shake hands as TLS does."""
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_cafile"))
        context.check_hostname = options.get("ssl_check_hostname", True)
        if certificate := options.get("ssl_certfile"):
            context.load_cert_chain(certificate, options.get("ssl_keyfile"), options.get("ssl_password") or "")
        with context.wrap_socket(link, server_hostname=host):
            return ""
    except ssl.SSLCertVerificationError as error:
        authorities = options.get("ssl_cafile") or "the system's authorities"
        return (
            f"shows a certificate that is not trusted with {authorities}: {error.verify_message}; correct ssl_cafile, "
            "or name the broker as its certificate does"
        )
    except ssl.SSLError as error:
        return f"does not agree on TLS ({error.reason or error}): compare security_protocol and ssl_* with its listener"


def _of_user(options: Mapping[str, Any]) -> str:
    """Log in as kafka-python does."""
    selector = NetworkSelector(client_id=_NAME)
    manager = KafkaConnectionManager(selector, **{**options, "client_id": _NAME})
    [broker] = manager.cluster.bootstrap_brokers()

    async def connected() -> None:
        await manager.get_connection(broker.node_id, timeout_ms=_TIMEOUT_S * 1000, refresh_metadata_on_err=False)

    selector.start()
    try:
        selector.run(connected)
    except KafkaTimeoutError:
        return ""
    except KafkaError:  # most often it has just hung up
        return (
            f"refuses user {options['sasl_plain_username']} ({options['security_protocol']}, "
            f"{options['sasl_mechanism']}): correct sasl_plain_username, sasl_plain_password, sasl_mechanism or "
            "security_protocol"
        )
    finally:
        manager.close()
        selector.stop()
        selector.close()
    return ""
