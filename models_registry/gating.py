"""What the gate does for one version: fetch its files, score them in the sandbox, judge. It writes no row.

This module knows `scoring`; the worker imports it inside the task, so that no page pays for numpy.
"""

from pathlib import Path
from typing import Any, Final

import msgspec
from django.conf import settings
from django.utils.translation import gettext as _

from core.lib.errors import Conflict, InvalidRequest, NotFound
from models_registry import artefacts, intact
from models_registry.digest import file_sha256, folder_sha256
from models_registry.gateway import MlflowGateway
from models_registry.models import ModelVersion
from models_registry.verdicts import Outcome
from scoring import compile as scoring_compile
from scoring import gate, missing, parquet, sandbox
from scoring.result import ChampionFiles, Job, Result
from scoring.spec import Spec
from scoring.spec_reading import SpecError, read_spec

TIMEOUT_S = 600
MEMORY_BYTES = 4 * 2**30
MAX_REFERENCE_ROWS = 1_000_000  # each process that serves reads them whole
ONNX: Final = "onnx"


class GateError(Exception):
    """No verdict came about; the message is for the person who asked."""


def judge(
    mlflow: MlflowGateway, version: ModelVersion, champion: ModelVersion | None, job_dir: Path
) -> Outcome:
    """Raises GateError when there is no verdict, ConsoleError when MLflow does not do its part."""
    against = champion.version if champion else None
    missing = _fetch(mlflow, version, job_dir)
    if missing:
        reason = _missing_words(version, missing)
        return Outcome(has_passed=False, reason=reason, missing=missing, champion_version=against)
    job = _job(mlflow, champion, job_dir)
    (job_dir / "job.json").write_bytes(msgspec.json.encode(job))
    finished = sandbox.run(
        ["scoring.compile", str(job_dir)],
        cwd=job_dir,
        timeout_s=TIMEOUT_S,
        memory_bytes=MEMORY_BYTES,
        weak_is_allowed=settings.CONSOLE_ALLOW_WEAK_SANDBOX,
    )
    result = _result(finished, job_dir)
    checks = _checks(result, version, champion, job_dir)
    if result.serve_as == ONNX:
        _store(mlflow, version, job_dir, result.sha256)
    decided = gate.verdict(checks)
    return Outcome(
        has_passed=decided.has_passed,
        is_conclusive=decided.is_conclusive,
        reason=" ".join(check.sentence for check in checks if check.verdict == "failed"),
        checks=[msgspec.to_builtins(check) for check in checks],
        metrics=_metrics(result),
        holdout_rows=result.holdout_rows,
        isolation=finished.isolation,
        seconds=finished.seconds,
        champion_version=against,
        serving=_serving(result, job_dir),
        hashes=_hashes(result, job_dir),
    )


def _fetch(mlflow: MlflowGateway, version: ModelVersion, job_dir: Path) -> list[str]:
    """Bring the version's files into the job's folder; the paths of those that MLflow does not have."""
    missing = []
    try:
        artefacts.fetch_model(mlflow, version, job_dir / "model")
    except NotFound:
        missing.append("model/")
    if not missing and not (job_dir / "model" / "MLmodel").is_file():
        missing.append("model/MLmodel")
    root = mlflow.run_root(version.run_id) if version.run_id else ""
    for path, limit_bytes in artefacts.NEEDED.items():
        try:
            if not root:
                raise NotFound(_("The version has no run."))
            mlflow.download_file(root, path, job_dir / Path(path).name, limit_bytes=limit_bytes)
        except NotFound:
            missing.append(path)
    if artefacts.REFERENCE not in missing:
        missing += _missing_columns(job_dir)
    return missing


def _missing_columns(job_dir: Path) -> list[str]:
    """Serving tests itself on the reference's scores; what cannot be tested there must not pass here."""
    try:
        [table] = parquet.look([job_dir / Path(artefacts.REFERENCE).name])
    except (parquet.Refused, OSError) as error:
        raise GateError(
            _("serving/reference.parquet cannot be read: %(error)s") % {"error": error}
        ) from error
    if table.n_rows > MAX_REFERENCE_ROWS:
        message = _("serving/reference.parquet has %(n)s rows, and may have %(most)s: log a sample.")
        raise GateError(message % {"n": table.n_rows, "most": MAX_REFERENCE_ROWS})
    names = {column.name for column in table.columns}
    wanted = _own_columns(job_dir / "spec.json")
    return [f"{artefacts.REFERENCE} ({name})" for name in wanted if name not in names]


def _own_columns(path: Path) -> tuple[str, str]:
    """Beside a model's fields; what is wrong with a spec is told by the check that it is for."""
    try:
        spec = read_spec(path.read_bytes())
    except (OSError, SpecError):
        return "score", "label"
    return spec.score_column, spec.label_column


def _missing_words(version: ModelVersion, missing: list[str]) -> str:
    return _(
        "%(version)s lacks %(files)s. Log them to its MLflow run %(run)s, as mlflow.log_artifact(file,"
        ' "serving") does, and ask for the gate again.'
    ) % {"version": version, "files": ", ".join(missing), "run": version.run_id or "?"}


def _job(mlflow: MlflowGateway, champion: ModelVersion | None, job_dir: Path) -> Job:
    """With the champion's files; the candidate is judged without those of one that are gone or changed.

    It may be there to take that champion's place: whether it is better is for a person to say.
    """
    if champion is None:
        return Job()
    try:
        return Job(champion=_fetch_champion(mlflow, champion, job_dir))
    except (NotFound, Conflict, InvalidRequest) as error:
        words = _("The files of the champion, %(champion)s, cannot be had: %(error)s")
        return Job(champion_error=words % {"champion": champion, "error": error.message})


def _fetch_champion(mlflow: MlflowGateway, champion: ModelVersion, job_dir: Path) -> ChampionFiles:
    folder = job_dir / "champion"
    folder.mkdir()
    (folder / "spec.json").write_text(champion.spec_json)
    if champion.serve_as == ONNX:
        (folder / "model.onnx").write_bytes(artefacts.compiled(mlflow, champion))
        return ChampionFiles(spec="champion/spec.json", onnx="champion/model.onnx")
    artefacts.fetch_model(mlflow, champion, folder / "model")
    missing.write(folder, champion.missing_as)
    return ChampionFiles(spec="champion/spec.json", model="champion/model")


def _result(finished: sandbox.Finished, job_dir: Path) -> Result:
    if finished.timed_out:
        message = _(
            "Scoring took longer than %(minutes)s minutes and was stopped. Ask again, or make it smaller."
        )
        raise GateError(message % {"minutes": TIMEOUT_S // 60})
    if finished.returncode == 1 and (words := finished.stderr.strip()):
        raise GateError(_("Nothing could be scored: %(words)s") % {"words": words.splitlines()[-1][:500]})
    if finished.returncode != 0:
        message = _("The process that scores the model ended with status %(status)s. Ask for the gate again.")
        raise GateError(message % {"status": finished.returncode})
    try:
        return scoring_compile.read_result(job_dir)
    except (OSError, msgspec.DecodeError) as error:
        raise GateError(_("The process that scores the model left no result. Ask again.")) from error


def _checks(
    result: Result, version: ModelVersion, champion: ModelVersion | None, job_dir: Path
) -> list[gate.Check]:
    hashes = {}
    if version.holdout_sha256:
        hashes["holdout.parquet"] = (version.holdout_sha256, file_sha256(job_dir / "holdout.parquet"))
    if result.serve_as == ONNX:
        hashes["model.onnx"] = (result.sha256, file_sha256(job_dir / "model.onnx"))
    return gate.judge(_spec(job_dir), result, champion_spec=_champion_spec(champion), hashes=hashes)


def _champion_spec(champion: ModelVersion | None) -> Spec | None:
    """None too for one that this release refuses: it cannot be scored, and the result says why."""
    try:
        return read_spec(champion.spec_json) if champion else None
    except SpecError:
        return None


def _spec(job_dir: Path) -> Spec:
    return read_spec((job_dir / "spec.json").read_bytes())


def _store(mlflow: MlflowGateway, version: ModelVersion, job_dir: Path, sha256: str) -> None:
    content = (job_dir / "model.onnx").read_bytes()
    mlflow.write_file(mlflow.run_root(version.run_id), artefacts.compiled_path(sha256), content)


def _metrics(result: Result) -> dict[str, Any]:
    champion = result.champion.metrics if result.champion else None
    return {"candidate": result.candidate.metrics, "baseline": result.baseline.metrics, "champion": champion}


def _serving(result: Result, job_dir: Path) -> dict[str, Any]:
    is_onnx = result.serve_as == ONNX
    served = [job_dir / "model.onnx"] if is_onnx else list((job_dir / "model").rglob("*"))
    return {
        "serve_as": result.serve_as,
        "serve_reason": result.reason,
        "missing_as": result.missing_as,
        "size_bytes": sum(path.stat().st_size for path in served if path.is_file()),
        "spec_json": (job_dir / "spec.json").read_bytes().decode(),
        "metrics": result.candidate.metrics,
        "primary_metric": _spec(job_dir).primary_metric,
    }


def _hashes(result: Result, job_dir: Path) -> dict[str, str]:
    """Of the files that this verdict is about, as they were when they were fetched."""
    is_onnx = result.serve_as == ONNX
    files = {name: file_sha256(job_dir / Path(path).name) for name, path in intact.FILES.items()}
    return {"served_sha256": result.sha256 if is_onnx else folder_sha256(job_dir / "model"), **files}
