"""The data that the demonstration goes through: real files of CONSOLE_DATA_DIR, else generated ones.

What is generated, or cut from a real file, lies in the folder `demo` of CONSOLE_OUTPUT_DIR.
"""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from django.conf import settings

from core.lib.files import whole

PASSENGERS: Final = "titanic_train.csv"
TRIPS: Final = "green_tripdata_2024-01.parquet"
TRICKLE: Final = "trickle.parquet"
TRICKLE_ROWS: Final = 6_000
GENERATED_TRIPS: Final = 20_000
SEED: Final = 42


@dataclass(frozen=True)
class Source:
    """A file as the REST API wants it named, and where it comes from, in words."""

    path: str
    origin: str
    n_rows: int


@dataclass(frozen=True)
class Passenger:
    """What a predict call sends of a passenger, and what became of them."""

    row: dict[str, Any]
    survived: int


def folder() -> Path:
    """Where the demonstration's own files lie."""
    return Path(settings.CONSOLE_OUTPUT_DIR) / "demo"


def passengers_source() -> str:
    """What `titanic_training` is told: its file where that is there, else its own generator."""
    return "file" if _real(PASSENGERS) else "synthetic"


def passengers(seed: int = SEED) -> list[Passenger]:
    """The list that the model was trained on, shuffled, as fields of its spec."""
    from dags.recipes.titanic import data, features  # pandas, which the commands do without otherwise

    real = _real(PASSENGERS)
    table = data.read(real.read_bytes() if real else data.generate(SEED))
    fields = features.fields(table)
    found = [
        Passenger({name: _json(row[name]) for name in features.FIELDS}, int(row["label"]))
        for row in fields.to_dict("records")
    ]
    random.Random(seed).shuffle(found)  # noqa: S311 - an order that is the same each time
    return found


def _json(value: Any) -> Any:
    """numpy's numbers as Python's, NaN as null."""
    value = value.item() if hasattr(value, "item") else value
    return None if value != value else value


def trips() -> Source:
    """A month of taxi trips."""
    real = _real(TRIPS)
    if real is not None:
        return Source(TRIPS, f"{TRIPS} of CONSOLE_DATA_DIR", _n_rows(real))
    path = folder() / TRIPS
    if not path.exists():
        from dags.recipes.taxi import made_trips

        made_trips.write(path, n_rows=GENERATED_TRIPS, seed=SEED)
    return Source(str(path), "generated trips", _n_rows(path))


def trickle() -> Source:
    """The first trips of the month, for a replay that goes on for a while."""
    path = folder() / TRICKLE
    if not path.exists():
        trips()
        _cut(_real(TRIPS) or folder() / TRIPS, path, TRICKLE_ROWS)
    return Source(str(path), f"the first {TRICKLE_ROWS:,} of them", _n_rows(path))


def _real(name: str) -> Path | None:
    path = Path(settings.CONSOLE_DATA_DIR) / name if settings.CONSOLE_DATA_DIR else None
    return path if path is not None and path.is_file() else None


def _n_rows(path: Path) -> int:
    import pyarrow.parquet

    n_rows: int = pyarrow.parquet.read_metadata(path).num_rows
    return n_rows


def _cut(source: Path, target: Path, n_rows: int) -> None:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(source) as file:
        head = next(file.iter_batches(n_rows))
    with whole(target) as part:
        pyarrow.parquet.write_table(pyarrow.Table.from_batches([head]), part)
