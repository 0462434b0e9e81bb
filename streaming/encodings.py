"""JSON as producers write it: encodings beside UTF-8, a schema registry's frame, NaN. Django-free."""

import json
from typing import Any, Final

BLANKS: Final = b" \t\r\n"  # of JSON
REGISTRY_BYTES: Final = 5  # a zero, and the number of the schema
COMPRESSED: Final = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}


def as_utf8(value: bytes) -> bytes:
    """The text in UTF-8, without a byte order mark and a registry's frame.

    Raises ValueError with a reason for people when it is none.
    """
    if value[:1] == b"\x00" and value[REGISTRY_BYTES:].lstrip(BLANKS)[:1] in (b"{", b"["):
        return value[REGISTRY_BYTES:]
    for mark, name in COMPRESSED.items():
        if value.startswith(mark):
            raise ValueError(
                f"its producer packed it by {name}; compression is read only where Kafka does it"
            )
    encoding = json.detect_encoding(value)
    if encoding == "utf-8":
        return value
    try:
        return value.decode(encoding).encode()
    except UnicodeError as error:
        if value[:1] == b"\x00":
            raise ValueError("it begins like Avro or Protobuf with the number of a schema") from error
        raise


def without_nan(text: bytes) -> Any:
    """JSON with NaN and infinities in it, as Python writes them. A missing number, NaN, is read as null.

    Raises ValueError and RecursionError for what is no JSON even so.
    """
    plain = json.loads(text, parse_constant=_constant)
    json.dumps(plain, ensure_ascii=False).encode()  # halves of characters: no text
    return plain


def _constant(name: str) -> float | None:
    return None if name == "NaN" else float(name)
