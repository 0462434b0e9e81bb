"""Pages, fragments and REST of drift; the rules that people change."""

import hashlib
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.utils import timezone

from core.audit.models import AuditEntry
from core.lib.errors import InvalidRequest
from predictions.drift import actions, drawings, queries, windows, words
from predictions.models import DriftRules, DriftWatch, DriftWindow
from scoring.drift import held_out
from scoring.drift.shapes import Limits
from tests.markup import flat
from tests.people import bearer, make_token, make_user, signed_in
from tests.unit.predictions.drift.recorded import champion, judge, record
from tests.unit.scoring.drift.made import PASSENGERS, drawn, scored

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("files", "sent")]

HTMX = {"HX-Request": "true"}


@pytest.fixture
def scientist():
    return make_user("sam", "scientist")


@pytest.fixture
def browser(scientist):
    return signed_in(scientist)


@pytest.fixture
def window() -> DriftWindow:
    """A drifted one, and twelve rows that wait for the next."""
    champion()
    table = drawn(512, seed=1)
    record(table.assign(Age=table["Age"] + 20))
    judge()
    return DriftWindow.objects.get()


def test_the_list_says_what_drifted_and_how_far_the_next_window_is(browser, window):
    text = browser.get("/monitoring/drift").content.decode()
    assert "drifted" in text
    assert "12 of 500" in text
    assert "Age" in text


def test_the_list_without_a_champion_says_so(browser):
    assert "No model serves yet" in browser.get("/monitoring/drift").content.decode()


def test_a_model_before_its_first_window_says_so(browser):
    champion()
    text = browser.get("/monitoring/drift/titanic").content.decode()
    assert "No window yet" in text
    assert "0 of 500" in text


def test_a_reference_that_is_away_is_said(browser):
    champion()
    DriftWatch.objects.create(
        model="titanic", version="1", error="MLflow does not answer.", next_attempt_at=timezone.now()
    )
    text = browser.get("/monitoring/drift/titanic").content.decode()
    assert "The reference cannot be had" in text
    assert "MLflow does not answer." in text


def test_a_models_page_puts_the_strongest_column_first(browser, window):
    text = browser.get("/monitoring/drift/titanic").content.decode()
    assert text.index("The distribution moved by") < text.index("Siblings and spouses")
    assert f"/monitoring/drift/titanic/{window.pk}" in text


def test_a_page_fetches_itself_again_as_a_fragment(browser, window):
    whole = browser.get("/monitoring/drift/titanic").content.decode()
    part = browser.get("/monitoring/drift/titanic", headers=HTMX).content.decode()
    assert "<html" in whole
    assert flat(part).startswith('<div class="stack" id="drift-body"')


def test_a_window_shows_every_column_with_both_distributions(browser, window):
    text = browser.get(f"/monitoring/drift/titanic/{window.pk}").content.decode()
    assert text.count('<svg class="pair"') == len(window.columns)
    assert "of the values" not in text


def test_a_window_says_how_many_scores_its_own_are_compared_with(browser, files):
    """Those of rows held out are not as many as the rows of the reference."""
    table = held_out.noted(pa.Table.from_pandas(scored(PASSENGERS)), np.linspace(0, 1, 321))
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    files.content = buffer.getvalue()
    champion(reference_sha256=hashlib.sha256(files.content).hexdigest())
    record(drawn(500, seed=1))
    judge()
    window = DriftWindow.objects.get()
    url = f"/monitoring/drift/titanic/{window.pk}"
    text = flat(browser.get(url).content.decode())
    assert f"500, against {len(PASSENGERS)} reference rows" in text
    assert text.count("Compared with 321 scores in the reference.") == 1
    for column in window.columns:  # as windows of before have it
        del column["n_reference"]
    window.save()
    assert "scores in the reference" not in browser.get(url).content.decode()


def test_the_evidence_is_a_fragment_of_what_drifted(browser, window):
    text = browser.get(f"/monitoring/drift/titanic/{window.pk}/evidence").content.decode()
    assert "<html" not in text
    assert text.count('<svg class="pair"') == len(window.drifted_columns)
    assert '<th scope="col">Range</th>' in flat(text)


def test_the_box_of_a_model_leads_to_its_drift(browser, window):
    text = browser.get("/monitoring/drift/titanic/box").content.decode()
    assert "<html" not in text
    assert "/monitoring/drift/titanic" in text


@pytest.mark.parametrize("place", ["unknown", "unknown/rules", "unknown/box", "titanic/999"])
def test_what_is_not_there_is_not_found(browser, place):
    champion()
    assert browser.get(f"/monitoring/drift/{place}").status_code == 404


def test_another_models_window_is_not_found(browser, window):
    DriftWindow.objects.update(model="other")
    assert browser.get(f"/monitoring/drift/titanic/{window.pk}").status_code == 404


# --- rules

FORM = {
    "is_watched": "on",
    "window_size": "200",
    "window_hours": "6",
    "min_n": "50",
    "alpha": "0.05",
    "wasserstein": "0.2",
    "psi": "0.2",
    "score_psi": "0.25",
    "share": "0.05",
}


def test_rules_change_by_the_form_and_are_audited(browser, scientist):
    champion()
    answer = browser.post("/monitoring/drift/titanic/rules", FORM)
    assert answer.status_code == 302
    rules = DriftRules.objects.get()
    assert (rules.window_size, rules.alpha, rules.changed_by) == (200, 0.05, "sam")
    entry = AuditEntry.objects.get(action="drift.rules")
    assert entry.before["window_size"] == 500
    assert entry.after["window_size"] == 200


def test_rules_that_cannot_be_come_back_with_the_reason(browser):
    champion()
    answer = browser.post("/monitoring/drift/titanic/rules", FORM | {"min_n": "300", "share": "7"})
    assert answer.status_code == 422
    text = answer.content.decode()
    assert "This must not be more than a window holds." in text
    assert "Write 1 or less." in text
    assert not DriftRules.objects.filter(changed_by="sam").exists()


def test_a_viewer_sees_the_rules_and_no_form():
    champion()
    text = signed_in(make_user("vi", "viewer")).get("/monitoring/drift/titanic/rules").content.decode()
    assert "500 predictions" in text
    assert "at most 0.01<" in flat(text)
    assert "Wasserstein 0.1, PSI 0.1, of the score 0.2, shares 10.0" in text
    assert "Change rules" not in text


def test_rules_over_rest(scientist):
    champion()
    _token, key = make_token(scientist)
    browser = signed_in(scientist)
    url = "/api/v1/models/titanic/drift/rules"
    assert browser.get(url, **bearer(key)).json()["window_size"] == 500
    changed = browser.patch(url, {"window_size": 250}, content_type="application/json", **bearer(key))
    assert (changed.status_code, changed.json()["window_size"]) == (200, 250)
    assert queries.rules("titanic").min_n == 100


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"window_size": 10}, "window_size"),
        ({"window_size": 10**9}, "window_size"),
        ({"alpha": "NaN"}, "alpha"),
        ({"alpha": 0}, "alpha"),
        ({"min_n": 501}, "min_n"),
        ({"share": None}, "share"),
        ({"surprise": 1}, "surprise"),
        ({"model": "other"}, "model"),
    ],
)
def test_rules_that_cannot_be_are_refused_over_rest(scientist, body, field):
    champion()
    answer = signed_in(scientist).patch(
        "/api/v1/models/titanic/drift/rules", json.dumps(body), content_type="application/json"
    )
    assert answer.status_code == 422, answer.content
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_an_engineer_may_not_change_rules():
    champion()
    answer = signed_in(make_user("eve", "engineer")).patch(
        "/api/v1/models/titanic/drift/rules", {"min_n": 50}, content_type="application/json"
    )
    assert answer.status_code == 403


def test_rules_that_stay_leave_no_trace(scientist):
    champion()
    actions.change_rules("titanic", by=scientist, window_size=500)
    assert not AuditEntry.objects.filter(action="drift.rules").exists()


def test_a_form_that_says_nothing_is_refused(scientist):
    champion()
    with pytest.raises(InvalidRequest):
        actions.change_rules("titanic", by=scientist, window_size=None)


def test_the_rules_hold_for_the_next_window(scientist, window):
    actions.change_rules("titanic", by=scientist, window_size=50, min_n=30, wasserstein=5.0, score_psi=5.0)
    record(drawn(100, seed=2))
    judge()
    newest = DriftWindow.objects.first()
    assert newest.n == 50
    assert newest.limits["wasserstein"] == 5.0
    assert windows.limits_of(DriftRules()) == Limits()


# --- REST


def test_windows_over_rest(browser, window):
    found = browser.get("/api/v1/models/titanic/drift").json()
    (row,) = found["results"]
    assert found["next"] is None
    assert (row["id"], row["n"], row["is_drifted"], row["version"]) == (window.pk, 500, True, "1")
    age = next(column for column in row["columns"] if column["name"] == "Age")
    assert age["checks"][0]["p_adjusted"] < 0.01
    assert len(age["bins"]["labels"]) == len(age["bins"]["window"])


def test_windows_over_rest_come_in_pages(browser, window):
    record(drawn(500, seed=3))
    judge()
    first = browser.get("/api/v1/models/titanic/drift?limit=1").json()
    second = browser.get(first["next"]).json()
    assert [first["results"][0]["id"], second["results"][0]["id"]] == [
        row.pk for row in DriftWindow.objects.all()
    ]


def test_windows_of_an_unknown_model_are_not_found(browser):
    assert browser.get("/api/v1/models/unknown/drift").status_code == 404


# --- drawings and words


def test_bars_stay_within_the_drawing():
    bins = {"labels": ["a", "b", ""], "reference": [0.5, 0.5, 0.0], "window": [0.0, 0.1, 0.9]}
    drawn_pair = drawings.pair(bins)
    for bar in drawn_pair["bars"]:
        assert bar["x"] >= drawn_pair["left"]
        assert bar["x"] + bar["width"] <= drawn_pair["width"]
        assert 0 <= bar["y"] <= drawn_pair["foot"]
    assert drawings.rows(bins)[-1]["label"] == "all others"


def test_nothing_is_drawn_of_nothing():
    assert drawings.small_pair({"labels": [], "reference": [], "window": []})["bars"] == []
    assert drawings.strip([]) is None


def test_many_drifted_columns_are_named_shortly(window):
    window.columns = [{**window.columns[0], "title": f"c{n}"} for n in range(9)]
    assert words.drifted_titles(window) == "c0, c1, c2, c3, c4 and 4 more"


@pytest.fixture
def many(window):
    """Thirty windows of nine columns, as a month of a busy model leaves them."""
    rows = [
        DriftWindow(**{**windows_values(window), "after": window.upto + n, "upto": window.upto + n + 1})
        for n in range(30)
    ]
    return DriftWindow.objects.bulk_create(rows)


def windows_values(window):
    kept = {field.name: getattr(window, field.name) for field in DriftWindow._meta.fields}
    return {name: value for name, value in kept.items() if name != "id"}


def test_a_brief_window_says_the_same_and_is_small(window):
    brief = queries.recent("titanic")[0]
    assert drawings.strip_of_windows([brief]) == drawings.strip_of_windows([window])
    assert words.drifted_titles(brief) == words.drifted_titles(window)
    assert len(json.dumps(brief.verdicts)) < len(json.dumps(window.columns)) / 3


def test_a_models_page_loads_one_whole_window_and_its_strips_once(
    browser, many, django_assert_max_num_queries
):
    browser.get("/monitoring/drift/titanic")
    with django_assert_max_num_queries(13) as seen:
        text = browser.get("/monitoring/drift/titanic").content.decode()
    of_windows = [q["sql"] for q in seen.captured_queries if "predictions_driftwindow" in q["sql"]]
    whole = [sql for sql in of_windows if '"predictions_driftwindow"."columns",' in sql]
    assert len(whole) == 1
    assert "LIMIT 1" in whole[0]
    assert sum("jsonb_agg" in sql for sql in of_windows) == 1
    assert text.count('class="drift-strip"') == len(many[0].columns)


def test_the_box_loads_no_whole_window(browser, many, django_assert_max_num_queries):
    with django_assert_max_num_queries(14) as seen:
        browser.get("/monitoring/drift/titanic/box")
    assert not [q for q in seen.captured_queries if '"predictions_driftwindow"."columns",' in q["sql"]]
