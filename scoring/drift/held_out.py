"""Scores of rows that a model did not learn from, in the metadata of its reference: what scores compare with.

A model answers its own training rows better than any others, so the scores beside the rows of a reference
are no yardstick for those of predictions: of a forest that knows its rows by heart, unchanged data drift.
"""

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

KEY = b"atalaya.held_out_scores"  # JSON: a list of numbers
MOST = 20_000
MOST_BYTES = 2**20  # twice what so many numbers take, each with all its digits


def noted(table: pa.Table, scores: np.ndarray) -> pa.Table:
    """The reference with these scores in its metadata, those that are NaN or infinite left out.

    Raises ValueError for more than 20,000, or when none is left.
    """
    if len(scores) > MOST:
        raise ValueError(f"{len(scores):,} scores of rows held out; at most {MOST:,} fit: draw a sample")
    finite = np.asarray(scores, dtype=np.float64)[np.isfinite(scores)]
    if not finite.size:
        raise ValueError(f"of {len(scores):,} scores of rows held out none is a finite number")
    told = msgspec.json.encode(finite.tolist())
    return table.replace_schema_metadata({**(table.schema.metadata or {}), KEY: told})


def scores(file: pq.ParquetFile) -> list[float] | None:
    """None where the reference carries none. Raises ValueError for no list of numbers, or too long a one."""
    told = (file.schema_arrow.metadata or {}).get(KEY)
    if told is None:
        return None
    if len(told) > MOST_BYTES:
        raise ValueError(f"has {len(told):,} bytes of scores of rows held out, and may have {MOST_BYTES:,}")
    try:
        found = msgspec.json.decode(told, type=list[float])
    except msgspec.MsgspecError as error:
        raise ValueError(f"has scores of rows held out that are no numbers: {error}") from error
    if not found or not np.isfinite(found).all():
        raise ValueError("has no scores of rows held out where it says so, or infinite ones")
    if len(found) > MOST:
        raise ValueError(f"has {len(found):,} scores of rows held out, and may have {MOST:,}")
    return found
