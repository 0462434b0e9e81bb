"""Input files with the columns of the real ones, for machines that do not have those."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

N_RIDE_EVENTS = 3_000
BEGIN = datetime(2013, 1, 1, tzinfo=UTC)


def folder(path: Path) -> Path:
    """`path`, with a file of ride events in it."""
    path.mkdir(parents=True, exist_ok=True)
    lines = (_ride_event(number) for number in range(N_RIDE_EVENTS))
    (path / "nyc_taxi_ride_events.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def data_file(name: str) -> Path:
    """The real file; the test is skipped where CONSOLE_DATA_DIR has none."""
    path = Path(os.environ.get("CONSOLE_DATA_DIR") or "/nowhere") / name
    if not path.is_file():
        pytest.skip(f"CONSOLE_DATA_DIR has no {name}")
    return path


def _ride_event(number: int) -> str:
    at = BEGIN + timedelta(seconds=number)
    is_start = number % 2 == 0
    values = (number // 2, f"{at:%Y-%m-%d %H:%M:%S}", "START" if is_start else "END", -73.99, 40.75, 1)
    return ",".join(str(value) for value in (*values, -1 if is_start else 2.5))
