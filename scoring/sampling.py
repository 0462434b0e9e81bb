"""Some rows of a table that somebody else wrote, evenly over the whole, which may be in any order."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

READ_ROWS = 20_000  # at once
MOST_BYTES = 512 * 2**20


class TooLarge(ValueError):
    """More of the file would be in memory at once than may be; the message says how much."""


def evenly(n_rows: int, most: int) -> np.ndarray:
    """Places of at most so many rows, all of them where there are no more; the first one is among them."""
    n_taken = min(n_rows, most)
    return np.arange(n_taken) * n_rows // max(1, n_taken)


def read(
    file: pq.ParquetFile, names: Sequence[str] | None, *, most_rows: int, most_bytes: int = MOST_BYTES
) -> pa.Table:
    """Rows of these columns, or of all; columns that are not there are left out.

    Read piece by piece, since whoever wrote the file decided how large it is.
    Raises TooLarge, pyarrow.ArrowException.
    """
    schema = file.schema_arrow
    wanted = schema.names if names is None else [name for name in names if name in schema.names]
    if _largest_group_bytes(file, wanted) > most_bytes:
        raise TooLarge(f"holds more than {most_bytes // 2**20} MiB in one row group")
    places = evenly(file.metadata.num_rows, most_rows)
    pieces, n_before = [], 0
    for batch in file.iter_batches(batch_size=READ_ROWS, columns=wanted if names is not None else None):
        first, end = np.searchsorted(places, [n_before, n_before + batch.num_rows])
        pieces.append(batch.take(pa.array(places[first:end] - n_before, pa.int64())))
        n_before += batch.num_rows
    if not pieces:
        return schema.empty_table().select(wanted)
    return pa.Table.from_batches(pieces)


def _largest_group_bytes(file: pq.ParquetFile, names: Sequence[str]) -> int:
    """Of these columns, uncompressed, as the file says: no more of it is in memory at once."""
    others = set(file.schema_arrow.names) - set(names)  # parts of nested columns have other names, and count
    groups = [file.metadata.row_group(n) for n in range(file.metadata.num_row_groups)]
    columns = [[group.column(n) for n in range(group.num_columns)] for group in groups]
    return max(
        (sum(c.total_uncompressed_size for c in of if c.path_in_schema not in others) for of in columns),
        default=0,
    )
