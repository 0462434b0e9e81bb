"""What a serving process needs to start without the database and MLflow: champions and token hashes, on disk.

Only this user may read the files: whoever could write it could let tokens in.
"""

from datetime import datetime
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from core.lib.files import write_whole
from predictions.serving.callers import Grant


class ChampionRef(msgspec.Struct, frozen=True):
    """Which version of a model serves, and the hashes of its files. spec_json: text of serving/spec.json."""

    model: str
    version: str
    run_id: str
    sha256: str
    spec_json: str
    serve_as: Literal["onnx", "runner"]
    reference_sha256: str
    since: datetime
    is_demo: bool = False
    missing_as: dict[str, str] = {}


class LiveTokens(msgspec.Struct, frozen=True):
    """All live tokens as of a Unix time."""

    as_of: float
    grants: list[Grant]


class Crowned(msgspec.Struct, frozen=True):
    """Who serves. model_names: every registered model. before: whom they replaced, for a quick way back."""

    champions: list[ChampionRef]
    model_names: list[str]
    before: list[ChampionRef] = []


Kept = TypeVar("Kept", LiveTokens, Crowned)


def read(path: Path, kind: type[Kept]) -> Kept | None:
    """None when there is none yet, or it is of another release's shape."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def write(path: Path, kept: LiveTokens | Crowned) -> None:
    """Replace the file in one step; mode 0600."""
    write_whole(path, msgspec.json.encode(kept))
