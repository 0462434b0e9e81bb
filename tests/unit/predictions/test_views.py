"""Pages and REST around predictions, in a session."""

import csv
import io
import json
import subprocess
import uuid
from types import SimpleNamespace

import orjson
import pytest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import override

from core.audit.models import AuditEntry
from core.lib.ids import uuid7
from predictions import explanation, list_views
from predictions.models import Prediction
from predictions.serving.served import Served
from scoring.spec_reading import read_spec
from tests import champions
from tests.champions import ROW
from tests.markup import flat
from tests.people import bearer, make_token, make_user, signed_in
from tests.unit.predictions.test_ingestion import handle, message

pytestmark = pytest.mark.django_db

FORM = {name: str(value) for name, value in ROW.items()}


@pytest.fixture
def ana():
    return make_user("ana", "predictor")


@pytest.fixture
def browser(ana, running):
    return signed_in(ana)


def recorded(user, **changes) -> Prediction:
    id_ = uuid7()
    handle([message(id_, user_id=user.pk, username=user.username, version="1", **changes)])
    return Prediction.objects.get(pk=id_)


def test_the_champions_are_listed(browser):
    page = browser.get("/predict").content.decode()
    assert "Would this passenger have survived?" in page
    assert "titanic v1" in page


def test_without_champions_the_page_says_how_one_comes_about(browser, running):
    running.engine.served = {}
    assert "Nothing answers yet" in browser.get("/predict").content.decode()


def test_the_form_holds_the_example_when_asked(browser):
    page = browser.get("/predict/titanic?example").content.decode()
    assert 'value="7.25"' in page
    assert "family size 2" in flat(page)


def test_an_answer_is_recorded_and_shown(browser, broker, ana):
    answer = browser.post("/predict/titanic", FORM)
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "Did not survive" in page
    assert broker.records[0]["user_id"] == ana.pk
    assert broker.records[0]["source"] == "form"
    assert broker.records[0]["id"] in page


class Swapping(dict):
    """Champions that are others after the first look, as when a swap falls into a request."""

    def __init__(self, first, then):
        super().__init__(first)
        self._then = then

    def get(self, name, default=None):
        found = super().get(name, default)
        self.update(self._then)
        return found


@pytest.fixture
def swapped_meanwhile(running, browser):
    """Version 2 takes over after the first look; its field is called otherwise."""
    first = running.engine.served["titanic"]
    spec = first.spec.to_json().decode().replace('"Siblings"', '"Brothers and sisters"')
    ref = champions.structs.replace(first.ref, version="2", spec_json=spec)
    second = Served(ref, read_spec(spec), first.scorer, first.reference)
    running.engine.served = Swapping({"titanic": first}, {"titanic": second})
    return browser


def test_an_answer_names_the_version_that_gave_it_though_another_takes_over(swapped_meanwhile, broker):
    page = swapped_meanwhile.post("/predict/titanic", FORM).content.decode()
    assert broker.records[0]["version"] == "1"
    assert "v1" in page
    assert "v2" not in page
    assert "Brothers" not in page


def test_an_explanation_is_of_the_version_that_was_asked_though_another_takes_over(swapped_meanwhile):
    page = swapped_meanwhile.post("/predict/titanic/why", FORM).content.decode()
    assert "Siblings" in page
    assert "Brothers" not in page


def test_a_recorded_answer_is_explained_by_its_own_version_though_another_takes_over(swapped_meanwhile, ana):
    found = recorded(ana, inputs=ROW)
    page = swapped_meanwhile.get(f"/predictions/{found.pk}/why").content.decode()
    assert "Siblings" in page
    assert "Brothers" not in page


def test_what_cannot_be_scored_comes_back_as_it_was_typed(browser, broker):
    answer = browser.post("/predict/titanic", {**FORM, "Age": "abc"}, headers={"HX-Request": "true"})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert 'value="abc"' in page
    assert "Write a number, such as 7.25." in page
    assert "<html" not in page
    assert broker.messages == []


def test_warnings_and_derived_values_come_while_one_types(browser):
    page = browser.post("/predict/titanic/check", {**FORM, "Parch": "9"}).content.decode()
    assert "family size 11" in flat(page)
    assert "Outlier: more than any seen in training" in page


def test_the_explanation_is_a_fragment(browser):
    page = browser.post("/predict/titanic/why", FORM).content.decode()
    assert "What moved “Survived”" in page
    assert "Shapley values over 7 fields, exact." in page


def test_an_unconfirmed_record_is_told_and_not_answered(browser, broker):
    broker.fails = True
    answer = browser.post("/predict/titanic", FORM, headers={"HX-Request": "true"})
    assert answer.status_code == 503
    assert "not confirmed" in answer.content.decode()


def test_an_unknown_model_is_not_found(browser):
    assert browser.get("/predict/atlantis").status_code == 404
    assert browser.get("/predict/unfinished").status_code == 409


def test_the_api_page_shows_a_call_with_the_models_own_fields(browser):
    page = browser.get("/predict/titanic/api").content.decode()
    assert "/api/v1/models/titanic/predict" in page
    assert "Embarked" in page


@pytest.mark.parametrize("name", ["O'Brien", '"; exit 1; "', "$(exit 1) `exit 1` \\", "Ávila\n"])
def test_the_shell_sends_the_example_as_it_is(rf, running, name):
    served = running.engine.served["titanic"]
    example = served.spec.example | {"Embarked": name}
    shown = SimpleNamespace(ref=served.ref, spec=SimpleNamespace(example=example))
    call = explanation.curl(rf.get("/"), shown)["curl"]
    said = subprocess.run(
        ["sh", "-c", f"curl() {{ printf '%s\\0' \"$@\"; }}\n{call}"],
        capture_output=True,
        check=True,
        timeout=10,
    )
    *options, body, _end = said.stdout.decode().split("\0")
    assert options[1] == "http://testserver/api/v1/models/titanic/predict"
    assert orjson.loads(body) == {"rows": [example]}


def test_my_predictions_are_mine(browser, ana):
    other = make_user("bob", "predictor")
    mine, theirs = recorded(ana), recorded(other)
    page = browser.get("/predict/titanic/mine").content.decode()
    assert str(mine.pk) in page
    assert str(theirs.pk) not in page


def test_everybodys_need_the_right(browser, ana):
    assert browser.get("/predictions").status_code == 403
    recorded(ana)
    page = signed_in(make_user("eve", "engineer")).get("/predictions").content.decode()
    assert "ana" in page


def test_the_list_is_filtered_and_paged(ana, browser):
    for _ in range(51):
        recorded(ana, warnings=[])
    warned = recorded(ana)
    page = browser.get("/predict/titanic/mine?only=warned").content.decode()
    assert page.count("<tr id=") == 1
    assert str(warned.pk) in page
    first = browser.get("/predict/titanic/mine")
    assert first.context["page"]["next_url"]
    second = browser.get(first.context["page"]["next_url"])
    assert second.content.decode().count("<tr id=") == 2


def test_an_export_cannot_carry_a_formula(ana, browser):
    recorded(ana, label="=HYPERLINK(1)")
    answer = browser.get("/predict/titanic/mine.csv")
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert rows[0]["label"] == "'=HYPERLINK(1)"
    assert rows[0]["probability"] == "0.87"


def test_a_label_that_is_a_number_is_exported_as_it_is(ana, browser):
    recorded(ana, label="-1")
    assert [row["label"] for row in exported(browser)] == ["-1"]


def exported(browser, query="") -> list[dict[str, str]]:
    answer = browser.get(f"/predict/titanic/mine.csv{query}")
    return list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))


@pytest.mark.parametrize("chunk", [1, 2, 1_000])
def test_an_export_that_ends_early_says_so_and_how_it_goes_on(ana, browser, monkeypatch, chunk):
    monkeypatch.setattr(list_views, "EXPORT_ROWS", 2)
    monkeypatch.setattr(list_views, "CHUNK", chunk)
    made = [str(recorded(ana).pk) for _ in range(3)]
    newest = exported(browser)
    assert [row["id"] for row in newest[:2]] == made[:0:-1]
    assert newest[2]["id"] == f"There are more than these 2. Export the others with before={made[1]}."
    rest = exported(browser, f"?before={made[1]}")
    assert [row["id"] for row in rest] == made[:1]


def test_an_export_of_exactly_so_many_is_whole(ana, browser, monkeypatch):
    monkeypatch.setattr(list_views, "EXPORT_ROWS", 2)
    made = {str(recorded(ana).pk) for _ in range(2)}
    assert {row["id"] for row in exported(browser)} == made


def test_an_export_marks_what_its_caller_never_heard(ana, browser):
    unheard = recorded(ana)
    Prediction.objects.filter(pk=unheard.pk).update(is_answered=False)
    heard = recorded(ana)
    marks = {row["id"]: row["is_answered"] for row in exported(browser)}
    assert marks == {str(unheard.pk): "False", str(heard.pk): "True"}


def test_the_export_of_any_page_of_the_list_is_whole(ana, browser):
    for _ in range(51):
        recorded(ana)
    first = browser.get("/predict/titanic/mine?only=warned")
    second = browser.get(first.context["page"]["next_url"]).content.decode()
    assert 'href="/predict/titanic/mine.csv?only=warned"' in second


def test_one_huge_number_takes_nothing_from_the_export(ana, browser):
    recorded(ana, inputs={"a": 1e30, "b": 1e300})
    recorded(ana, inputs={"a": 1})
    answer = browser.get("/predict/titanic/mine.csv")
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert [json.loads(row["inputs"]) for row in rows] == [{"a": 1}, {"a": 10**30, "b": 10**300}]
    found = browser.get("/api/v1/predictions").json()["results"]
    assert [row["inputs"] for row in found] == [{"a": 1}, {"a": 10**30, "b": 10**300}]


def test_a_recorded_prediction_has_its_page(ana, browser):
    found = recorded(ana, inputs=ROW)
    page = browser.get(f"/predictions/{found.pk}").content.decode()
    assert "22 years" in page
    assert "Fare is high" in page
    assert f'<noscript><a href="/predictions/{found.pk}/why">' in flat(page)
    why = browser.get(f"/predictions/{found.pk}/why").content.decode()
    assert "What moved" in why
    assert "<!DOCTYPE html>" in why  # a page for those without scripts
    assert (
        "<html"
        not in browser.get(f"/predictions/{found.pk}/why", headers={"HX-Request": "true"}).content.decode()
    )


def test_one_that_is_on_its_way_is_being_recorded(browser):
    assert "being recorded" in browser.get(f"/predictions/{uuid7()}").content.decode()


def test_the_waiting_page_goes_to_the_recorded_one(ana, browser):
    found = recorded(ana)
    answer = browser.get(f"/predictions/{found.pk}", headers={"HX-Request": "true"})
    assert answer["HX-Redirect"] == f"/predictions/{found.pk}"


def test_one_that_never_was_is_not_found(browser):
    assert browser.get(f"/predictions/{uuid.UUID(int=7)}").status_code == 404


def test_somebody_elses_is_not_found(browser):
    found = recorded(make_user("bob", "predictor"))
    assert browser.get(f"/predictions/{found.pk}").status_code == 404
    assert browser.post(f"/predictions/{found.pk}/erase").status_code == 404


def test_feedback_is_kept_with_who_and_when(ana, browser):
    found = recorded(ana)
    answer = browser.post(
        f"/predictions/{found.pk}/feedback", {"actual": "1"}, headers={"HX-Request": "true"}
    )
    found.refresh_from_db()
    assert "Survived" in answer.content.decode()
    assert (found.actual, found.actual_by, found.is_right) == (1, "ana", False)
    assert AuditEntry.objects.filter(action="prediction.label", object_id=found.pk).exists()


def test_an_impossible_outcome_is_refused(ana, browser):
    found = recorded(ana)
    answer = browser.post(f"/predictions/{found.pk}/feedback", {"actual": "7"})
    assert answer.status_code == 422


def test_who_may_see_all_may_not_label_or_erase_for_others(ana, running):
    found = recorded(ana)
    eve = signed_in(make_user("eve", "engineer"))
    assert eve.get(f"/predictions/{found.pk}").status_code == 200
    assert eve.post(f"/predictions/{found.pk}/feedback", {"actual": "1"}).status_code == 404
    assert eve.post(f"/predictions/{found.pk}/erase").status_code == 404


def test_an_erased_prediction_is_gone_for_good(ana, browser):
    found = recorded(ana)
    assert browser.post(f"/predictions/{found.pk}/erase").status_code == 302
    assert not Prediction.objects.filter(pk=found.pk).exists()
    page = browser.get(f"/predictions/{found.pk}")
    assert page.status_code == 404
    assert "was erased" in page.content.decode()


def test_the_overview_shows_the_last_ones(ana, browser):
    recorded(ana, at=timezone.now().isoformat())
    page = browser.get("/predictions/recent").content.decode()
    assert "1 in the last 30 minutes" in page


def test_the_search_finds_a_prediction_by_its_id_for_whoever_may_see_it(ana, browser):
    id_ = recorded(ana).pk

    def is_found(client) -> bool:
        return f"/predictions/{id_}" in client.get(f"/search?q={id_}").content.decode()

    assert is_found(browser)
    assert is_found(signed_in(make_user("sam", "scientist")))
    assert not is_found(signed_in(make_user("otto", "predictor")))
    assert not is_found(signed_in(make_user("vic", "viewer")))


# --- REST


def post_json(browser, url: str, body, **headers):
    return browser.post(url, orjson.dumps(body), content_type="application/json", headers=headers)


def test_a_session_predicts_over_rest(browser, broker, ana):
    answer = post_json(browser, reverse("api:model-predict", args=["titanic"]), {"rows": [ROW]})
    assert answer.status_code == 200
    assert answer.json()["predictions"][0]["label"] == "Did not survive"
    assert broker.records[0]["user_id"] == ana.pk


def test_a_session_gets_the_same_problems(browser, broker):
    url = reverse("api:model-predict", args=["titanic"])
    wrong = post_json(browser, url, {"rows": [{**ROW, "Sex": "robot"}]})
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["field"] == "Sex"
    broker.fails = True
    gone = post_json(browser, url, {"rows": [ROW]})
    assert gone.status_code == 503
    assert gone["Retry-After"]
    assert len(gone.json()["ids"]) == 1


def test_a_session_explains_over_rest(browser):
    answer = post_json(browser, reverse("api:model-explain", args=["titanic"]), {"rows": [ROW]})
    assert answer.json()["explanations"][0]["is_exact"]


def test_predictions_over_rest_are_ones_own(ana, browser):
    mine, theirs = recorded(ana), recorded(make_user("bob", "predictor"))
    ids = [found["id"] for found in browser.get("/api/v1/predictions").json()["results"]]
    assert ids == [str(mine.pk)]
    assert browser.get("/api/v1/predictions?all=true").status_code == 403
    assert browser.get(f"/api/v1/predictions/{theirs.pk}").status_code == 404


def test_everybodys_over_rest_for_those_who_may(ana, running):
    recorded(ana)
    eve = make_user("eve", "engineer")
    _token, key = make_token(eve)
    assert len(signed_in(eve).get("/api/v1/predictions?all=true").json()["results"]) == 1
    _token, narrow = make_token(eve, "predict", name="narrow")
    client = signed_in(eve)
    assert client.get("/api/v1/predictions?all=true", **bearer(key)).status_code == 200
    assert client.get("/api/v1/predictions?all=true", **bearer(narrow)).status_code == 403


def test_feedback_over_rest(ana, browser):
    found = recorded(ana)
    url = f"/api/v1/predictions/{found.pk}/feedback"
    assert post_json(browser, url, {"actual": 0}).json()["actual"] == 0
    assert post_json(browser, url, {}).status_code == 422
    assert post_json(browser, url, {"actual": "perhaps"}).json()["errors"][0]["field"] == "actual"


def test_feedback_to_one_that_is_on_its_way_is_told_to_wait(browser):
    answer = post_json(browser, f"/api/v1/predictions/{uuid7()}/feedback", {"actual": 0})
    assert answer.status_code == 409


def test_erasing_over_rest(ana, browser):
    found = recorded(ana)
    assert browser.delete(f"/api/v1/predictions/{found.pk}").status_code == 204
    assert browser.get(f"/api/v1/predictions/{found.pk}").status_code == 404


@pytest.mark.parametrize("since", ["0001-01-01", "9999-12-31"])
def test_any_day_of_the_calendar_filters(ana, browser, since):
    assert browser.get(f"/predict/titanic/mine?since={since}").status_code == 200


@pytest.mark.parametrize("fare", ["18446744073709551616", "1e30", "9007199254740993"])
def test_a_number_of_any_size_is_answered_and_recorded(browser, broker, fare):
    answer = browser.post("/predict/titanic", {**FORM, "Fare": fare})
    assert answer.status_code in (200, 302)
    assert broker.records[0]["inputs"]["Fare"] == float(fare)


@pytest.mark.parametrize(
    ("language", "fare", "status"),
    [
        ("es", "7,25", 200),
        ("es", "7.25", 200),
        ("en", "7,25", 200),
        ("es", "12.125", 422),
        ("en", "1,234", 422),
    ],
)
def test_numbers_are_read_as_the_reader_types_them(browser, broker, language, fare, status):
    with override("en"):  # the language of a request stays with its thread
        answer = browser.post(
            "/predict/titanic", FORM | {"Fare": fare}, headers={"Accept-Language": language}
        )
    assert answer.status_code == status
    assert f'value="{fare}"' in answer.content.decode()
    assert [record["inputs"]["Fare"] for record in broker.records] == ([7.25] if status == 200 else [])


def test_the_example_is_shown_as_its_reader_would_type_it(browser):
    with override("en"):
        page = browser.get("/predict/titanic?example", headers={"Accept-Language": "es"}).content.decode()
    assert 'value="7,25"' in page


def test_values_that_the_model_has_no_number_for_stay_in_the_form(browser, running, monkeypatch):
    scorer = running.engine.champion("titanic").scorer
    run = scorer._run

    def overflows(feed):
        outcome = run(feed)
        outcome.probabilities[:] = float("nan")
        return outcome

    monkeypatch.setattr(scorer, "_run", overflows)
    answer = browser.post("/predict/titanic", {**FORM, "Fare": "2000"}, headers={"HX-Request": "true"})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert 'id="predict-form"' in page
    assert 'value="2000"' in page
    assert "The model answers 1 row with no number" in page
