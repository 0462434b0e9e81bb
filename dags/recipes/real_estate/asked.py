"""What was asked of the model since the last time, kept beside the raw rows as a batch of its own kind."""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx

from dags.recipes.common import console, ledger
from dags.recipes.common.ledger import Origin
from dags.recipes.common.log import say
from dags.recipes.common.run_folder import DagRun
from dags.recipes.real_estate.params import ID, INPUTS

KEY = "predictions to "
# A prediction may reach the database so long after it was answered: what is older was seen the last time.
LATE = timedelta(hours=1)
MOST = 50_000  # of one run; the newest


def keep(client: httpx.Client, usecase: str, model: str, *, run: DagRun) -> dict[str, Any]:
    """Each prediction once, however often this runs; personal fields stay where they are."""
    told = ledger.newest_facts(usecase, KEY).get("last_at")
    since = datetime.fromisoformat(told) - LATE if told else None
    found = _since(console.predictions(client, model), since)
    known = ledger.known_values(usecase, ID, [row["id"] for row in found])
    new = [row for row in reversed(found) if row["id"] not in known]
    if not new:
        say("Nothing was asked of the model since the last time.")
        return {"kept": 0}
    personal = {
        version: console.personal_fields(client, model, version)
        for version in sorted({str(row["version"]) for row in new})
    }
    rows = [_row(row, personal[str(row["version"])]) for row in new]
    last = new[-1]
    added = ledger.add_batch(
        usecase,
        f"{KEY}{last['id']}",
        run=run,
        origin=Origin("api", f"{client.base_url}/api/v1/predictions", _sha256(row["id"] for row in new)),
        rows=rows,
        facts={"kind": INPUTS, "last_at": last["at"]},
    )
    return {"kept": added.rows_new}


def _since(predictions: Iterable[dict[str, Any]], since: datetime | None) -> list[dict[str, Any]]:
    """Newest first."""
    found: list[dict[str, Any]] = []
    for row in predictions:
        if since is not None and datetime.fromisoformat(row["at"]) < since:
            break
        if len(found) == MOST:
            say(f"More than {MOST:,} predictions since the last time: the newest are taken.")
            break
        found.append(row)
    return found


def _row(prediction: Mapping[str, Any], personal: set[str]) -> dict[str, Any]:
    """Nothing that changes later, so that the same prediction is always the same row."""
    inputs = {name: value for name, value in prediction["inputs"].items() if name not in personal}
    names = ("at", "model", "version", "value")
    return {ID: prediction["id"], **{name: prediction[name] for name in names}, "inputs": inputs}


def _sha256(ids: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()
