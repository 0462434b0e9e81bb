"""The steps of `diabetes_data`: fetch, clean, split, store. The last writes all, in one transaction."""

import time
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import numpy as np
import pandas as pd

from dags.recipes.common import checks, ledger, run_folder, sources
from dags.recipes.common.checks import DataInvalid
from dags.recipes.common.ledger import Clean, Origin, Rejected
from dags.recipes.common.log import say
from dags.recipes.common.run_folder import DagRun
from dags.recipes.diabetes import archive, data
from dags.recipes.diabetes.params import CUTS, DATA_DAG_ID, FILE_NAME, SPLIT_SEED, USECASE, DataSettings

ENOUGH = 20  # rows, of which each part gets some


def fetch(run: DagRun) -> dict[str, Any]:
    """The archive's table, all values as text. Raises SourceError, DataInvalid."""
    run_folder.remove_old(DATA_DAG_ID)
    settings = DataSettings.of(run.params)
    loaded = sources.load(
        settings.source,
        file_name=FILE_NAME,
        url=settings.url,
        generate=lambda: data.generate(settings.seed, settings.n_generated),
    )
    found = archive.read(loaded.data, data.COLUMNS)
    run.folder.write_table("raw.parquet", found.rows)
    run.folder.write_json("torn.json", [vars(row) for row in found.torn])
    facts = {"data_source": loaded.data_source, "origin": loaded.origin, "data_sha256": loaded.sha256}
    run.folder.write_json("source.json", facts)
    say(
        f"{len(found.rows):,} rows from {loaded.data_source} ({loaded.origin}); {len(found.torn):,} are torn."
    )
    return {"rows": len(found.rows), **facts}


def clean(run: DagRun) -> dict[str, Any]:
    """Columns to learn from, typed; what does not fit is set apart with its reasons. Raises DataInvalid."""
    folder = run.folder
    torn = [Rejected(**row) for row in folder.read_json("torn.json")]
    table = archive.Table(folder.read_table("raw.parquet"), torn)
    sound = data.clean(table)
    folder.write_table("clean.parquet", sound.table.assign(position=sound.table.index))
    rejected = data.positions_of_file(sound.rejected, table)
    folder.write_json("rejected.json", [vars(row) for row in rejected])
    for name, missing in sound.table.isna().sum().items():
        if missing:
            say(f"  {name} is missing in {missing:,} of {len(sound.table):,}.")
    say(f"{len(sound.table):,} rows fit, {len(rejected):,} do not.")
    return {"rows": len(sound.table), "rejected": len(rejected)}


def split(run: DagRun) -> dict[str, Any]:
    """70, 15 and 15 of a hundred rows, ranked by a hash of their encounter. Raises DataInvalid."""
    table = run.folder.read_table("clean.parquet")
    if len(table) < ENOUGH:
        raise DataInvalid(f"{len(table)} rows; at least {ENOUGH} are needed to split them.")
    table = ranked(table)
    run.folder.write_table("parts.parquet", table)
    counts = {str(part): int(n) for part, n in table["part"].value_counts(sort=False).items()}
    say(", ".join(f"{part} {n:,}" for part, n in counts.items()) + " rows.")
    return counts


def ranked(table: pd.DataFrame) -> pd.DataFrame:
    """Rows in the order of their hash, each with its `part`: training goes on in this order."""
    ids = table["encounter_id"].astype("int64")
    ranks = [sha256(f"{SPLIT_SEED}:{number}".encode()).hexdigest() for number in ids]
    table = table.iloc[np.argsort(np.array(ranks))].reset_index(drop=True)
    ends = [int(len(table) * share) for share in CUTS.values()]
    part = np.array(list(CUTS))[np.searchsorted(ends, np.arange(len(table)), side="right")]
    return table.assign(part=part)


def store(run: DagRun) -> dict[str, Any]:
    """Raw, rejected and clean rows, all or nothing. A known batch adds nothing. Raises DataInvalid."""
    started_at = time.monotonic()
    folder, origin = run.folder, Origin(**run.folder.read_json("source.json"))
    replaces = DataSettings.of(run.params).replace
    if not replaces:
        checks.require_unmixed(ledger.data_sources(USECASE), origin.data_source, "stays")
    parts = folder.read_table("parts.parquet")
    added = ledger.add_batch(
        USECASE,
        f"{origin.origin} {origin.data_sha256[:12]}",
        run=run,
        origin=origin,
        rows=_raw(folder.read_table("raw.parquet"), parts["position"]),
        rejected=[Rejected(**row) for row in folder.read_json("rejected.json")],
        clean=_clean(parts.drop(columns="position")),
        facts={str(part): int(n) for part, n in parts["part"].value_counts(sort=False).items()},
        replace=replaces,
    )
    say(f"Written in {time.monotonic() - started_at:.0f} s.")
    return {"batch_id": added.batch_id, "rows_new": added.rows_new, "is_known": added.is_known}


def _raw(table: pd.DataFrame, positions: pd.Series) -> Iterator[dict[str, str]]:
    """Rows that fit, as they came, in their order; one at a time."""
    names = list(table.columns)
    for row in table.iloc[np.sort(positions.to_numpy())].itertuples(index=False, name=None):
        yield dict(zip(names, row, strict=True))


def _clean(parts: pd.DataFrame) -> Iterator[Clean]:
    whole = [column.name for column in data.CLEAN if column.kind == "integer"]
    parts = parts.astype(dict.fromkeys(whole, "int64"))
    for first in range(0, len(parts), ledger.PIECE):
        piece = parts.iloc[first : first + ledger.PIECE]
        rows = checks.records(piece.drop(columns="part"))
        for row, part in zip(rows, piece["part"], strict=True):
            yield Clean(str(row["encounter_id"]), row, part)
