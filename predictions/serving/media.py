"""What a body says it is."""

from typing import Final

from scoring.check import UnknownKind, shown_name

JSON: Final = "application/json"
CSV: Final = "text/csv"
OCTETS: Final = "application/octet-stream"


def kind_of(content_type: str, *known: str) -> str:
    """One of `known`: the first where nothing is said. Raises UnknownKind."""
    kind, *parameters = [part.strip() for part in content_type.split(";")]
    if kind and kind.lower() not in known:
        raise UnknownKind(f"{shown_name(kind)} is not read here: send {' or '.join(known)}.")
    for parameter in filter(None, parameters):
        name, _equals, value = parameter.partition("=")
        if name.strip().lower() != "charset":
            raise UnknownKind(f"The content type's {shown_name(name)} is not known here: leave it out.")
        if value.strip(' "').lower() not in ("utf-8", "utf8", "us-ascii"):
            raise UnknownKind("Only UTF-8 is read. Send UTF-8, and say so in the Content-Type.")
    return kind.lower() or known[0]
