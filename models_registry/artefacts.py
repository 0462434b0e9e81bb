"""The files of a version in MLflow: where each lies, how large it may be; fetched with its hash checked."""

import math
from pathlib import Path

from django.utils.translation import gettext as _

from core.lib.errors import Conflict
from models_registry.digest import bytes_sha256
from models_registry.gateway import MlflowGateway
from models_registry.models import ModelVersion

MIB = 2**20
MODEL_LIMIT_BYTES = 1024 * MIB
REFERENCE = "serving/reference.parquet"
REFERENCE_LIMIT_BYTES = 256 * MIB
# path on the version's run: its greatest size
NEEDED = {
    "serving/spec.json": MIB,
    REFERENCE: REFERENCE_LIMIT_BYTES,
    "evaluation/holdout.parquet": 512 * MIB,
}


def compiled_path(sha256: str) -> str:
    """Where the worker puts the compiled model."""
    return f"serving/compiled/{sha256}.onnx"


def fetch_model(
    mlflow: MlflowGateway, version: ModelVersion, target: Path, *, until: float = math.inf
) -> int:
    """The original's folder into `target`; its size in bytes. Raises NotFound; until: as for `chunks`."""
    root = mlflow.model_root(version.model.name, version.version)
    return mlflow.download_folder(root, target, limit_bytes=MODEL_LIMIT_BYTES, until=until)


def compiled(mlflow: MlflowGateway, version: ModelVersion) -> bytes:
    """The compiled model as the gate judged it. Raises NotFound, Conflict when the bytes are others."""
    path = compiled_path(version.served_sha256)
    return read_checked(mlflow, version.run_id, path, version.served_sha256, limit_bytes=MODEL_LIMIT_BYTES)


def read_checked(mlflow: MlflowGateway, run_id: str, path: str, sha256: str, *, limit_bytes: int) -> bytes:
    """A file of a run, byte for byte what has this hash. Raises NotFound, Conflict."""
    content = mlflow.read_file(mlflow.run_root(run_id), path, limit_bytes=limit_bytes)
    check_hash(path, sha256, bytes_sha256(content))
    return content


def check_hash(what: str, recorded: str, found: str) -> None:
    """Raises Conflict when they differ."""
    if recorded != found:
        raise Conflict(
            _("%(what)s is not what the gate judged: its SHA-256 is %(found)s, recorded is %(recorded)s.")
            % {"what": what, "found": found[:12], "recorded": recorded[:12]}
        )
