"""Inputs of predictions in the raw rows: counted for themselves, gone once the prediction is erased."""

from datetime import UTC, datetime

import pytest
from django.db import OperationalError
from django.urls import reverse

from core.access import policy
from core.lib.ids import uuid7
from predictions.models import ErasedPrediction
from tests.markup import flat
from tests.people import make_user, signed_in
from usecases import queries, tasks
from usecases.models import Batch, RawRow

pytestmark = pytest.mark.django_db(databases=["default", "usecases"])

AT = datetime(2026, 11, 1, tzinfo=UTC)


def make_batch(key: str, n_rows: int, **facts) -> Batch:
    return Batch.objects.create(
        usecase="real_estate", key=key, data_source="api", origin="x", data_sha256="ab" * 32,
        dag_id="real_estate_monitor", dag_run_id="manual__1", at=AT, rows_in=n_rows + 3, rows_new=n_rows,
        rows_duplicate=2, rows_rejected=1, facts=facts,
    )  # fmt: skip


def make_row(batch: Batch, number: int, **data) -> RawRow:
    sha = number.to_bytes(32, "big")
    return RawRow.objects.create(
        usecase="real_estate", batch=batch, position=number, row_sha256=sha, data=data
    )


def test_what_was_asked_of_the_model_is_no_row_that_came_in():
    make_batch("group 1 Tuesday batch 1", 100, group=1)
    make_batch("predictions to 1", 40, kind="inputs of predictions")
    found = queries.totals("real_estate")
    assert (found.n_batches, found.rows_in, found.rows_new, found.rows_duplicate, found.rows_rejected) == (
        2, 103, 100, 2, 1,
    )  # fmt: skip
    assert found.rows_asked == 40
    page = signed_in(make_user("vera", policy.VIEWER)).get(
        reverse("usecases:usecase-detail", args=["real_estate"])
    )
    text = flat(page.content.decode())
    assert "<dt>Kept</dt><dd>100</dd>" in text.replace("> <", "><")
    assert "<dt>Asked of the model</dt><dd>40</dd>" in text.replace("> <", "><")


def test_inputs_of_erased_predictions_go_and_the_others_stay():
    asked, came = make_batch("predictions to 1", 3, kind="inputs of predictions"), make_batch("group 1", 1)
    ids = [uuid7() for _ in range(2)]
    rows = [make_row(asked, n, prediction_id=str(id_), inputs={"city": "Ponce"}) for n, id_ in enumerate(ids)]
    odd = make_row(asked, 7, prediction_id="odd")
    listing = make_row(came, 8, prediction_id=str(ids[0]))  # of the service's own, whatever it is called
    ErasedPrediction.objects.create(id=ids[0], model="real_estate", user_id=1, erased_by="ana")
    assert tasks.forget_erased() == 1
    assert set(RawRow.objects.values_list("pk", flat=True)) == {rows[1].pk, odd.pk, listing.pk}
    assert tasks.forget_erased() == 0


def test_rows_are_looked_at_piece_by_piece(monkeypatch):
    monkeypatch.setattr(tasks, "LOOKED_AT", 2)
    asked = make_batch("predictions to 1", 5, kind="inputs of predictions")
    for n in range(5):
        id_ = uuid7()
        make_row(asked, n, prediction_id=str(id_))
        ErasedPrediction.objects.create(id=id_, model="real_estate", user_id=1, erased_by="ana")
    assert tasks.forget_erased() == 5


def test_a_database_that_is_away_is_for_the_next_look(monkeypatch):
    def away(**_where):
        raise OperationalError("gone")

    monkeypatch.setattr(RawRow.objects, "filter", away)
    assert tasks.forget_erased() == 0
