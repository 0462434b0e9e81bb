"""Whether MLflow still holds, byte for byte, the files that a gate judged."""

import hashlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from django.conf import settings
from django.utils.translation import gettext as _

from core.lib.errors import Conflict, InvalidRequest, NotFound
from models_registry import artefacts, mirror
from models_registry.digest import folder_sha256
from models_registry.gateway import MlflowGateway
from models_registry.models import ModelVersion
from models_registry.states import ServeAs

# hash: the file on the version's run
FILES: Final = {
    "reference_sha256": artefacts.REFERENCE,
    "holdout_sha256": "evaluation/holdout.parquet",
    "spec_sha256": "serving/spec.json",
}
# What serving fetches; the rest is evidence, which the decision was about.
SERVED: Final = ("served_sha256", "reference_sha256")
WITHIN_S: Final = 300.0  # somebody waits for the answer; 1.8 GB, the most there can be, need 6 MB/s


def check(mlflow: MlflowGateway, version: ModelVersion, hashes: Mapping[str, str], *, serve_as: str) -> None:
    """Raises Conflict for a version that is gone, and with every file that is gone or another.

    Raises Unavailable, Unauthorized when MLflow does not answer or refuses the console.
    """
    _check_is_that_version(mlflow, version)
    paths = {name: _path(name, judged, serve_as) for name, judged in hashes.items()}
    until = time.monotonic() + WITHIN_S
    faults = [
        fault
        for name, path in paths.items()
        if (fault := _fault(mlflow, version, path, hashes[name], until=until))
    ]
    if faults:
        message = _("The files of %(version)s in MLflow are not those that the gate judged: %(faults)s.")
        raise Conflict(message % {"version": version, "faults": "; ".join(faults)}, service="mlflow")


def _check_is_that_version(mlflow: MlflowGateway, version: ModelVersion) -> None:
    try:
        found = mlflow.version(version.model.name, version.version)
    except NotFound as error:
        raise Conflict(
            _("MLflow has %(version)s no more.") % {"version": version}, service="mlflow"
        ) from error
    if mirror.is_another(version, found):
        message = _("MLflow's %(version)s is not the one that was judged here: its number was given again.")
        raise Conflict(message % {"version": version}, service="mlflow")


def _fault(mlflow: MlflowGateway, version: ModelVersion, path: str, judged: str, *, until: float) -> str:
    """What is wrong with one file; empty when it is as judged."""
    if not judged:
        return _("%(path)s was never judged") % {"path": path}
    try:
        found = _sha256(mlflow, version, path, until)
    except (NotFound, InvalidRequest) as error:
        return f"{path}: {error.message.rstrip('.')}"
    if found == judged:
        return ""
    words = _("%(path)s has SHA-256 %(found)s, judged was %(judged)s")
    return words % {"path": path, "found": found[:12], "judged": judged[:12]}


def _path(name: str, judged: str, serve_as: str) -> str:
    """The file on the run; "model/" is the folder that the runner serves."""
    if name in FILES:
        return FILES[name]
    return artefacts.compiled_path(judged) if serve_as == ServeAs.ONNX else "model/"


def _sha256(mlflow: MlflowGateway, version: ModelVersion, path: str, until: float) -> str:
    if path == "model/":
        return _folder_sha256(mlflow, version, until)
    if not version.run_id:
        raise NotFound(_("The version has no run."))
    limit_bytes = artefacts.NEEDED.get(path, artefacts.MODEL_LIMIT_BYTES)
    root = mlflow.run_root(version.run_id)
    return _stream_sha256(mlflow.chunks(root, path, limit_bytes=limit_bytes, until=until))


def _stream_sha256(chunks: Iterator[bytes]) -> str:
    total = hashlib.sha256()
    for chunk in chunks:
        total.update(chunk)
    return total.hexdigest()


def _folder_sha256(mlflow: MlflowGateway, version: ModelVersion, until: float) -> str:
    settings.CONSOLE_VAR_DIR.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.CONSOLE_VAR_DIR, prefix=".check-") as scratch:
        folder = Path(scratch) / "model"
        artefacts.fetch_model(mlflow, version, folder, until=until)
        return folder_sha256(folder)
