"""Pages and REST of the use cases: empty, with rows, and while their database is away."""

import re
from datetime import UTC, datetime

import pytest
from django.db import OperationalError
from django.urls import reverse

from core.access import policy
from tests.markup import flat
from tests.people import make_user, signed_in
from tests.pipeline_rows import make_pipeline, make_run
from tests.registry import make_champion, make_model, make_version
from usecases import catalogue, queries
from usecases.models import Batch, Decision, RejectedRow, side_by_side

pytestmark = pytest.mark.django_db(databases=["default", "usecases"])

CRITERION = {
    "name": "champion",
    "value": 0.7,
    "threshold": -0.01,
    "passed": False,
    "sentence": "It is worse.",
}
AT = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def client_as():
    return lambda role: signed_in(make_user(role, role))


@pytest.fixture
def batch():
    made = Batch.objects.create(
        usecase="forest_cover", key="group 3 batch 0", data_source="api", origin="http://127.0.0.1:8017/data",
        data_sha256="ab" * 32, dag_id="forest_cover_load", dag_run_id="manual__1", at=AT, rows_in=12,
        rows_new=9, rows_duplicate=2, rows_rejected=1, facts={"group": 3},
    )  # fmt: skip
    RejectedRow.objects.create(batch=made, position=4, reason="Slope is steep", row="<b>1</b>, steep")
    return made


@pytest.fixture
def decision():
    return Decision.objects.create(
        usecase="forest_cover", kind="promote", is_yes=False, reason="Worse than the champion.",
        criteria=[CRITERION],
        model="forest_cover", version=3, champion_version=2,
        metrics={"candidate": {"accuracy": 0.7}, "champion": {"accuracy": 0.8}},
        shap={"candidate": {"Slope": 0.25}},
        dag_id="forest_cover_training", dag_run_id="manual__2", at=AT,
    )  # fmt: skip


def test_every_page_is_there_before_anything_has_run(client_as):
    client = client_as("viewer")
    assert b"Forest cover" in client.get(reverse("usecases:usecase-list")).content
    for usecase in catalogue.USECASES:
        page = client.get(reverse("usecases:usecase-detail", args=[usecase.name]))
        assert page.status_code == 200
        assert str(usecase.title) in page.content.decode()
        for name in ("batch-list", "decision-list"):
            assert client.get(reverse(f"usecases:{name}", args=[usecase.name])).status_code == 200


def test_the_one_button_starts_the_first_pipeline(client_as):
    make_pipeline("forest_cover_load")
    page = client_as("engineer").get(reverse("usecases:usecase-detail", args=["forest_cover"]))
    assert reverse("pipelines:run-trigger", args=["forest_cover_load"]) in page.content.decode()
    page = client_as("viewer").get(reverse("usecases:usecase-detail", args=["forest_cover"]))
    assert reverse("pipelines:run-trigger", args=["forest_cover_load"]) not in page.content.decode()


def test_a_use_case_shows_its_runs_batches_and_decisions(client_as, batch, decision):
    make_pipeline("forest_cover_load")
    run = make_run("forest_cover_load", state="failed")
    client = client_as("viewer")
    page = client.get(reverse("usecases:usecase-detail", args=["forest_cover"])).content.decode()
    assert reverse("pipelines:run-detail", args=[run.pk]) in page
    assert batch.key in page
    assert "Worse than the champion." in page
    page = client.get(reverse("usecases:batch-detail", args=["forest_cover", batch.pk])).content.decode()
    assert "Slope is steep" in page
    assert "<b>1</b>" not in page
    page = client.get(reverse("usecases:decision-list", args=["forest_cover"])).content.decode()
    assert "It is worse." in page
    assert "0.25" in page


def test_forest_cover_shows_how_far_each_group_has_come(client_as, batch):
    page = client_as("viewer").get(reverse("usecases:usecase-detail", args=["forest_cover"])).content.decode()
    assert "Groups of the service" in page
    assert "1 of 10" in page
    assert queries.groups("forest_cover") == [queries.Group(3, 1, 9, AT)]
    page = client_as("approver").get(reverse("usecases:usecase-detail", args=["titanic"])).content.decode()
    assert "Groups of the service" not in page


def test_data_that_were_removed_are_told_with_the_reason(client_as, decision):
    Decision.objects.update(kind="clear", is_yes=True, reason="The service changed.", version=None)
    page = client_as("viewer").get(reverse("usecases:usecase-detail", args=["forest_cover"])).content.decode()
    assert "Data removed" in page
    assert "The service changed." in page


@pytest.mark.parametrize("role", sorted(policy.SCOPES["see"]))
def test_rejected_rows_that_tell_of_people_are_masked_by_role(client_as, batch, role):
    Batch.objects.update(usecase="diabetes")
    RejectedRow.objects.update(row="Caucasian, Female")
    page = client_as(role).get(reverse("usecases:batch-detail", args=["diabetes", batch.pk])).content.decode()
    assert ("Caucasian, Female" in page) is (role in policy.SCOPES["predictions.see_all"])
    assert "Slope is steep" in page


@pytest.mark.parametrize("role", sorted(policy.SCOPES["see"]))
def test_rejected_rows_that_tell_of_people_are_masked_by_role_over_rest_too(client_as, batch, role):
    Batch.objects.update(usecase="diabetes")
    RejectedRow.objects.update(row="Caucasian, Female")
    answer = client_as(role).get(f"/api/v1/usecases/diabetes/batches/{batch.pk}/rejected")
    (row,) = answer.json()["results"]
    sees_all = role in policy.SCOPES["predictions.see_all"]
    assert row["row"] == ("Caucasian, Female" if sees_all else "•••")
    assert (row["position"], row["reason"]) == (4, "Slope is steep")


def test_what_a_batch_tells_is_shown_as_json_whatever_it_is_called(client_as, batch):
    """A template takes `items` of a dict for the value that is called so."""
    Batch.objects.update(facts={"items": [1, None], "group": 3})
    text = client_as("viewer").get(reverse("usecases:batch-detail", args=["forest_cover", batch.pk]))
    found = re.findall(r"<dt>(items|group)</dt>\s*<dd>(.*?)</dd>", text.content.decode())
    assert sorted(found) == [("group", "3"), ("items", "[1, null]")]


def test_what_is_not_there_is_not_found(client_as, batch):
    client = client_as("viewer")
    assert client.get(reverse("usecases:usecase-detail", args=["mars"])).status_code == 404
    assert client.get(reverse("usecases:batch-detail", args=["titanic", batch.pk])).status_code == 404
    assert (
        client.get("/api/v1/usecases/mars/batches", headers={"accept": "application/json"}).status_code == 404
    )


def test_rest_lists_what_the_pages_show(client_as, batch, decision):
    client = client_as("viewer")
    names = [row["name"] for row in client.get("/api/v1/usecases").json()["results"]]
    assert names == ["taxi", "forest_cover", "titanic", "real_estate", "diabetes"]
    (row,) = client.get("/api/v1/usecases/forest_cover/batches").json()["results"]
    assert (row["key"], row["rows_in"], row["facts"]) == ("group 3 batch 0", 12, {"group": 3})
    rejected = f"/api/v1/usecases/forest_cover/batches/{batch.pk}/rejected"
    assert client.get(rejected).json()["results"] == [
        {"position": 4, "reason": "Slope is steep", "row": "<b>1</b>, steep"}
    ]
    assert client.get(rejected.replace("forest_cover", "titanic")).status_code == 404
    (row,) = client.get("/api/v1/usecases/forest_cover/decisions").json()["results"]
    assert (row["is_yes"], row["criteria"][0]["sentence"]) == (False, "It is worse.")
    assert client.get("/api/v1/usecases/titanic/decisions").json() == {"results": [], "next": None}


def test_while_the_database_is_away_the_rest_of_the_page_stays(client_as, monkeypatch):
    def refuse(*args, **kwargs):
        raise OperationalError("connection refused")

    make_pipeline("forest_cover_load")
    client = client_as("viewer")
    monkeypatch.setattr("usecases.queries.Batch.objects.filter", refuse)
    for url in (reverse("usecases:usecase-list"), reverse("usecases:usecase-detail", args=["forest_cover"])):
        page = client.get(url)
        assert page.status_code == 200
        assert "does not answer" in page.content.decode()
        assert "forest_cover" in page.content.decode()
    assert client.get("/api/v1/usecases/forest_cover/batches").status_code == 503


def test_figures_stand_side_by_side():
    told = {"champion": {"a": 1.0, "c": 4.0}, "candidate": {"a": 2.0, "b": -3.0}}
    assert side_by_side(told) == (
        ["candidate", "champion"], [("a", [2.0, 1.0]), ("b", [-3.0, None]), ("c", [None, 4.0])],
    )  # fmt: skip
    assert side_by_side(told, is_by_size=True) == (
        ["candidate", "champion", "change"],
        [("c", [None, 4.0, -4.0]), ("b", [-3.0, None, -3.0]), ("a", [2.0, 1.0, 1.0])],
    )
    assert side_by_side({"candidate": {"a": 1.0}}, is_by_size=True).heads == ["candidate"]


def test_an_auditor_finds_every_model_why_it_was_trained_and_what_became_of_it(client_as, decision):
    """Version 3 failed against champion 2; version 2 has been live since; what it was trained for is told."""
    model = make_model("forest_cover")
    make_champion(2, make_user("ada", "approver"), model=model)
    make_version(3, model=model, state="failed")
    same = {"usecase": "forest_cover", "dag_id": "forest_cover_training", "model": "forest_cover", "at": AT}
    Decision.objects.create(
        **same, kind="train", is_yes=True, reason="Soil has drifted.", dag_run_id="manual__2"
    )
    Decision.objects.create(
        **same, kind="promote", is_yes=True, reason="It passed.", version=2, dag_run_id="manual__1",
        metrics={"candidate": {"accuracy": 0.8}},
    )  # fmt: skip
    page = flat(client_as("viewer").get(reverse("usecases:decision-list", args=["forest_cover"])))
    table = page[page.index("Every model") : page.index("Soil has drifted.") + 400]
    assert reverse("models:version-detail", args=["forest_cover", 3]) in table
    assert reverse("models:version-detail", args=["forest_cover", 2]) in page
    assert 'data-state="champion"' in page
    assert 'data-state="failed"' in table
    assert "It is worse." in table  # the criterion that spoke against it
    for figure in ("0.7000", "0.8000"):
        assert figure in table
