"""What is hashed, byte for byte: an entry as the database holds it, the manifest of a batch, a seal.

Nothing here depends on how PostgreSQL or Python print a value: every column is read as text whose form is
fixed (`COLUMNS`), and JSON is brought into one order with its numbers digit for digit as they are stored.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

FORMAT = "atalaya-audit-1"
GENESIS = "0" * 64
# column: the expression that reads it. Seconds since 1970 with six digits know no zone and no date style;
# an address as text keeps its mask.
COLUMNS = {
    "id": "id",
    "at": "extract(epoch FROM at)::text",
    "actor_id": "actor_id",
    "actor_name": "actor_name",
    "token_name": "token_name",
    "action": "action",
    "object_type": "object_type",
    "object_id": "object_id",
    "object_label": "object_label",
    "before": "before::text",
    "after": "after::text",
    "remote_addr": "remote_addr::text",
    "request_id": "request_id",
    "upstream_id": "upstream_id",
}
_JSON = tuple(position for position, name in enumerate(COLUMNS) if name in {"before", "after"})
_ID_BYTES, _HASH_BYTES = 8, 32


def of_entry(values: tuple[Any, ...]) -> bytes:
    """The hash of an entry. values: what the expressions of `COLUMNS` gave, in their order."""
    plain = list(values)
    for position in _JSON:
        plain[position] = None if plain[position] is None else [_canonical(plain[position])]
    return sha256(_text(plain)).digest()


def of_seal(number: int, previous: str, up_to_id: int, n_entries: int, manifest: bytes, at: datetime) -> str:
    """The hash of a seal, over all that it says; the next one carries it, and so on."""
    moment = at.astimezone(UTC).isoformat(timespec="microseconds")
    parts = [FORMAT, number, previous, up_to_id, n_entries, sha256(manifest).hexdigest(), moment]
    return sha256(_text(parts)).hexdigest()


def manifest(entries: Iterable[tuple[int, bytes]]) -> bytes:
    """(id, hash) of each entry, end to end in the order of the ids."""
    return b"".join(id_.to_bytes(_ID_BYTES, "big", signed=True) + digest for id_, digest in entries)


def read_manifest(content: bytes) -> dict[int, bytes]:
    """The hash of each entry by its id; empty for what is no manifest."""
    size = _ID_BYTES + _HASH_BYTES
    if len(content) % size:
        return {}
    lines = (content[start : start + size] for start in range(0, len(content), size))
    return {int.from_bytes(line[:_ID_BYTES], "big", signed=True): line[_ID_BYTES:] for line in lines}


def _canonical(text: str) -> Any:
    """JSON as data, its numbers as text behind a NUL, which no JSON of PostgreSQL can hold otherwise."""
    try:
        return json.loads(text, parse_float=_number, parse_int=_number)
    except RecursionError:  # nothing that the console wrote is so deep
        return text


def _number(digits: str) -> str:
    return f"\x00{digits}"


def _text(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":")).encode()
