"""Files of rows by page and by REST: brought, followed, cancelled, taken away, removed."""

import csv
import io
import uuid

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from core.audit.models import AuditEntry
from predictions import ingestion
from predictions.batch_models import BatchState, PredictionBatch
from predictions.batches import actions, clearing, files
from predictions.models import Prediction
from tests.markup import flat
from tests.people import bearer, make_token, make_user, signed_in
from tests.unit.predictions.batches.conftest import HEADER, csv_of

pytestmark = pytest.mark.django_db
URL = "/api/v1/models/titanic/batches"
PAGE = "/predict/titanic/files"


@pytest.fixture
def browser(ana, running):
    return signed_in(ana)


@pytest.fixture
def key(ana):
    return make_token(ana, "predict")[1]


def sent(content: bytes, name: str = "people.csv") -> dict:
    return {"file": SimpleUploadedFile(name, content, "text/csv")}


def headers(key: str, **more: str) -> dict:
    return {"headers": {"authorization": f"Bearer {key}", **more}}


def test_a_file_is_accepted_with_its_row(browser, key, ana):
    answer = browser.post(URL, sent(csv_of(2)), **bearer(key))
    row = answer.json()
    assert (answer.status_code, row["state"], row["file_name"]) == (202, "queued", "people.csv")
    batch = PredictionBatch.objects.get()
    assert (str(batch.pk), batch.requested_by, batch.format) == (row["id"], ana, "csv")
    assert files.upload(batch.pk).read_bytes() == csv_of(2)
    assert browser.get(f"{URL}/{row['id']}", **bearer(key)).json() == row
    assert browser.get(URL, **bearer(key)).json() == {"results": [row], "next": None}
    assert AuditEntry.objects.get(action="batch.start").after["sha256"] == row["sha256"]


@pytest.mark.parametrize("kind", ["text/csv", "text/csv; charset=utf-8", "application/octet-stream"])
def test_the_body_may_be_the_file_itself(browser, key, kind):
    name = {"content-disposition": 'attachment; filename="mine.csv"'}
    answer = browser.post(URL, csv_of(2), content_type=kind, **headers(key, **name))
    assert (answer.status_code, answer.json()["file_name"]) == (202, "mine.csv")
    assert files.upload(uuid.UUID(answer.json()["id"])).read_bytes() == csv_of(2)


def test_a_session_needs_the_token_of_its_forms(ana, running):
    strict = signed_in(ana, enforce_csrf_checks=True)
    assert strict.post(URL, sent(csv_of(1))).status_code == 403


def test_a_repeated_call_makes_one_batch_though_its_form_is_written_otherwise(browser, key):
    first = browser.post(URL, sent(csv_of(2)), **headers(key, **{"idempotency-key": "k-1"}))
    again = browser.post(
        URL, csv_of(2), content_type="text/csv", **headers(key, **{"idempotency-key": "k-1"})
    )
    other = browser.post(URL, sent(csv_of(3)), **headers(key, **{"idempotency-key": "k-1"}))
    assert (first.status_code, again.status_code, other.status_code) == (202, 202, 422)
    assert (again.json()["id"], again["Idempotent-Replay"]) == (first.json()["id"], "true")
    assert "Idempotent-Replay" not in first
    assert PredictionBatch.objects.count() == 1
    assert [path.name for path in files.root().iterdir()] == [first.json()["id"]]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("content", [csv_of(2), csv_of(3)], ids=["the same file", "another file"])
def test_a_call_that_comes_twice_at_once_leaves_one_folder(browser, key, monkeypatch, content):
    first = browser.post(URL, sent(csv_of(2)), **headers(key, **{"idempotency-key": "k-1"}))
    before, n_asked = actions._before, 0

    def not_yet(*args):
        nonlocal n_asked
        n_asked += 1
        return None if n_asked == 1 else before(*args)

    monkeypatch.setattr(actions, "_before", not_yet)
    again = browser.post(URL, sent(content), **headers(key, **{"idempotency-key": "k-1"}))
    assert again.status_code == (202 if content == csv_of(2) else 422)
    assert [path.name for path in files.root().iterdir()] == [first.json()["id"]]


def test_a_key_that_is_none_is_refused(browser, key):
    answer = browser.post(URL, sent(csv_of(2)), **headers(key, **{"idempotency-key": "ä b"}))
    assert answer.status_code == 422


REFUSED = {
    "no file": ({}, 422, "Send a file"),
    "an empty file": (sent(b" "), 422, "is missing"),
    "a column misspelt": (sent(b"pclass,Sex,SibSp,Parch,Fare\n"), 422, "did you mean Pclass?"),
    "cut Parquet": (sent(b"PAR1" + b"\0" * 50), 422, "cannot be read"),
}


@pytest.mark.parametrize(("body", "status", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_file_of_rows_is_refused_and_leaves_nothing(browser, key, body, status, words):
    answer = browser.post(URL, body, **bearer(key))
    assert answer.status_code == status
    assert words in answer.json()["detail"] + str(answer.json().get("errors"))
    assert PredictionBatch.objects.count() == 0
    assert not files.root().exists() or list(files.root().iterdir()) == []


def test_each_column_at_fault_is_named(browser, key):
    answer = browser.post(URL, sent(b"Pclass,Pclass,Sex,SibSp,Parch\n"), **bearer(key))
    assert [fault["field"] for fault in answer.json()["errors"]] == ["Pclass", "Fare"]


def test_a_file_that_is_too_large_is_refused(browser, key, settings):
    settings.CONSOLE_BATCHES_MAX_MIB = 1
    content = csv_of(1, *["x" * 1000] * 1_100)
    answer = browser.post(URL, sent(content), **bearer(key))
    assert (answer.status_code, answer.json()["detail"]) == (
        413,
        "A file may hold at most 1 MiB: send it in parts.",
    )
    assert list(files.root().glob("*/*")) == []


def test_a_model_nobody_knows_and_one_without_champion(browser, key):
    assert browser.post("/api/v1/models/nope/batches", sent(csv_of(1)), **bearer(key)).status_code == 404
    assert (
        browser.post("/api/v1/models/unfinished/batches", sent(csv_of(1)), **bearer(key)).status_code == 409
    )


def test_one_person_has_a_bounded_number_of_open_files(browser, key, settings, worker):
    settings.CONSOLE_BATCHES_MOST_OPEN = 1
    first = browser.post(URL, sent(csv_of(1)), **bearer(key))
    assert browser.post(URL, sent(csv_of(1)), **bearer(key)).status_code == 409
    worker(PredictionBatch.objects.get(pk=first.json()["id"]))
    assert browser.post(URL, sent(csv_of(1)), **bearer(key)).status_code == 202


def test_the_result_comes_once_it_is_there(browser, key, bring, worker):
    batch = bring(csv_of(2))
    assert browser.get(f"{URL}/{batch.pk}/result", **bearer(key)).status_code == 409
    worker(batch)
    answer = browser.get(f"{URL}/{batch.pk}/result", **bearer(key))
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert [row["row"] for row in rows] == ["1", "2"]
    assert not AuditEntry.objects.filter(action="batch.export").exists()


def test_others_files_are_seen_by_who_may_see_all_and_changed_by_nobody_else(bring, worker, ana):
    batch = worker(bring(csv_of(1)))
    stranger, scientist = signed_in(make_user("leo", "predictor")), signed_in(make_user("sam", "scientist"))
    for path in ("", "/result"):
        assert stranger.get(f"{URL}/{batch.pk}{path}").status_code == 404
        assert scientist.get(f"{URL}/{batch.pk}{path}").status_code == 200
    assert stranger.get(f"{PAGE}/{batch.pk}").status_code == 404
    assert scientist.get(f"{PAGE}/{batch.pk}").status_code == 200
    assert stranger.get(URL).json()["results"] == []
    assert stranger.get(f"{URL}?all=true").status_code == 403
    assert scientist.get(URL).json()["results"] == []
    assert [one["id"] for one in scientist.get(f"{URL}?all=true").json()["results"]] == [str(batch.pk)]
    assert scientist.post(f"{URL}/{batch.pk}/cancel").status_code == 404
    assert scientist.delete(f"{URL}/{batch.pk}").status_code == 404
    assert AuditEntry.objects.filter(action="batch.export").count() == 1


def test_the_state_narrows_the_list(browser, bring, worker):
    worker(bring(csv_of(1)))
    bring(csv_of(1))
    assert [one["state"] for one in browser.get(f"{URL}?state=queued").json()["results"]] == ["queued"]
    assert browser.get(f"{URL}?state=odd").status_code == 422


def test_another_models_address_leads_to_no_batch(browser, bring):
    batch = bring(csv_of(1))
    assert browser.get(f"/api/v1/models/other/batches/{batch.pk}").status_code == 404


def test_what_waits_is_cancelled_at_once(browser, bring, worker, broker):
    batch = bring(csv_of(1))
    answer = browser.post(f"{URL}/{batch.pk}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (202, "cancelled")
    assert worker(batch).state == BatchState.CANCELLED
    assert broker.messages == []
    assert browser.post(f"{URL}/{batch.pk}/cancel").status_code == 409


def test_what_runs_ends_after_its_part_and_keeps_what_it_has(browser, bring, worker, broker):
    batch = bring(csv_of(1_200))
    broker.fails = True
    worker(batch)  # the first part is named and not confirmed
    broker.fails = False
    assert browser.post(f"{URL}/{batch.pk}/cancel").json()["state"] == "running"
    PredictionBatch.objects.filter(pk=batch.pk).update(next_attempt_at="2026-01-01T00:00Z")
    batch = worker(batch)
    assert (batch.state, batch.n_predicted) == ("cancelled", 500)
    answer = browser.get(f"{URL}/{batch.pk}/result")
    assert len(b"".join(answer.streaming_content).splitlines()) == 501


def test_an_ended_file_is_removed_with_its_result(browser, bring, worker):
    batch = bring(csv_of(1))
    assert browser.delete(f"{URL}/{batch.pk}").status_code == 409
    worker(batch)
    from django.test import TestCase

    with TestCase.captureOnCommitCallbacks(execute=True):
        assert browser.delete(f"{URL}/{batch.pk}").status_code == 204
    assert not files.folder(batch.pk).exists()
    assert browser.get(f"{URL}/{batch.pk}").status_code == 404


# --- pages


def test_without_files_the_page_says_how_one_comes_about(browser):
    page = browser.get(PAGE).content.decode()
    assert "No file yet" in page
    assert "Download a template" in page
    assert 'enctype="multipart/form-data"' in page


def test_a_file_is_brought_by_a_plain_form(browser):
    answer = browser.post(PAGE, sent(csv_of(2)))
    batch = PredictionBatch.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, f"{PAGE}/{batch.pk}")
    page = flat(browser.get(PAGE).content.decode())
    assert "people.csv" in page
    assert "queued" in page


def test_a_file_that_does_not_fit_comes_back_with_its_faults(browser):
    answer = browser.post(PAGE, sent(b"pclass,Sex,SibSp,Parch\n"))
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "did you mean Pclass?" in page
    assert "The column Fare is missing" in page
    assert browser.post(PAGE, {}).status_code == 422


def test_the_page_of_a_file_shows_what_was_set_aside(browser, bring, worker):
    batch = worker(bring(csv_of(2, "9,male,22,1,0,7.25,S", *["8,male,22,1,0,7.25,S"] * 30)))
    page = flat(browser.get(f"{PAGE}/{batch.pk}").content.decode())
    assert "Pclass must be one of 1, 2, 3, not 9" in page.replace("&#x27;", "'")
    assert "The result names 11 more." in page
    assert "Download the result" in page
    fragment = browser.get(f"{PAGE}/{batch.pk}", headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in fragment
    assert 'id="batch-body"' in fragment
    assert b"".join(browser.get(f"{PAGE}/{batch.pk}/result.csv").streaming_content).startswith(b"row,id")


def test_buttons_cancel_and_remove(browser, bring, worker):
    first, second = bring(csv_of(1)), worker(bring(csv_of(1)))
    browser.post(f"{PAGE}/{first.pk}/cancel")
    assert PredictionBatch.objects.get(pk=first.pk).state == "cancelled"
    assert browser.post(f"{PAGE}/{second.pk}/remove")["Location"] == PAGE
    assert not PredictionBatch.objects.filter(pk=second.pk).exists()


def test_a_prediction_links_to_its_file_while_that_is_kept(browser, bring, worker, broker):
    batch = worker(bring(csv_of(1)))
    for number, message in enumerate(broker.messages):
        ingestion.handle(ingestion.lines(f"predictions/0/{number}", message))
    url = f"/predictions/{Prediction.objects.get().pk}"
    page = browser.get(url).content.decode()
    assert f'href="{PAGE}/{batch.pk}"' in page
    assert "no longer kept" not in page
    browser.post(f"{PAGE}/{batch.pk}/remove")
    page = flat(browser.get(url).content.decode())
    assert f'href="{PAGE}/{batch.pk}"' not in page
    assert "the file is no longer kept" in page


def test_the_template_is_a_file_that_fits(browser, bring, worker):
    answer = browser.get(f"{PAGE}/template.csv")
    assert answer.content.decode().splitlines()[0] == HEADER
    assert worker(bring(answer.content)).n_predicted == 1


# --- what goes


def test_old_files_go_with_rows_and_results(bring, worker, settings):
    old, young, waiting = worker(bring(csv_of(1))), worker(bring(csv_of(1))), bring(csv_of(1))
    PredictionBatch.objects.filter(pk=old.pk).update(ended_at="2026-01-01T00:00Z")
    clearing.clear_old()
    assert set(PredictionBatch.objects.values_list("pk", flat=True)) == {young.pk, waiting.pk}
    assert not files.folder(old.pk).exists()
    assert files.result(young.pk).exists()
    assert files.upload(waiting.pk).exists()


def test_files_are_kept_for_ever_with_0_days(bring, worker, settings):
    settings.CONSOLE_BATCHES_KEEP_DAYS = 0
    old = worker(bring(csv_of(1)))
    PredictionBatch.objects.filter(pk=old.pk).update(ended_at="2026-01-01T00:00Z")
    clearing.clear_old()
    assert files.result(old.pk).exists()


def test_files_that_nobody_knows_go_after_a_day(running, monkeypatch):
    id_ = uuid.uuid4()
    files.keep_upload(id_, [b"x"])
    clearing.clear_old()
    assert files.folder(id_).exists()
    monkeypatch.setattr(files, "ORPHANS_LIVE_S", -1.0)
    clearing.clear_old()
    assert not files.folder(id_).exists()


def test_the_demonstrations_files_go_with_it(bring, worker, ana):
    ana.is_demo = True
    ana.save()
    batch = worker(bring(csv_of(1)))
    assert actions.remove_demo() == 1
    assert not files.folder(batch.pk).exists()


def test_a_name_that_no_page_shows_is_made_plain(bring):
    assert bring(csv_of(1), name="C:\\data\\../peo\x00ple\u202e.csv").file_name == "people.csv"
    assert bring(csv_of(1), name="\x00").file_name == "file"
    assert len(bring(csv_of(1), name="x" * 400 + ".csv").file_name) == 255
