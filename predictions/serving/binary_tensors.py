"""Triton's extension of the Open Inference Protocol: values of tensors in binary, behind the JSON of a call.

Numbers are little-endian and row by row, a BOOL is a byte, a BYTES element its length in 4 bytes and then the
text. Source: Triton's "Binary Tensor Data Extension", docs/protocol/extension_binary_data.md of its server.
"""

import struct
from typing import Any, Final

import numpy as np

from scoring import values
from scoring.check import CheckError, Fault, invalid, shown_name

NAME: Final = "binary_tensor_data"  # the extension, in what a server says of itself
HEADER: Final = "Inference-Header-Content-Length"  # of a call with binary tensors: the bytes of its JSON
SIZE: Final = "binary_data_size"  # a tensor's parameter
_NUMPY: Final = {
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
    "BOOL": np.dtype("u1"),
}


class BrokenHeader(CheckError):
    status = 400


class _Broken(ValueError):
    """Bytes that are no values of their tensor's datatype."""


def parts(body: bytes, json_bytes: str) -> tuple[bytes, bytes]:
    """The JSON, and what lies behind it. json_bytes: the header; empty where there is none.

    Raises BrokenHeader.
    """
    if not json_bytes:
        return body, b""
    is_whole = json_bytes.isascii() and json_bytes.isdigit() and len(json_bytes) <= 10
    if not is_whole or int(json_bytes) > len(body):
        words = "must be the number of bytes of the JSON, of which the body has"
        raise BrokenHeader(f"{HEADER} {words} {len(body)}, not {values.shown(json_bytes)}.")
    return body[: int(json_bytes)], body[int(json_bytes) :]


def unpacked(tensors: list[Any], behind: bytes) -> list[Any]:
    """The tensors with their binary values in `data`, and those that have none as they are.

    Raises RowsInvalid where the bytes behind the JSON are not those that the tensors announce.
    """
    found = []
    start = 0
    for tensor in tensors:
        size = _size(tensor)
        if size is None:
            found.append(tensor)
            continue
        name = shown_name(tensor.get("name"))
        if type(size) is not int or size < 0:
            raise _refused(name, f"{SIZE} of {name} must be a number of bytes, not {values.shown(size)}")
        if start + size > len(behind):
            left = f"{len(behind) - start} are left behind the JSON: {HEADER} says where that ends"
            raise _refused(name, f"{name} has {size} bytes by its {SIZE}, but {left}")
        if tensor.get("data") is not None:
            raise _refused(name, f"{name} has values in data and in binary: send one of them")
        try:
            data = _read(tensor.get("datatype"), behind[start : start + size])
        except _Broken as why:
            raise _refused(name, f"{name} {why}") from why
        found.append({**tensor, "data": data})
        start += size
    if start < len(behind):
        words = f"{len(behind) - start} bytes behind the JSON belong to no tensor: give each its {SIZE}"
        raise _refused(None, words)
    return found


def _size(tensor: Any) -> Any:
    """What a tensor says of its binary values; None where it has none."""
    parameters = tensor.get("parameters") if isinstance(tensor, dict) else None
    return parameters.get(SIZE) if isinstance(parameters, dict) else None


def _refused(name: str | None, words: str) -> CheckError:
    return invalid([Fault(None, name, words)])


def _read(datatype: object, held: bytes) -> list[Any]:
    """NaN is no value. Of a datatype that is not known there are none: the tensor is refused for it."""
    if datatype == "BYTES":
        return _texts(held)
    kind = _NUMPY.get(datatype) if isinstance(datatype, str) else None
    if kind is None:
        return []
    if len(held) % kind.itemsize:
        raise _Broken(f"has {len(held)} bytes, but a value of {datatype} takes {kind.itemsize}")
    read: list[Any] = np.frombuffer(held, kind).tolist() if held else []
    return [None if value != value else value for value in read] if kind.kind == "f" else read


def _texts(held: bytes) -> list[str]:
    found: list[str] = []
    start = 0
    while start < len(held):
        if start + 4 > len(held):
            raise _Broken(f"ends within the length of its text {len(found)}")
        (length,) = struct.unpack_from("<I", held, start)
        start += 4
        if start + length > len(held):
            raise _Broken(f"ends within its text {len(found)}, which has {length} bytes by its length")
        try:
            found.append(held[start : start + length].decode())
        except UnicodeDecodeError as error:
            raise _Broken(f"has a text {len(found)} that is not UTF-8") from error
        start += length
    return found
