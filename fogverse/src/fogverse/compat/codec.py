"""FogVerse's automatic decoding and encoding: text and arrays, without pickle."""

from __future__ import annotations

import io
import sys
from typing import Any

_NPY = b"\x93NUMPY"


def decode(data: Any) -> Any:
    """Bytes into an array if they are one, else into text if they are, else left as they are; so is all else.

    Arrays are read with numpy if it is installed, and never with pickle: FogVerse does, which lets whoever can write
    to the topic run code on the device.
    """
    if not isinstance(data, bytes):
        return data
    if data.startswith(_NPY) and (numpy := _numpy()) is not None:
        try:
            return numpy.load(io.BytesIO(data), allow_pickle=False)
        except ValueError:
            return data
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def encode(data: Any) -> bytes | None:
    """Text, arrays and lists of numbers into bytes; None means nothing to send.

    Raises:
        TypeError: it has no encoding; override ``encode``.
    """
    if data is None or isinstance(data, bytes):
        return data
    if isinstance(data, str):
        return data.encode()
    if isinstance(data, bytearray | memoryview):
        return bytes(data)
    if type(data).__name__ == "Tensor":
        data = data.cpu().numpy()
    numpy = _numpy()
    if numpy is not None and isinstance(data, list | tuple | numpy.ndarray):
        written = io.BytesIO()
        try:
            numpy.save(written, numpy.asarray(data), allow_pickle=False)
        except ValueError as error:
            raise TypeError(f"cannot encode {type(data).__name__}: {error}; override encode()") from None
        return written.getvalue()
    needs = " (lists and arrays need numpy)" if isinstance(data, list | tuple) else ""
    raise TypeError(f"cannot encode {type(data).__name__}{needs}: override encode(), or let process() return bytes")


def size_bytes(data: Any) -> int:
    """Size of a payload: of bytes and arrays what they hold, of text its UTF-8, of others the outermost object."""
    if data is None:
        return 0
    if isinstance(data, bytes | bytearray):
        return len(data)
    if isinstance(data, str):
        return len(data.encode(errors="replace"))
    held = getattr(data, "nbytes", None)
    return held if isinstance(held, int) else sys.getsizeof(data)


def _numpy() -> Any:
    try:
        import numpy  # noqa: PLC0415 -- not a requirement of the runtime: used where it is installed
    except ImportError:
        return None
    return numpy
