"""The steps of `taxi_batch`: the console runs the Spark jobs, the ledger keeps what they made of a month."""

import json
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from dags.recipes.common import console, ledger
from dags.recipes.common.ledger import Origin
from dags.recipes.common.log import say
from dags.recipes.common.run_folder import DagRun
from dags.recipes.common.sources import SourceError
from dags.recipes.taxi.params import BATCH_DAG_ID, FILE_NAME, GENERATED_ROWS, USECASE

_CHUNK = 1 << 20


def choose(run: DagRun) -> dict[str, Any]:
    """The month of trips: {"path", "data_source", "data_sha256"}. Generated where there is no file."""
    wanted, name = run.params["source"], run.params["file"] or FILE_NAME
    path = _inside(name)
    if path is None and (wanted == "file" or (wanted == "auto" and run.params["file"])):
        folder = os.environ.get("CONSOLE_DATA_DIR") or "not set"
        raise SourceError(f"There is no file {name} in CONSOLE_DATA_DIR ({folder}).")
    if wanted != "synthetic" and path is not None:
        return {"path": str(path), "data_source": "file", "data_sha256": _digest(path)}
    made = _generated(run.params["seed"])
    say(f"No file is used: {GENERATED_ROWS:,} generated trips, {made}.")
    return {"path": str(made), "data_source": "synthetic", "data_sha256": _digest(made)}


def clean(run: DagRun, chosen: Mapping[str, Any]) -> str:
    """Ask for `clean_trips`; the id of the job. Other content under the same name is another wish."""
    return _ask(run, "clean_trips", {"source": chosen["path"]}, of=chosen["data_sha256"])


def cluster(run: DagRun, job_id: str) -> str:
    """Ask for `trip_clusters` over what was cleaned; the id of the job."""
    params = {"source": _result(job_id)["output"], "k": run.params["k"], "seed": run.params["seed"]}
    return _ask(run, "trip_clusters", params)


def analyse(run: DagRun, job_id: str) -> str:
    """Ask for `trip_analyses` over what was cleaned; the id of the job."""
    return _ask(run, "trip_analyses", {"source": _result(job_id)["output"]})


def note(run: DagRun, chosen: Mapping[str, Any], job_id: str, others: list[str]) -> dict[str, Any]:
    """Keep the month in the ledger: its trips, why which were dropped, where the clean ones lie."""
    result = _result(job_id)
    dropped = {name: n for name, n in result["dropped"].items() if n}
    key = f"{Path(chosen['path']).name} {chosen['data_sha256'][:12]}"
    added = ledger.note_batch(
        USECASE,
        key,
        run=run,
        origin=Origin(chosen["data_source"], Path(chosen["path"]).name, chosen["data_sha256"]),
        rows_in=result["rows_in"],
        rows_rejected=sum(dropped.values()),
        facts={"trips": result["output"], "dropped": dropped, "jobs": [job_id, *others]},
    )
    return {"rows_in": added.rows_in, "rows_kept": added.rows_new}


def _ask(run: DagRun, app: str, params: Mapping[str, Any], *, of: str = "") -> str:
    told = json.dumps([dict(params), of], sort_keys=True)
    key = f"{run.run_id}:{app}:{sha256(told.encode()).hexdigest()[:16]}"
    with console.connect(BATCH_DAG_ID) as client:
        return console.submit_job(client, app, params, key=key, is_there=_lies_there)


def _lies_there(result: Mapping[str, Any]) -> bool:
    """Whether what a job has written was not cleared away since."""
    return "output" not in result or Path(result["output"]).exists()


def _result(job_id: str) -> dict[str, Any]:
    with console.connect(BATCH_DAG_ID) as client:
        return console.job_result(client, job_id)


def _inside(name: str) -> Path | None:
    """A file or folder in CONSOLE_DATA_DIR; None where there is no such, or where it leads out of it."""
    if not (said := os.environ.get("CONSOLE_DATA_DIR")):
        return None
    folder = Path(said).resolve()
    path = (folder / name).resolve()
    is_inside = path.is_relative_to(folder) and path != folder
    return path if is_inside and (path.is_file() or path.is_dir()) else None


def _generated(seed: int) -> Path:
    from dags.recipes.taxi import made_trips

    folder = os.environ.get("ATALAYA_OUTPUT_DIR")
    if not folder:
        raise SourceError("The environment of Airflow's tasks lacks ATALAYA_OUTPUT_DIR; `make up` sets it.")
    path = Path(folder) / "taxi" / f"generated-{GENERATED_ROWS}-{seed}.parquet"
    if not path.exists():
        made_trips.write(path, n_rows=GENERATED_ROWS, seed=seed)
    return path


def _digest(path: Path) -> str:
    """Of a file, or of the files of a folder in the order of their names."""
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    digest = sha256()
    for file in files:
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()
