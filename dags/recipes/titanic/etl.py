"""The steps of `titanic_etl`: the list into the database, its features into the feature store.

Each writes its part anew when it is tried again: a list that was taken before adds nothing to the database.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd

from dags.recipes.common import csv_lines, feature_store, ledger, run_folder, sources
from dags.recipes.common.checks import (
    Column,
    DataInvalid,
    records,
    require_columns,
    require_unmixed,
    sort_out,
)
from dags.recipes.common.ledger import Clean, Origin, Rejected
from dags.recipes.common.log import say
from dags.recipes.common.run_folder import DagRun
from dags.recipes.titanic import data, features
from dags.recipes.titanic.params import ENTITY, ETL_DAG_ID, FILE_NAME, KEY, USECASE, EtlSettings

SHOWN = 5  # reasons in the log; the page of the batch has all of them

RULES = [
    Column(KEY, "integer", low=1, high=2**53),
    Column("Survived", "integer", allowed=frozenset({"0", "1"})),
    Column("Pclass", "integer", allowed=frozenset({"1", "2", "3"})),
    Column("Name"),
    Column("Sex", allowed=frozenset({"male", "female"})),
    Column("Age", "number", low=0, high=120, may_be_missing=True),
    Column("SibSp", "integer", low=0, high=20),
    Column("Parch", "integer", low=0, high=20),
    Column("Ticket", may_be_missing=True),
    Column("Fare", "number", low=0, high=10_000, may_be_missing=True),
    Column("Cabin", may_be_missing=True),
    Column("Embarked", allowed=frozenset({"C", "Q", "S"}), may_be_missing=True),
]


def extract(run: DagRun) -> dict[str, Any]:
    """Take the list as it is. Raises SourceError."""
    run_folder.remove_old(ETL_DAG_ID)
    settings = EtlSettings.of(run.params)
    loaded = sources.load(
        settings.source,
        file_name=FILE_NAME,
        url=settings.url,
        generate=lambda: data.generate(settings.seed),
    )
    facts = {"data_source": loaded.data_source, "origin": loaded.origin, "data_sha256": loaded.sha256}
    run.folder.write_bytes("list.csv", loaded.data)
    run.folder.write_json("source.json", facts | {"at": datetime.now(UTC).isoformat()})
    say(f"{len(loaded.data):,} bytes from {loaded.data_source} ({loaded.origin}).")
    return facts


def check(run: DagRun) -> dict[str, int]:
    """Set apart the rows that do not fit. Raises DataInvalid for a list without rows, or without a column."""
    came, broken = read_rows(run.folder.read_bytes("list.csv"))
    sound = sort_out(came[data.COLUMNS], RULES, unique=[KEY])
    places = came["place"].tolist()
    rejected = [Rejected(places[row.position], row.reason, row.row) for row in sound.rejected]
    rejected = sorted([*broken, *rejected], key=lambda row: row.position)
    run.folder.write_table("came.parquet", came.loc[sound.table.index, data.COLUMNS])
    run.folder.write_table("clean.parquet", sound.table)
    run.folder.write_json("rejected.json", [vars(row) for row in rejected])
    say(f"{len(sound.table):,} rows fit, {len(rejected):,} are rejected.")
    for row in rejected[:SHOWN]:
        say(f"  row {row.position}: {row.reason}.")
    return {"rows": len(sound.table), "rejected": len(rejected)}


def store(run: DagRun) -> dict[str, Any]:
    """Rows as they came, rows to learn from, and what was rejected: into the database, all or nothing.

    Raises DataInvalid for passengers that would not fit those that are there.
    """
    source = run.folder.read_json("source.json")
    rows = records(whole(run.folder.read_table("clean.parquet")))
    replaces = EtlSettings.of(run.params).replace
    if not replaces:
        require_unmixed(ledger.data_sources(USECASE), source["data_source"], "passengers")
        _require_unchanged(rows)
    added = ledger.add_batch(
        USECASE,
        f"{source['origin']} {source['data_sha256'][:12]}",
        run=run,
        origin=Origin(source["data_source"], source["origin"], source["data_sha256"]),
        rows=records(run.folder.read_table("came.parquet")),
        rejected=[Rejected(**row) for row in run.folder.read_json("rejected.json")],
        clean=[Clean(str(row[KEY]), row) for row in rows],
        facts={"passengers": len(rows)},
        replace=replaces,
    )
    return {"batch_id": added.batch_id, "rows_new": added.rows_new, "is_known": added.is_known}


def _require_unchanged(rows: list[dict[str, Any]]) -> None:
    """A passenger is kept once: of another list the same one would be dropped without a word."""
    there = _passengers()
    changed = [str(row[KEY]) for row in rows if there.get(row[KEY], row) != row]
    if changed:
        n, listed = len(changed), ", ".join(changed[:SHOWN]) + (", …" if len(changed) > SHOWN else "")
        raise DataInvalid(
            f"{n:,} {'passenger is' if n == 1 else 'passengers are'} there with other values ({listed}). Run"
            " again with “Replace” to let this list take the place of what was collected before."
        )


def _passengers() -> dict[int, dict[str, Any]]:
    table = ledger.clean_rows(USECASE)
    if table.empty:
        return {}
    return {row[KEY]: row for row in records(whole(table.drop(columns=["key", "part"])))}


def write_features(run: DagRun) -> dict[str, Any]:
    """Features of every passenger in the database into the feature store, and of nobody else.

    Raises DataInvalid, StoreAway.
    """
    settings, source = EtlSettings.of(run.params), run.folder.read_json("source.json")
    passengers = ledger.clean_rows(USECASE)
    if passengers.empty:
        raise DataInvalid(
            "No passenger could be taken: every row was rejected; the page of the batch says why."
        )
    at = datetime.fromisoformat(source["at"])
    rows = [
        feature_store.Row(str(row.pop(KEY)), row, at) for row in records(features.stored(whole(passengers)))
    ]
    written = feature_store.connect().put_many(
        ENTITY,
        settings.version,
        schema=features.SCHEMA,
        rows=rows,
        expires_in=timedelta(days=settings.expires_days),
        facts={**_came_from(), "dag_run_id": run.run_id},
        is_all=True,
    )
    say(
        f"{written.n_rows:,} passengers are in version {settings.version} of {ENTITY} for"
        f" {settings.expires_days} days."
    )
    if written.n_older:
        say(f"{written.n_older:,} were left as a later run had written them.")
    return {"version": settings.version, "rows": written.n_rows}


def _came_from() -> dict[str, str]:
    """Of the rows that are there, whatever this run has looked at."""
    origins = ledger.clean_origins(USECASE)
    return {
        "data_source": ", ".join(sorted({origin.data_source for origin in origins})),
        "origin": ", ".join(sorted({origin.origin for origin in origins})),
    }


def read_rows(raw: bytes) -> tuple[pd.DataFrame, list[Rejected]]:
    """Rows as text with their `place` from 0, and lines that are no row of this table.

    A passenger is one line. Raises DataInvalid.
    """
    found = csv_lines.read(raw)
    if not found.names:
        raise DataInvalid("The file is empty: a passenger list has a line of names and a line a passenger.")
    require_columns(pd.DataFrame(columns=found.names), data.COLUMNS)
    if not found.rows and not found.cut:
        raise DataInvalid("The file holds the names of the columns and no passenger.")
    table = pd.DataFrame(found.values(data.COLUMNS), columns=data.COLUMNS, dtype=object)
    broken = [Rejected(line.place, line.reason, line.line) for line in found.cut]
    return table.assign(place=list(found.rows)), broken


def whole(table: pd.DataFrame) -> pd.DataFrame:
    """Columns of whole numbers as such: `sort_out` and JSON make floats of them."""
    names = [rule.name for rule in RULES if rule.kind == "integer"]
    return table.assign(**{name: table[name].astype("int64") for name in names})
