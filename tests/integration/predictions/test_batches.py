"""A file of rows on real servers: each row that fits becomes one prediction, though the worker is killed."""

import csv
import io
import itertools
from typing import Any

import httpx
import psycopg2
import pytest

from tests.api import ok, wait_for
from tests.first_path import PASSENGER, FirstPath
from tests.running_stack import RunningStack

pytestmark = [pytest.mark.journey, pytest.mark.timeout(900)]

N_ROWS = 30_000
ODD_EVERY = 100
NOTE = "x" * 100  # so that the file is larger than any other body may be
ODD = [
    {"Pclass": 9},
    {"Age": "old"},
    {"Fare": ""},  # may be missing
    {"Sex": "=cmd()"},
    {"SibSp": "-1"},
]
REFUSED = {n for n in range(len(ODD)) if "Fare" not in ODD[n]}


def rows() -> list[dict[str, Any]]:
    """Every hundredth is odd, in turns."""
    odd = itertools.cycle(ODD)
    return [
        {"note": NOTE, **PASSENGER, "Age": 1 + n % 80, **(next(odd) if n % ODD_EVERY == 7 else {})}
        for n in range(N_ROWS)
    ]


def content() -> bytes:
    """As a spreadsheet of the continent saves it: a mark, semicolons."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, ["note", *PASSENGER], delimiter=";")
    writer.writeheader()
    writer.writerows(rows())
    return ("\ufeff" + buffer.getvalue()).encode()


def test_each_row_that_fits_is_recorded_once_though_the_worker_is_killed(
    path: FirstPath, stack: RunningStack
):
    url = f"{stack.url}/api/v1/models/titanic/batches"
    headers = {"Authorization": f"Bearer {path.predictor.token}", "Idempotency-Key": "a-file-of-rows"}
    file = content()
    assert len(file) > 2 * 2**20
    first = ok(httpx.post(url, files={"file": ("people.csv", file)}, headers=headers, timeout=60), 202)
    again = ok(httpx.post(url, files={"file": ("people.csv", file)}, headers=headers, timeout=60), 202)
    assert again["id"] == first["id"]
    place = f"/models/titanic/batches/{first['id']}"

    def row() -> dict[str, Any]:
        found: dict[str, Any] = ok(path.predictor.get(place))
        return found

    wait_for("the first rows", lambda: row()["n_predicted"] > 0, timeout_s=60)
    assert path.predictor.get(f"{place}/result").status_code == 409
    stack.kill("worker")
    at_death = row()
    assert at_death["state"] == "running", "it was over before the worker was killed: take more rows"
    ended = wait_for("the end", lambda: (found := row())["ended_at"] and found, timeout_s=180)
    n_refused = sum(n % len(ODD) in REFUSED for n in range(N_ROWS // ODD_EVERY))
    assert (ended["state"], ended["error"]) == ("succeeded", "")
    assert (ended["n_rows"], ended["n_predicted"], ended["n_refused"]) == (
        N_ROWS,
        N_ROWS - n_refused,
        n_refused,
    )
    assert ended["unused"] == ["note"]

    result = httpx.get(f"{url}/{first['id']}/result", headers=headers, timeout=60)
    lines = list(csv.DictReader(io.StringIO(result.text)))
    assert [int(line["row"]) for line in lines] == list(range(1, N_ROWS + 1))
    ids = {line["id"]: int(line["row"]) for line in lines if line["id"]}
    assert len(ids) == N_ROWS - n_refused
    refused = {int(line["row"]) for line in lines if line["error"]}
    assert refused == {n + 1 for n in range(7, N_ROWS, ODD_EVERY) if (n // ODD_EVERY) % len(ODD) in REFUSED}
    assert {line["Sex"] for line in lines} == {"male", "'=cmd()"}

    wait_for("records", lambda: len(recorded(stack, first["id"])) >= len(ids), timeout_s=60)
    kept = recorded(stack, first["id"])
    assert {id_: number + 1 for id_, number in kept} == ids
    assert len(kept) == len(ids)
    one = ok(path.predictor.get(f"/predictions/{lines[0]['id']}"))
    assert (one["source"], one["username"], str(one["value"])) == (
        "batch",
        "path-predictor",
        lines[0]["value"],
    )


def recorded(stack: RunningStack, batch_id: str) -> list[tuple[str, int]]:
    """Ids of the recorded predictions, and their places in the file."""
    connection = psycopg2.connect(stack.env["CONSOLE_DATABASE_URL"])
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                'SELECT id::text, "row" FROM predictions_prediction WHERE request_id = %s', [batch_id]
            )
            found: list[tuple[str, int]] = cursor.fetchall()
            return found
    finally:
        connection.close()
