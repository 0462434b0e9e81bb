"""What Spark jobs get from predictions: a model that may answer, and days of records that are nobody's."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from core.lib.errors import InvalidRequest
from models_registry import queries as registry
from models_registry.states import VersionState
from predictions import job_supplies, partitions
from predictions.models import Prediction
from tests.registry import make_champion, make_model, make_user, make_version

pytestmark = pytest.mark.django_db

YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)


def fault(supply, **params):
    with pytest.raises(InvalidRequest) as refused:
        supply.check(params, None)
    [one] = refused.value.errors
    return one["field"], one["message"]


def days(first="", last=""):
    return {"first_day": first, "last_day": last}


def predicted(day, number=1, **values):
    id_ = partitions.first_id(day)
    partitions.ensure_for([id_])
    at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    row = {
        "id": type(id_)(int=id_.int + number),
        "request_id": "r",
        "at": at,
        "model": "titanic",
        "version": "1",
        "user_id": 1,
        "username": "ana-the-person",
        "source": "api",
        "row": 0,
        "inputs": {"Age": 22},
        "value": 1,
        "label": "Survived",
        "probabilities": {"1": 0.9, "0": 0.1},
        "warnings": ["Age 22 is unusual"],
    }
    return Prediction.objects.create(**row | values)


def lines(folder, day):
    return [json.loads(line) for line in (folder / f"{day}.ndjson").read_text().splitlines()]


def test_a_day_is_written_in_the_order_of_ids_without_who_asked_and_what(tmp_path):
    second, first = predicted(YESTERDAY, 2, actual="x"), predicted(YESTERDAY, 1)
    predicted(YESTERDAY - timedelta(days=1))
    job_supplies.PREDICTIONS.write(days(), tmp_path)
    rows = lines(tmp_path, YESTERDAY)
    assert [row["id"] for row in rows] == [str(first.pk), str(second.pk)]
    assert (rows[0]["value"], rows[0]["probabilities"]) == ("1", '{"0":0.1,"1":0.9}')
    assert (rows[0]["actual"], rows[1]["actual"]) == (None, '"x"')
    written = (tmp_path / f"{YESTERDAY}.ndjson").read_text()
    assert not [word for word in ("ana", "Age", "user", "request", "inputs") if word in written]
    assert [path.name for path in tmp_path.iterdir()] == [f"{YESTERDAY}.ndjson"]


def test_each_day_asked_for_has_a_file_even_an_empty_one(tmp_path):
    first = YESTERDAY - timedelta(days=2)
    predicted(YESTERDAY - timedelta(days=1))
    job_supplies.PREDICTIONS.write(days(str(first), str(YESTERDAY)), tmp_path)
    sizes = {path.name: len(path.read_text().splitlines()) for path in tmp_path.iterdir()}
    assert sorted(sizes.values()) == [0, 0, 1]


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        (days("8.7.2026"), "first_day", "Write a day as YYYY-MM-DD"),
        (days(last=str(YESTERDAY + timedelta(days=1))), "last_day", "not over yet"),
        (days(str(YESTERDAY), str(YESTERDAY - timedelta(days=1))), "first_day", "first one first"),
        (days(str(YESTERDAY - timedelta(days=31)), str(YESTERDAY)), "first_day", "from 1 to 31 days"),
    ],
)
def test_days_that_cannot_be_are_refused_at_their_field(given, field, words):
    found = fault(job_supplies.PREDICTIONS, **given)
    assert found[0] == f"params.{field}"
    assert words in found[1]


def test_too_many_predictions_are_refused(monkeypatch):
    predicted(YESTERDAY)
    job_supplies.PREDICTIONS.check(days(), None)
    monkeypatch.setattr(job_supplies, "MOST_ROWS", 0)
    assert "more than 0" in fault(job_supplies.PREDICTIONS, **days())[1]


@pytest.fixture
def champion():
    approver = make_user("approver", "approver")
    return make_champion(1, approver, serve_as="onnx", served_sha256="a" * 64, spec_json="{}")


def test_the_champion_and_what_the_gate_passed_may_answer(champion, tmp_path, monkeypatch):
    make_version(2, state=VersionState.PASSED, serve_as="onnx", served_sha256="b" * 64, spec_json="[]")
    monkeypatch.setattr(registry, "champion_onnx", lambda of: of.sha256.encode())
    for version, digit, spec in (("", "a", "{}"), ("2", "b", "[]")):
        params = {"model": "titanic", "version": version}
        job_supplies.MODEL.check(params, None)
        job_supplies.MODEL.write(params, tmp_path)
        told = json.loads((tmp_path / "model.json").read_text())
        assert (told["version"], told["spec_json"]) == (version or "1", spec)
        assert (tmp_path / "model.onnx").read_text() == told["sha256"] == digit * 64


@pytest.mark.parametrize(
    ("model", "version", "field", "words"),
    [
        ("nobody", "", "model", "There is no model of this name; there are: titanic, waiting"),
        ("waiting", "", "model", "waiting has no champion: name a version"),
        ("waiting", "1", "version", "waiting v1 has not passed the gate: it is candidate"),
        ("titanic", "9", "version", "titanic has no version 9"),
        ("titanic", "newest", "version", "Write the number of a version"),
        ("titanic", "2", "version", "titanic v2 could not be compiled"),
    ],
)
def test_what_may_not_answer_is_refused_at_its_field(champion, model, version, field, words):
    make_version(2, state=VersionState.PASSED, serve_as="runner", served_sha256="b" * 64)
    make_version(1, model=make_model("waiting"))
    found = fault(job_supplies.MODEL, model=model, version=version)
    assert found[0] == f"params.{field}"
    assert words in found[1]
