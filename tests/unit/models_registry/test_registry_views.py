"""Every page with nothing, with rows, with MLflow away; what buttons do; what is refused."""

import re

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse
from django.utils import timezone

from core.lib import downloads
from core.lib.models import SyncState
from models_registry import sync
from models_registry.models import ChampionPeriod, GateRun, PromotionRequest
from models_registry.states import GateState, Policy, RequestState, VersionState
from tests.markup import flat
from tests.registry import (
    make_champion,
    make_gate,
    make_model,
    make_request,
    make_run,
    make_user,
    make_version,
)

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


@pytest.fixture
def as_scientist(client, scientist):
    client.force_login(scientist, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def as_approver(client, approver):
    client.force_login(approver, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def as_admin(client, admin):
    client.force_login(admin, backend="django.contrib.auth.backends.ModelBackend")
    return client


def _page(client, name, *args, **query):
    response = client.get(reverse(f"models:{name}", args=args), query)
    assert response.status_code == 200, response.content.decode()[:800]
    return response.content.decode()


EMPTY = [
    ("model-list", "No model yet"),
    ("promotion-list", "Nothing waits"),
    ("experiment-list", "No experiment"),
    ("champions", "No champion yet"),
    ("needs-you", "Nothing waits for you"),
]


@pytest.mark.parametrize(("name", "words"), EMPTY)
def test_a_page_without_rows_says_what_ends_it(as_scientist, name, words):
    assert words in _page(as_scientist, name)


VERSION_PAGES = ["version-detail", "version-metrics", "version-artifacts", "version-spec", "version-history"]


@pytest.mark.parametrize("name", VERSION_PAGES)
@pytest.mark.parametrize("state", list(VersionState))
def test_every_tab_draws_every_state(as_scientist, scientist, name, state):
    version = make_version(3, state=state)
    make_gate(version, scientist)
    assert "titanic v3" in _page(as_scientist, name, "titanic", 3)


@pytest.mark.parametrize("gate_state", list(GateState))
def test_the_evidence_draws_every_state_of_the_gate(as_scientist, scientist, gate_state):
    make_gate(make_version(3), scientist, gate_state, reason="It lacks serving/spec.json.", checks=[])
    assert "Gate" in _page(as_scientist, "version-detail", "titanic", 3)


def test_the_interval_is_drawn_with_its_numbers_in_words(as_scientist, scientist):
    make_gate(make_version(3, state=VersionState.PASSED), scientist, champion_version=2)
    page = _page(as_scientist, "version-detail", "titanic", 3)
    assert "Against champion v2" in page
    assert "95 % interval −0.005000 to 0.04000, threshold −0.01000" in page


def test_a_version_without_spec_or_run_is_still_a_page(as_scientist):
    make_version(1, spec_json="", run_id="")
    for name in VERSION_PAGES:
        _page(as_scientist, name, "titanic", 1)


@pytest.mark.parametrize(
    "text",
    [
        "[1]",
        "5",
        "null",
        "{",
        "[" * 100_000,
        '{"fields": 5, "output": {"labels": 5}}',
        '{"fields": [1]}',
        '{"primary_metric": ["accuracy"]}',
    ],
)
def test_a_spec_that_is_none_is_shown_and_breaks_no_page(as_scientist, scientist, text):
    version = make_version(1, spec_json=text)
    make_gate(version, scientist)
    assert version.spec == {}
    for name in VERSION_PAGES:
        _page(as_scientist, name, "titanic", 1)
    assert "does not have the shape of one" in _page(as_scientist, "version-spec", "titanic", 1)


def test_the_model_page_warns_of_an_alias_set_elsewhere(as_scientist, approver):
    period = make_champion(1, approver)
    period.model.alias_version = 9
    period.model.save()
    page = _page(as_scientist, "model-detail", "titanic")
    assert "alias was changed elsewhere" in page
    assert "points to v9" in page


def test_rows_say_as_of_when_while_mlflow_is_away(as_scientist):
    SyncState.objects.create(
        name="x",
        service="mlflow",
        last_success_at=timezone.now(),
        last_error="away",
        last_error_at=timezone.now(),
    )
    make_version(1)
    for name, *args in [("model-list",), ("model-detail", "titanic"), ("version-detail", "titanic", 1)]:
        assert "MLflow is not answering" in _page(as_scientist, name, *args)


def test_only_the_box_fails_when_mlflow_is_away(as_scientist, mlflow):
    run = make_run()
    mlflow.is_away = True
    _page(as_scientist, "run-detail", run.pk)
    for name in ("run-artifacts", "run-pictures"):
        response = as_scientist.get(reverse(f"models:{name}", args=[run.pk]), headers=HTMX)
        assert response.status_code == 503
        assert "MLflow is not answering" in response.content.decode()


@pytest.mark.parametrize(
    "page",
    [("model-detail", "x"), ("version-detail", "x", 1), ("experiment-detail", "x"), ("run-detail", "x")],
)
def test_what_is_not_there_is_not_found(as_scientist, page):
    assert as_scientist.get(reverse(f"models:{page[0]}", args=page[1:])).status_code == 404


def test_a_predictor_does_not_see_models(client):
    client.force_login(make_user("pia", "predictor"), backend="django.contrib.auth.backends.ModelBackend")
    assert client.get(reverse("models:model-list")).status_code == 403


# --- what buttons do


def _post(client, name, *args, **data):
    return client.post(reverse(f"models:{name}", args=args), data, headers=HTMX)


def _messages(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


def test_the_gate_is_asked_for_from_the_page(as_scientist):
    make_version(1)
    response = _post(as_scientist, "version-gate", "titanic", 1)
    assert response.headers["HX-Redirect"] == reverse("models:version-detail", args=["titanic", 1])
    assert _messages(response) == ["The gate of titanic v1 is asked for."]
    assert GateRun.objects.get().state == GateState.REQUESTED


def test_a_browser_without_htmx_gets_a_redirect(as_scientist):
    make_version(1)
    response = as_scientist.post(reverse("models:version-gate", args=["titanic", 1]))
    assert response.status_code == 302


def test_a_request_without_a_reason_comes_back_with_the_fault(as_scientist, scientist):
    make_gate(make_version(1, state=VersionState.PASSED), scientist)
    response = _post(as_scientist, "version-request", "titanic", 1, reason="")
    assert response.status_code == 422
    assert "Say why: it is kept with the decision." in response.content.decode()
    assert not PromotionRequest.objects.exists()


def test_a_request_is_approved_by_somebody_else(client, scientist, approver):
    backend = "django.contrib.auth.backends.ModelBackend"
    make_gate(make_version(1, state=VersionState.PASSED), scientist)
    client.force_login(scientist, backend=backend)
    _post(client, "version-request", "titanic", 1, reason="Better.")
    request = PromotionRequest.objects.get()
    own = _page(client, "version-detail", "titanic", 1)
    assert "somebody else has to decide" in own
    client.force_login(approver, backend=backend)
    assert "titanic v1" in _page(client, "needs-you")
    response = _post(client, "promotion-decide", request.pk, reason="Fine.", decision="approve")
    assert _messages(response)[-1] == "titanic v1 is champion. Serving changes within 5 seconds."
    assert ChampionPeriod.objects.get().by == approver


def test_rejecting_needs_a_reason_and_keeps_it(as_approver, scientist):
    request = make_request(make_version(1, state=VersionState.PASSED), scientist)
    assert _post(as_approver, "promotion-decide", request.pk, reason="", decision="reject").status_code == 422
    _post(as_approver, "promotion-decide", request.pk, reason="Too few rows.", decision="reject")
    request.refresh_from_db()
    assert (request.state, request.decision_reason) == (RequestState.REJECTED, "Too few rows.")
    assert "Too few rows." in _page(as_approver, "promotion-list")


@pytest.mark.parametrize("decision", [{}, {"decision": ""}, {"decision": "perhaps"}])
def test_a_decision_that_is_missing_decides_nothing(as_approver, scientist, decision):
    request = make_request(make_version(1, state=VersionState.PASSED), scientist)
    response = _post(as_approver, "promotion-decide", request.pk, reason="Fine.", **decision)
    assert response.status_code == 422
    assert "press one of the two buttons" in response.content.decode()
    assert "Fine." in response.content.decode()
    request.refresh_from_db()
    assert request.state == RequestState.REQUESTED


def test_who_asked_withdraws(as_scientist, scientist):
    request = make_request(make_version(1, state=VersionState.PASSED), scientist)
    _post(as_scientist, "promotion-withdraw", request.pk)
    request.refresh_from_db()
    assert request.state == RequestState.WITHDRAWN


def test_buttons_without_the_right_say_which_right_is_missing(client, scientist):
    make_gate(make_version(1, state=VersionState.PASSED), scientist)
    client.force_login(make_user("vera", "viewer"), backend="django.contrib.auth.backends.ModelBackend")
    page = _page(client, "version-detail", "titanic", 1)
    assert "You need the right “models.request”" in page
    assert "You need the right “models.gate”" in page


def test_an_admin_overrides_with_a_reason(as_admin):
    version = make_version(1, state=VersionState.FAILED, served_sha256="a" * 64)
    assert _post(as_admin, "version-override", "titanic", 1, reason="").status_code == 422
    _post(as_admin, "version-override", "titanic", 1, reason="One family.")
    version.refresh_from_db()
    assert version.is_overridden
    assert "One family." in _page(as_admin, "version-detail", "titanic", 1)


def test_an_admin_sets_the_policy(as_admin):
    model = make_model()
    _post(as_admin, "policy-set", "titanic", policy="automatic")
    model.refresh_from_db()
    assert model.policy == Policy.AUTOMATIC


def test_rollback_from_the_page(as_approver, approver):
    first = make_champion(1, approver)
    first.until = timezone.now()
    first.save()
    first.version.state = VersionState.RETIRED
    first.version.save()
    make_champion(2, approver)
    assert "Roll back to v1" in _page(as_approver, "model-detail", "titanic")
    stale = _post(as_approver, "model-rollback", "titanic", reason="It fails on Sundays.", to=7)
    assert stale.status_code == 409
    _post(as_approver, "model-rollback", "titanic", reason="It fails on Sundays.", to=1)
    assert ChampionPeriod.objects.get(until=None).version.version == 1


# --- runs


def test_a_pipeline_runs_box_lists_its_runs_and_versions(as_scientist):
    run = make_run(dag_run_id="console__1", name="training")
    make_version(4, run_id=run.pk)
    page = _page(as_scientist, "runs-of-dag-run", dag_run_id="console__1")
    assert "training" in page
    assert "titanic v4" in page


def test_a_pipeline_runs_box_leaves_out_runs_of_a_pipeline_of_the_same_schedule(as_scientist):
    """Scheduled runs of two pipelines carry the same id."""
    scheduled = "scheduled__2026-01-01T00:00:00+00:00"
    for name, tags in {"mine": {"dag_id": "a"}, "theirs": {"dag_id": "b"}, "of nobody": {}}.items():
        make_run(name[0] * 32, dag_run_id=scheduled, name=name, tags=tags)
    page = _page(as_scientist, "runs-of-dag-run", dag_id="a", dag_run_id=scheduled)
    assert "mine" in page
    assert "of nobody" in page
    assert "theirs" not in page


def test_a_version_leads_to_the_run_of_the_pipeline_that_made_it(as_scientist):
    run = make_run(dag_run_id="s+1", tags={"dag_id": "a b"})
    make_version(4, run_id=run.pk, dag_run_id="s+1")
    assert "/runs/by-dag-run?dag_id=a+b&amp;dag_run_id=s%2B1" in _page(
        as_scientist, "version-detail", "titanic", 4
    )


def test_runs_are_filtered_ordered_and_compared(as_scientist):
    for number, accuracy in enumerate([0.7, 0.8, 0.9]):
        make_run(
            f"{number}" * 32, name=f"run {number}", metrics={"accuracy": accuracy}, params={"depth": "10"}
        )
    page = _page(
        as_scientist,
        "experiment-detail",
        "titanic",
        filter="metrics.accuracy > 0.75",
        order="metrics.accuracy",
    )
    assert "run 0" not in page
    assert page.index("run 1") < page.index("run 2")
    compared = _page(as_scientist, "experiment-compare", "titanic", run=["0" * 32, "2" * 32])
    assert "run 2" in compared
    assert 'class="num best">0.9000' in flat(compared)


def test_a_filter_that_cannot_be_read_is_said_on_the_page(as_scientist):
    make_run()
    assert "cannot be read at" in _page(as_scientist, "experiment-detail", "titanic", filter="accuracy !! 3")


@pytest.fixture
def run_with_files(mlflow):
    run_id = mlflow.create_run(mlflow.create_experiment("titanic"), "training")
    root = mlflow.run_root(run_id)
    mlflow.write_file(root, "evaluation/confusion.png", b"\x89PNG\r\n\x1a\n....")
    mlflow.write_file(root, "evaluation/evil.png", b"<svg onload=alert(1)>")
    mlflow.write_file(root, "serving/spec.json", b'{"task": "classification"}')
    return make_run(run_id, artifact_uri=root)


def test_pictures_are_shown_and_files_are_listed(as_scientist, run_with_files):
    assert "confusion.png" in _page(as_scientist, "run-pictures", run_with_files.pk)
    assert "evaluation/" in _page(as_scientist, "run-artifacts", run_with_files.pk)
    preview = _page(as_scientist, "run-preview", run_with_files.pk, path="serving/spec.json")
    assert "&quot;task&quot;: &quot;classification&quot;" in preview


def test_a_picture_is_inline_and_what_only_claims_to_be_one_is_a_download(as_scientist, run_with_files):
    url = reverse("models:run-artifact", args=[run_with_files.pk])
    picture = as_scientist.get(url, {"path": "evaluation/confusion.png"})
    assert (picture.headers["Content-Type"], picture.headers["Content-Disposition"]) == (
        "image/png",
        'inline; filename="confusion.png"',
    )
    claimed = as_scientist.get(url, {"path": "evaluation/evil.png"})
    assert claimed.headers["Content-Type"] == "application/octet-stream"
    assert claimed.headers["Content-Disposition"].startswith("attachment")
    assert "sandbox" in claimed.headers["Content-Security-Policy"]
    assert claimed.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("size", [1, 7])
def test_a_picture_that_arrives_in_small_pieces_is_one(
    as_scientist, run_with_files, mlflow, monkeypatch, size
):
    content = b"\x89PNG\r\n\x1a\n...."

    def chunks(_root, _path, *, limit_bytes):
        yield from (content[start : start + size] for start in range(0, len(content), size))

    monkeypatch.setattr(mlflow, "chunks", chunks)
    url = reverse("models:run-artifact", args=[run_with_files.pk])
    picture = as_scientist.get(url, {"path": "evaluation/confusion.png"})
    assert picture.headers["Content-Type"] == "image/png"
    assert b"".join(picture.streaming_content) == content


def test_a_large_file_is_sent_while_it_arrives(as_scientist, run_with_files, mlflow, monkeypatch):
    fetched = []
    size = downloads.FIRST_BYTES // 2

    def chunks(root, path, *, limit_bytes):
        for part in range(64):
            fetched.append(part)
            yield bytes([part]) * size

    monkeypatch.setattr(mlflow, "chunks", chunks)
    url = reverse("models:run-artifact", args=[run_with_files.pk])
    answer = as_scientist.get(url, {"path": "model/model.skops"})
    assert answer.streaming
    assert len(fetched) <= 3  # the first part tells what it is; most of the rest is fetched as it is read
    assert b"".join(answer.streaming_content) == b"".join(bytes([part]) * size for part in range(64))
    assert answer.headers["Content-Disposition"] == 'attachment; filename="model.skops"'


def test_a_file_that_is_not_there_is_said_before_anything_is_sent(as_scientist, run_with_files):
    url = reverse("models:run-artifact", args=[run_with_files.pk])
    assert as_scientist.get(url, {"path": "evaluation/none.png"}).status_code == 404


@pytest.mark.parametrize("path", ["../../secret", "/etc/passwd", "a/../../b", "x" * 501])
def test_a_path_that_leads_elsewhere_is_refused(as_scientist, run_with_files, path):
    for name in ("run-artifact", "run-artifacts", "run-preview"):
        response = as_scientist.get(reverse(f"models:{name}", args=[run_with_files.pk]), {"path": path})
        assert response.status_code == 422


def test_rows_of_data_are_for_who_may_see_all_predictions(
    client, as_scientist, approver, run_with_files, mlflow
):
    mlflow.write_file(run_with_files.artifact_uri, "holdout/Rows.PARQUET", b"PAR1")
    mlflow.write_file(run_with_files.artifact_uri, "holdout/rows.csv", b"age\n44\n")
    url, preview = (
        reverse(f"models:{name}", args=[run_with_files.pk]) for name in ("run-artifact", "run-preview")
    )
    assert as_scientist.get(url, {"path": "holdout/Rows.PARQUET"}).status_code == 200
    client.force_login(approver)
    for address, path in (
        (url, "holdout/Rows.PARQUET"),
        (url, "holdout/rows.csv"),
        (preview, "holdout/rows.csv"),
    ):
        answer = client.get(address, {"path": path})
        assert answer.status_code == 403
        assert "predictions.see_all" in answer.content.decode()
    listed = _page(client, "run-artifacts", run_with_files.pk, path="holdout")
    assert "rows.csv" in listed
    assert "path=holdout/rows.csv" not in listed
    assert client.get(url, {"path": "evaluation/confusion.png"}).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("evaluation/confusion.png", 200),
        ("evaluation/evil.png", 403),
        ("serving/spec.json", 200),
        ("evaluation/metrics.json", 200),
        ("model/MLmodel", 200),
        ("model/requirements.txt", 200),
        ("model/serving_input_example.json", 403),
        ("model/model.pkl", 403),
        ("notes/rows.txt", 403),
        ("rows.xlsx", 403),
        ("rows.csv.gz", 403),
        ("rows", 403),
        ("spec.json", 403),
        ("other/serving/spec.json", 403),
    ],
)
def test_with_the_right_to_see_alone_only_files_are_read_that_hold_no_rows(
    as_approver, run_with_files, mlflow, path, status
):
    if path not in {"evaluation/confusion.png", "evaluation/evil.png"}:
        mlflow.write_file(run_with_files.artifact_uri, path, b"age\n44\n")
    url = reverse("models:run-artifact", args=[run_with_files.pk])
    assert as_approver.get(url, {"path": path}).status_code == status
    folder, _slash, name = path.rpartition("/")
    listed = _page(as_approver, "run-artifacts", run_with_files.pk, path=folder)
    assert name in listed
    if not path.endswith("png"):
        assert (f"path={path}" in listed) is (status == 200)


def test_a_folder_of_very_many_files_shows_some_and_leads_to_the_others(as_scientist, run_with_files, mlflow):
    for number in range(203):
        mlflow.write_file(run_with_files.artifact_uri, f"many/{number:04}.txt", b"x")
    page = _page(as_scientist, "run-artifacts", run_with_files.pk, path="many")
    assert page.count("</tr>") == 201
    assert "203 rows" in page
    assert 'artifacts?path=many&amp;page=2"' in page
    rest = _page(as_scientist, "run-artifacts", run_with_files.pk, path="many", page=2)
    assert [f"{number:04}.txt" in rest for number in (199, 200, 202)] == [False, True, True]
    assert 'rel="prev"' in rest
    assert 'rel="next"' not in rest


def test_the_overview_says_how_many_champions_it_leaves_out(as_scientist, approver):
    for number in range(12):
        make_champion(1, approver, model=make_model(f"model_{number:02}"))
    assert "2 more champions" in _page(as_scientist, "champions")


def test_columns_without_end_are_bounded(as_scientist):
    make_run(metrics={f"m{number}": 1.0 for number in range(300)})
    page = _page(as_scientist, "experiment-detail", "titanic", columns="all")
    assert page.count("order=metrics.") == 100


@pytest.mark.parametrize("name", ["churn#2", "a%20b", "a?b", "été"])
def test_a_page_asks_its_own_address_whatever_the_name(as_scientist, name):
    make_version(1, model=make_model(name))
    url = reverse("models:version-detail", args=[name, 1])
    page = as_scientist.get(url).content.decode()
    asked = re.search(r'id="evidence"\s+class="stack"\s+hx-get="([^"]*)"', page)[1]
    again = as_scientist.get(asked, headers=HTMX)
    assert (again.status_code, again.context["version"].model.name) == (200, name)
    assert re.search(r'class="tab"[^>]*aria-current="page"', page)


def test_pages_of_a_list_lead_on_whatever_the_name(as_scientist):
    model = make_model("churn#2")
    for number in range(1, 52):
        make_version(number, model=model)
    page = _page(as_scientist, "model-detail", "churn#2")
    assert 'href="/models/churn%232?page=2"' in page


def test_a_run_that_is_gone_says_so(as_scientist):
    run = make_run(gone_at=timezone.now())
    assert "gone from MLflow" in _page(as_scientist, "run-detail", run.pk)


def test_a_metric_shows_its_history(as_scientist, mlflow):
    run_id = mlflow.create_run(mlflow.create_experiment("titanic"), "training")
    for step, value in enumerate([0.9, 0.5, 0.2]):
        mlflow.log_metric(run_id, "loss", value, step)
    make_run(run_id, metrics={"loss": 0.2})
    page = _page(as_scientist, "run-metric", run_id, key="loss")
    assert "loss over 3 values, from 0.2000 to 0.9000" in page


def test_a_long_history_is_said_to_be_a_sample(as_scientist, mlflow):
    run_id = mlflow.create_run(mlflow.create_experiment("titanic"), "training")
    mlflow.log_steps(run_id, "loss", 5000)
    make_run(run_id, metrics={"loss": 0.2})
    assert "A sample: 2000 values" in _page(as_scientist, "run-metric", run_id, key="loss").replace(",", "")


@pytest.mark.parametrize("order", ["params.a", "-params.a", "metrics.1", "-metrics.1", "nothing.else"])
def test_a_table_of_runs_opens_in_any_order(as_scientist, order):
    make_run("1", params={"a": "x"}, metrics={"1": 0.5})
    make_run("2")
    url = reverse("models:experiment-detail", args=["titanic"])
    assert as_scientist.get(url, {"order": order}).status_code == 200


@pytest.mark.parametrize("path", ["x" * 256, f"a/{'x' * 500}"[:500], "é" * 128])
def test_a_path_longer_than_any_disk_takes_is_refused(as_scientist, run_with_files, path):
    response = as_scientist.get(reverse("models:run-artifact", args=[run_with_files.pk]), {"path": path})
    assert response.status_code == 422


def test_lists_ask_the_database_the_same_for_one_row_and_for_many(
    as_scientist, approver, django_assert_max_num_queries
):
    for number in range(1, 9):
        model = make_model(f"model_{number}")
        make_champion(1, approver, model=model)
        make_version(2, model=model)
    for name, most in [("model-list", 14), ("promotion-list", 12), ("experiment-list", 12)]:
        with django_assert_max_num_queries(most):
            _page(as_scientist, name)


def test_compared_runs_are_headed_by_versions_and_marked_by_the_rule(as_scientist):
    for number, spread in enumerate([0.01, 0.03]):
        metrics = {"cv_accuracy_std": spread, "odd": spread, "holdout_rows": 164.0}
        make_run(f"{number}" * 32, name="titanic_training__manual__2026-03-01T12:00:00", metrics=metrics)
    make_version(7, run_id="0" * 32)
    page = flat(_page(as_scientist, "experiment-compare", "titanic", run=["0" * 32, "1" * 32]))
    assert ">v7</a>" in page
    assert ">titanic_training__m…</a>" in page
    assert page.count('class="num best">') == 1
    assert 'class="num best">0.01000' in page
    assert 'class="num">164</td>' in page


def test_a_metric_that_was_logged_without_steps_has_a_history_to_look_at(as_scientist, mlflow):
    run_id = mlflow.create_run(mlflow.create_experiment("titanic"), "training")
    for value in (0.9, 0.5, 0.2):
        mlflow.log_metric(run_id, "loss", value)
    sync.sync_runs()
    assert ">loss</a>" in flat(_page(as_scientist, "run-detail", run_id))
    assert "loss over 3 values" in _page(as_scientist, "run-metric", run_id, key="loss")


@pytest.mark.parametrize(("n_nan", "n_finite"), [(3, 2), (4, 0), (1, 1)])
def test_values_that_cannot_be_drawn_are_counted(as_scientist, mlflow, n_nan, n_finite):
    """A loss that becomes NaN must not look like training that was stopped."""
    run_id = mlflow.create_run(mlflow.create_experiment("titanic"), "training")
    for step, value in enumerate([*range(1, n_finite + 1), *[float("nan")] * n_nan]):
        mlflow.log_metric(run_id, "loss", value, step)
    make_run(run_id, metrics={"loss": "NaN"})
    page = _page(as_scientist, "run-metric", run_id, key="loss")
    assert f"{n_nan} value{'s are' if n_nan > 1 else ' is'} NaN or infinite" in page
    assert ("nothing to draw" in page) == (n_finite == 0)
    assert ("One value" in page) == (n_finite == 1)


def test_more_runs_than_fit_side_by_side_are_said(as_scientist):
    ids = [make_run(f"{number:032x}", name=f"run {number}").pk for number in range(12)]
    assert "10 of the 12 runs" in _page(as_scientist, "experiment-compare", "titanic", run=ids)
    assert "runs that you chose" not in _page(as_scientist, "experiment-compare", "titanic", run=ids[:10])


@pytest.mark.parametrize(("status", "is_known"), [("FINISHED", False), ("", False), ("RUNNING", True)])
def test_a_run_that_ended_without_saying_when_has_no_duration(status, is_known):
    run = make_run(status=status, ended_at=None)
    assert (run.duration is not None) == is_known
