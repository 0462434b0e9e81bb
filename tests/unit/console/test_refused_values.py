"""Values that no route can take, and what the caller is told of each."""

import copy
import json
from urllib.parse import quote

import pytest
from django.urls import reverse

from streaming import defaults
from tests import populated

pytestmark = pytest.mark.django_db(databases=["default", "usecases"])

NAME = populated.NAME
RUNS = f"/api/v1/pipelines/{NAME}/runs"
PREDICT = f"/api/v1/models/{NAME}/predict"
FORM = reverse("pipelines:run-trigger", args=[NAME])
JSON = {"content_type": "application/json"}


@pytest.fixture
def browser(db, monkeypatch, settings, tmp_path):
    world = populated.rows(populated.fakes(monkeypatch, settings, tmp_path))
    return populated.client_of(world.user)


@pytest.mark.parametrize("at", ["2026-03-01T12:00:00+23:59", "2026-03-01T12:00:00-16:28", "2026-03-01T12:00"])
@pytest.mark.parametrize(
    "address",
    [
        f"/api/v1/models/{NAME}/history?at=",
        f"/api/v1/streams/{NAME}/windows?since=",
        "/api/v1/audit?until=",
        "/system/audit?since=",
        f"/api/v1/topics/{NAME}/messages?from=",
    ],
)
def test_a_time_of_any_zone_is_a_time(browser, address, at):
    assert browser.get(address + quote(at)).status_code == 200


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+16:28", "9999-12-31T23:59:59-23:59", "noon"])
@pytest.mark.parametrize(
    ("address", "field"),
    [
        (f"/api/v1/models/{NAME}/history?at=", "at"),
        (f"/api/v1/streams/{NAME}/windows?since=", "since"),
        ("/api/v1/audit?until=", "until"),
        (f"/api/v1/topics/{NAME}/messages?from=", "from"),
    ],
)
def test_a_time_that_no_calendar_has_is_refused_at_its_field(browser, address, field, at):
    answer = browser.get(address + quote(at))
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


@pytest.mark.parametrize("value", ["1e999", "NaN", "-Infinity", "9" * 5000, r'"\ud800"', r'{"\udfff": 1}'])
def test_settings_of_a_run_that_no_json_has_are_refused(browser, value):
    answer = browser.post(RUNS, f'{{"conf": {{"source": {value}}}}}', **JSON)
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    form = {"conf-n_iter": "1", "conf-scoring": '"f1"', "conf-share": "0.5", "conf-grid": f'{{"a": {value}}}'}
    page = browser.post(FORM, form)
    assert page.status_code == 422
    other = browser.post(FORM, {**form, "conf-grid": "{}", "other": value})
    assert other.status_code == 422


@pytest.mark.parametrize(("name", "value"), [("n_iter", "9" * 5000), ("share", "1e999"), ("share", "NaN")])
def test_a_number_of_a_form_that_is_none_is_refused(browser, name, value):
    form = {"conf-n_iter": "1", "conf-scoring": '"f1"', "conf-share": "0.5", f"conf-{name}": value}
    assert browser.post(FORM, form).status_code == 422


def test_half_a_character_as_the_name_of_a_field_is_refused(browser):
    answer = browser.post(PREDICT, r'{"rows": [{"\ud800": 1}]}', **JSON)
    assert answer.status_code == 422
    assert any(error["field"] == "?" for error in answer.json()["errors"])
    assert browser.post(PREDICT, r'{"\ud800": 1}', **JSON).status_code == 422


@pytest.mark.parametrize(
    ("body", "error"), [('{"rows": []}', {"field": "rows"}), ('{"rows": [1]}', {"row": 0, "field": ""})]
)
def test_faults_are_what_the_schema_says(browser, body, error):
    (found,) = browser.post(PREDICT, body, **JSON).json()["errors"]
    assert {name: value for name, value in found.items() if name != "message"} == error


def test_a_definition_with_a_null_character_is_refused(browser):
    definition = copy.deepcopy(defaults.TAXI_TRIPS)
    definition["fields"][0]["label"] = "a\x00b"
    body = {"name": "mine", "topic": "mine", "definition": definition}
    assert browser.post("/api/v1/streams", body, **JSON).status_code == 422
    assert browser.patch(f"/api/v1/streams/{NAME}", {"definition": definition}, **JSON).status_code == 422
    form = {"name": "mine", "topic": "mine", "definition": json.dumps(definition)}
    assert browser.post("/streams/-/new", form).status_code == 422


def test_an_address_that_is_none_leads_to_the_start(client, db):
    answer = client.get("/pipelines", headers={"HX-Request": "true", "HX-Current-URL": "http://[bad"})
    assert (answer.status_code, answer["HX-Redirect"]) == (401, "/sign-in?next=%2F")


@pytest.mark.parametrize("limit", ["1.5", "abc", "0", "201", ""])
@pytest.mark.parametrize("address", ["/api/v1/runs", "/api/v1/tokens", f"/api/v1/topics/{NAME}/messages"])
def test_a_limit_that_is_no_number_of_rows_is_refused(browser, address, limit):
    answer = browser.get(f"{address}?limit={limit}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "limit")
