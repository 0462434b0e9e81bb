"""Scores of rows that a model did not learn from, in the metadata of its reference: what scores compare with.

A model answers its own training rows better than any others, so the scores beside the rows of a reference
are no yardstick for those of predictions: of a forest that knows its rows by heart, unchanged data drift.
"""

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

KEY = b"atalaya.held_out_scores"  # JSON: a list of numbers


def noted(table: pa.Table, scores: np.ndarray) -> pa.Table:
    """The reference with these scores in its metadata."""
    told = msgspec.json.encode(np.asarray(scores, dtype=np.float64).tolist())
    return table.replace_schema_metadata({**(table.schema.metadata or {}), KEY: told})


def scores(file: pq.ParquetFile) -> list[float] | None:
    """None where the reference carries none. Raises ValueError for what is no list of numbers."""
    told = (file.schema_arrow.metadata or {}).get(KEY)
    if told is None:
        return None
    try:
        found = msgspec.json.decode(told, type=list[float])
    except msgspec.MsgspecError as error:
        raise ValueError(f"has scores of rows held out that are no numbers: {error}") from error
    if not found or not np.isfinite(found).all():
        raise ValueError("has no scores of rows held out where it says so, or infinite ones")
    return found
