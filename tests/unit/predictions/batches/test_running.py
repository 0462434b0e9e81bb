"""A file of rows, answered by a worker: each row once, whoever dies."""

import csv
import errno
import io
from contextlib import closing
from datetime import timedelta

import pandas as pd
import pytest
from django.db import connection
from django.utils import timezone, translation

from core.lib.errors import NotFound, Unavailable
from predictions import ingestion
from predictions.batch_models import BatchState, PredictionBatch
from predictions.batches import actions, files, parts, queries, running, tables
from predictions.models import ErasedPrediction, Prediction
from predictions.serving.deliveries import Fate
from scoring.score import ModelFailure, Scorer, ScoringUnavailable
from tests import champions
from tests.unit.predictions.batches.conftest import HEADER, csv_of

pytestmark = pytest.mark.django_db


ROW = dict(zip(HEADER.split(","), [3, "male", 22, 1, 0, 7.25, "S"], strict=True))


def record(broker) -> None:
    """As the recorder does, with all that was ever sent."""
    for number, message in enumerate(broker.messages):
        ingestion.handle(ingestion.lines(f"predictions/0/{number}", message))


def result(batch) -> list[dict[str, str]]:
    content = b"".join(queries.result(batch)).decode()
    return list(csv.DictReader(io.StringIO(content)))


def due(batch) -> PredictionBatch:
    """Its lease is over, or its wait."""
    PredictionBatch.objects.filter(pk=batch.pk).update(next_attempt_at=timezone.now())
    return batch


def test_every_row_becomes_a_prediction_of_who_asked(bring, worker, broker, ana):
    batch = worker(bring(csv_of(3)))
    assert (batch.state, batch.n_rows, batch.n_predicted, batch.n_refused) == ("succeeded", 3, 3, 0)
    assert batch.versions == ["1"]
    record(broker)
    rows = list(Prediction.objects.order_by("row"))
    assert [(row.row, row.inputs["Age"]) for row in rows] == [(0, 20), (1, 21), (2, 22)]
    assert {(row.username, row.user_id, row.source, row.request_id) for row in rows} == {
        ("ana", ana.pk, "batch", str(batch.pk))
    }
    found = result(batch)
    assert [(row["row"], row["id"], row["Age"]) for row in found] == [
        (str(n + 1), str(row.pk), str(20 + n)) for n, row in enumerate(rows)
    ]
    assert {row["value"] for row in found} <= {"0", "1"}
    assert found[0]["label"] == "Did not survive"


def test_what_came_of_a_file_is_told_in_the_language_in_which_it_was_asked_for(bring, worker):
    with translation.override("es"):
        batch = bring(csv_of(0, "3,male", "3,male,old,1,0,7.25,S"))
    batch = worker(batch)
    assert [one["message"] for one in batch.refused] == [
        "la fila tiene 2 valores para 7 columnas",
        'Age debe ser un número como 22.5, no el texto "old"',
    ]
    assert batch.error == "No se pudo predecir ninguna fila. Fila 1: la fila tiene 2 valores para 7 columnas"
    assert result(batch)[0]["error"] == batch.refused[0]["message"]


def test_a_bad_row_is_set_aside_and_the_others_are_predicted(bring, worker, broker):
    odd = ("9,male,22,1,0,7.25,S", "3,male", "3,male,old,1,0,7.25,S", "3,male,200,1,0,,S")
    batch = worker(bring(csv_of(2, *odd, "1,female,30,0,0,50,C")))
    assert (batch.state, batch.n_predicted, batch.n_refused) == ("succeeded", 3, 4)
    assert [one["row"] for one in batch.refused] == [3, 4, 5, 6]
    messages = [one["message"] for one in batch.refused]
    assert messages[0] == "Pclass must be one of 1, 2, 3, not 9"
    assert messages[1] == "the row has 2 values for 7 columns"
    assert messages[2] == 'Age must be a number such as 22.5, not the text "old"'
    assert messages[3] == "Age must be at most 120, not 200; Fare must not be empty: give a value"
    found = result(batch)
    assert [bool(row["id"]) for row in found] == [True, True, False, False, False, False, True]
    assert found[4]["error"] == messages[2]
    assert found[4]["Age"] == "old"
    assert len(broker.records) == 3


@pytest.mark.parametrize("odd", ["3,male,2\x002,1,0,7.25,S", "\x00,male,22,1,0,7.25,S"])
def test_a_cell_that_no_row_can_hold_is_told_and_costs_no_other_row(bring, worker, broker, odd):
    batch = worker(bring(csv_of(2, odd)))
    assert (batch.state, batch.n_predicted, batch.n_refused) == ("succeeded", 2, 1)
    assert "\N{REPLACEMENT CHARACTER}" in batch.refused[0]["message"]
    assert len(broker.records) == 2
    batch = worker(bring(csv_of(0, odd)))
    assert (batch.state, batch.error.partition(":")[0]) == ("failed", "No row could be predicted. Row 1")


def test_a_column_whose_name_no_row_can_hold_is_kept_under_a_name_that_one_can(bring, worker):
    content = csv_of(1).replace(b"Embarked\n", b"Embarked,x\x00y\n").replace(b",S\n", b",S,7\n")
    batch = worker(bring(content))
    assert (batch.state, batch.unused) == ("succeeded", ["x\N{REPLACEMENT CHARACTER}y"])
    assert result(batch)[0]["x\N{REPLACEMENT CHARACTER}y"] == "7"


def test_a_row_that_the_model_fails_on_is_set_aside_alone(bring, worker, broker, monkeypatch):
    score_rows = Scorer.score_rows

    def fails_at_33(scorer, rows):
        if any(row["Age"] == 33 for row in rows.inputs):
            raise ModelFailure("no answer at 33")
        return score_rows(scorer, rows)

    monkeypatch.setattr(Scorer, "score_rows", fails_at_33)
    batch = worker(bring(csv_of(40)))
    assert (batch.n_predicted, batch.n_refused) == (39, 1)
    assert batch.refused == [{"row": 14, "message": "the model fails on these values: no answer at 33"}]


def test_a_file_without_a_row_that_fits_has_failed_with_its_reasons(bring, worker):
    batch = worker(bring(csv_of(0, "9,male,22,1,0,7.25,S", "8,male,22,1,0,7.25,S")))
    assert batch.state == "failed"
    assert batch.error == ("No row could be predicted. Row 1: Pclass must be one of 1, 2, 3, not 9")
    assert [row["error"] for row in result(batch)] == [one["message"] for one in batch.refused]


class Killed(BaseException):
    """Stands in for a process that ends at this line."""


@pytest.mark.parametrize("place", ["after_writing", "after_naming", "after_sending"])
def test_a_worker_that_dies_on_the_way_loses_and_doubles_nothing(bring, worker, broker, monkeypatch, place):
    batch = bring(csv_of(1_200))
    slice_class = running.Slice
    change, n_changes = slice_class._change, 0

    def dying(self, **values):
        nonlocal n_changes
        is_naming = "parts" in values
        n_changes += is_naming
        if n_changes == 2 and place == "after_writing" and is_naming:
            raise Killed
        if n_changes == 2 and place == "after_sending" and not is_naming:
            raise Killed
        change(self, **values)
        if n_changes == 2 and place == "after_naming" and is_naming:
            raise Killed

    monkeypatch.setattr(slice_class, "_change", dying)
    with pytest.raises(Killed):
        worker(batch)
    monkeypatch.setattr(slice_class, "_change", change)
    left = PredictionBatch.objects.get(pk=batch.pk)
    assert (left.state, left.n_done) == ("running", 500)
    batch = worker(due(left))
    assert (batch.state, batch.n_predicted) == ("succeeded", 1_200)
    record(broker)
    rows = list(Prediction.objects.order_by("row").values_list("row", flat=True))
    assert rows == list(range(1_200))
    assert [row["id"] for row in result(batch)] == [
        str(pk) for pk in Prediction.objects.order_by("row").values_list("pk", flat=True)
    ]


def test_parts_are_bounded_in_rows_and_in_characters():
    row = tables.Given(["x" * 1_000], {})
    assert [len(one) for one in parts.chunks([row] * 1_201, ["a"])] == [500, 500, 201]
    wide = tables.Given(["x" * 1_000_000], {})
    assert [len(one) for one in parts.chunks([wide] * 7, ["a"])] == [3, 3, 1]
    assert list(parts.chunks([], ["a"])) == []


def test_what_was_sent_twice_was_the_same_bytes(bring, worker, broker, monkeypatch):
    batch = bring(csv_of(10))
    broker.fails = True
    waiting = worker(batch)
    assert (waiting.state, waiting.delivery_error) == ("running", "Kafka did not confirm the records.")
    first = list(broker.messages)
    broker.fails, broker.messages[:] = False, []
    assert worker(due(waiting)).state == "succeeded"
    assert broker.messages == first


def test_a_slow_worker_that_lost_the_batch_adds_nothing(bring, worker, broker, source, monkeypatch):
    batch = bring(csv_of(600))
    slow = running.Slice(PredictionBatch.objects.get(pk=batch.pk))
    slow._take()
    assert worker(batch).state == "succeeded"
    with pytest.raises(running.NotOurs):
        slow._change(n_sent=7)
    n_sent = PredictionBatch.objects.get(pk=batch.pk).n_sent
    assert n_sent == 2


def test_a_slice_ends_in_time_with_a_part_at_least_and_the_next_goes_on(bring, worker, monkeypatch):
    monkeypatch.setattr(running, "SLICE_S", -1.0)  # reading up to the first row took all of it
    batch = worker(bring(csv_of(600)))
    assert (batch.state, batch.n_done, batch.delivery_attempts) == ("running", 500, 0)
    assert batch.turn_at is not None
    assert running.next_in_turn() == batch.pk
    assert worker(batch).n_done == 600
    assert worker(batch).state == "succeeded"


def test_who_waited_longest_is_next(bring, worker, monkeypatch):
    first, second = bring(csv_of(1)), bring(csv_of(1))
    PredictionBatch.objects.filter(pk=first.pk).update(turn_at=timezone.now())
    assert running.next_in_turn() == second.pk
    PredictionBatch.objects.filter(pk=second.pk).update(turn_at=timezone.now() + timedelta(seconds=1))
    assert running.next_in_turn() == first.pk


def test_another_champion_may_answer_the_rest(bring, worker, source, monkeypatch):
    batch = bring(csv_of(700))
    load, n = running.Slice._allowed, 0

    def once_then_stop(self):
        nonlocal n
        n += 1
        if n == 2:
            raise Unavailable("the machine goes down")
        return load(self)

    monkeypatch.setattr(running.Slice, "_allowed", once_then_stop)
    waiting = worker(batch)
    assert waiting.n_done == 500
    source.promote("2", champions.packed(seed=1))
    monkeypatch.setattr(running.Slice, "_allowed", load)
    batch = worker(due(waiting))
    assert (batch.state, batch.versions) == ("succeeded", ["1", "2"])
    assert [row["version"] for row in result(batch)] == ["1"] * 500 + ["2"] * 200


def test_where_the_champion_is_refused_the_one_before_answers(bring, worker, source):
    """As for the form and REST: the batch would wait for an hour and fail."""
    batch = bring(csv_of(3))
    source.damaged.add("2")
    source.promote("2", champions.packed(seed=1))
    done = worker(batch)
    assert (done.state, done.n_predicted, done.versions) == ("succeeded", 3, ["1"])


@pytest.fixture
def unready(source, monkeypatch):
    """Version 2 is champion, and its process does not start in this worker; returns what ends that."""
    made = running.serving._scorer

    def starts_none(ref, *given):
        if ref.version == "2":
            raise ScoringUnavailable("The runner did not start: no memory.")
        return made(ref, *given)

    source.promote("2", champions.packed(seed=1))
    monkeypatch.setattr(running.serving, "_scorer", starts_none)
    return lambda: monkeypatch.setattr(running.serving, "_scorer", made)


def test_a_workers_own_passing_trouble_is_waited_for(bring, worker, unready):
    """The champion of now answers the form and REST meanwhile."""
    waiting = worker(bring(csv_of(3)))
    assert (waiting.state, waiting.n_done) == ("running", 0)
    assert "titanic v2 cannot be served: The runner did not start: no memory." in waiting.delivery_error
    unready()
    done = worker(due(waiting))
    assert (done.state, done.versions) == ("succeeded", ["2"])


def test_a_trouble_that_serving_has_too_is_not_waited_for(bring, worker, unready, source):
    source.noted.append(("titanic", "2", "The runner did not start.", "1"))
    done = worker(bring(csv_of(3)))
    assert (done.state, done.versions) == ("succeeded", ["1"])


def test_a_model_without_a_champion_any_more_ends_it(bring, worker, source):
    batch = bring(csv_of(1))
    source.versions.clear()
    batch = worker(batch)
    assert (batch.state, batch.error) == ("failed", "No version of titanic answers any more.")


@pytest.mark.parametrize("how", ["deactivated", "no role", "deleted"])
def test_who_may_not_predict_any_more_has_no_more_rows_predicted(bring, worker, broker, ana, how):
    batch = bring(csv_of(1))
    if how == "deactivated":
        ana.is_active = False
        ana.save()
    elif how == "no role":
        ana.groups.clear()
    else:
        ana.delete()
    batch = worker(batch)
    assert (batch.state, batch.error) == ("failed", "ana may not predict any more.")
    assert broker.messages == []


def test_a_token_that_ended_since_stops_nothing(bring, worker, ana):
    ana.token_id, ana.token_scopes = 77, frozenset({"predict"})
    assert worker(bring(csv_of(1), by=ana)).state == "succeeded"


def test_more_rows_than_are_taken_fail_before_any_is_predicted(bring, worker, broker, settings):
    settings.CONSOLE_BATCHES_MAX_ROWS = 1_000
    batch = worker(bring(csv_of(1_001)))
    assert (batch.state, batch.error) == (
        "failed",
        "The file has more than 1\u202f000 rows: send it in parts.",
    )
    assert broker.messages == []


def test_a_file_that_breaks_off_in_the_middle_is_refused_whole(bring, worker, broker):
    batch = worker(bring(csv_of(700, '3,"male,22,1,0,7.25,S')))
    assert batch.state == "failed"
    assert batch.error.startswith("Line 702 cannot be read as CSV")
    assert broker.messages == []


def test_a_header_alone_is_no_file_of_rows(bring, worker):
    batch = worker(bring(HEADER.encode()))
    assert (batch.state, batch.error) == ("failed", "The file has a header and no rows.")


def test_an_upload_that_is_gone_is_told(bring, worker):
    batch = bring(csv_of(1))
    files.remove(batch.pk)
    batch = worker(batch)
    assert (batch.state, batch.error) == (
        "failed",
        "The uploaded file is not here any more. Send it again.",
    )


@pytest.fixture
def half_done(bring, worker, monkeypatch):
    """A batch of which one part is counted, and one more is named and not confirmed."""
    send, n_sent = running._sent, 0

    async def once(deliveries, records):
        nonlocal n_sent
        n_sent += 1
        return await send(deliveries, records) if n_sent == 1 else Fate.NOT_CONFIRMED

    with monkeypatch.context() as patch:
        patch.setattr(running, "_sent", once)
        batch = worker(bring(csv_of(600)))
    assert (batch.state, batch.n_done, len(batch.parts)) == ("running", 500, 2)
    return due(batch)


def ends_without_result(batch, worker, ana, words):
    batch = worker(batch)
    assert (batch.state, batch.error, batch.next_attempt_at) == ("failed", words, None)
    with pytest.raises(NotFound):
        queries.result(batch)
    actions.remove_batch(batch.pk, by=ana)


def test_a_batch_whose_folder_is_lost_ends_and_can_be_removed(half_done, worker, ana):
    files.remove(half_done.pk)
    ends_without_result(half_done, worker, ana, "The uploaded file is not here any more. Send it again.")


@pytest.mark.parametrize("place", [0, 1])
def test_a_batch_whose_part_is_lost_ends_and_can_be_removed(half_done, worker, ana, place):
    files.part(half_done.pk, half_done.parts[place]).unlink()
    words = "Answers that were written are not here any more. The predictions stay."
    if place == 0:
        ends_without_result(half_done, worker, ana, words)
        return
    batch = worker(half_done)
    assert (batch.state, batch.error, len(result(batch))) == ("failed", words, 500)


def test_a_result_waits_for_a_full_disk_but_not_for_ever(bring, worker, monkeypatch):
    def full(_batch):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(running, "_write_result", full)
    batch = bring(csv_of(1))
    with pytest.raises(OSError, match="No space"):
        worker(batch)
    PredictionBatch.objects.filter(pk=batch.pk).update(delivery_attempts=running.MOST_ATTEMPTS)
    assert worker(due(batch)).state == "failed"


def test_what_is_wrong_for_too_long_ends_with_its_reason(bring, worker, broker):
    batch = bring(csv_of(1))
    broker.fails = True
    PredictionBatch.objects.filter(pk=batch.pk).update(delivery_attempts=running.MOST_ATTEMPTS - 1)
    waiting = worker(batch)
    assert waiting.state == "running"
    batch = worker(due(waiting))
    assert (batch.state, batch.error) == ("failed", "Kafka did not confirm the records.")


@pytest.mark.django_db(transaction=True)
def test_one_batch_works_at_a_time(bring, worker):
    batch = bring(csv_of(1))
    other = connection.copy()
    with closing(other), other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [running.PLACE])
        waiting = worker(batch)
        assert (waiting.state, waiting.delivery_attempts) == ("queued", 0)  # the sweep asks again
        cursor.execute("SELECT pg_advisory_unlock(%s)", [running.PLACE])
    assert worker(batch).state == "succeeded"


def test_nothing_but_the_result_stays_on_the_disk(bring, worker):
    batch = worker(bring(csv_of(3)))
    assert [path.name for path in files.folder(batch.pk).iterdir()] == ["result.csv"]


def test_no_cell_of_a_result_is_a_formula(bring, worker):
    rows = b"note," + HEADER.encode() + b'\n"=1+1",3,male,22,1,0,7.25,S\n-5,3,male,22,1,0,7.25,@S\n'
    first, second = result(worker(bring(rows)))
    assert first["note"] == "'=1+1"
    assert second["note"] == "-5"
    assert second["Embarked"] == "'@S"
    assert second["warnings"] == 'Embarked is "@S", a value the model has not seen'


def test_no_name_of_a_column_is_a_formula(bring, worker):
    [row] = result(worker(bring(b"=1+1,@x," + HEADER.encode() + b"\n1,2,3,male,22,1,0,7.25,S\n")))
    assert (row["'=1+1"], row["'@x"]) == ("1", "2")


def test_columns_that_are_called_as_ours_do_not_hide_them(bring, worker):
    [row] = result(worker(bring(b"id,row," + HEADER.encode() + b"\nA-7,x,3,male,22,1,0,7.25,S\n")))
    assert (row["id"], row["row"], row["atalaya.row"]) == ("A-7", "x", "1")
    assert len(row["atalaya.id"]) == 36


def test_what_was_erased_is_in_no_result(bring, worker, ana):
    batch = worker(bring(csv_of(3)))
    before = result(batch)
    ErasedPrediction.objects.create(id=before[1]["id"], model="titanic", user_id=ana.pk, erased_by="ana")
    after = result(batch)
    assert [after[0], after[2]] == [before[0], before[2]]
    assert {name: text for name, text in after[1].items() if text} == {"row": "2", "error": "erased"}


def test_a_result_with_long_cells_and_line_breaks_loses_what_was_erased_alone(bring, worker, ana, tmp_path):
    rows = [{"note": note, **ROW} for note in ('two\n"lines", x', "x" * 200_000, "")]
    pd.DataFrame(rows).to_parquet(tmp_path / "made.parquet")
    batch = worker(bring((tmp_path / "made.parquet").read_bytes()))
    before = b"".join(queries.result(batch))
    last = before.splitlines()[-1]
    erased = last.split(b",")[1].decode()
    ErasedPrediction.objects.create(id=erased, model="titanic", user_id=ana.pk, erased_by="ana")
    after = b"".join(queries.result(batch))
    assert after == before.replace(last, b"3,,,,,,,,erased" + b"," * len(batch.columns))


def test_what_was_erased_stays_so_when_its_person_is_gone(bring, worker, ana):
    batch = worker(bring(csv_of(2)))
    ErasedPrediction.objects.create(
        id=result(batch)[0]["id"], model="titanic", user_id=ana.pk, erased_by="ana"
    )
    ana.delete()
    batch.refresh_from_db()
    assert [bool(row["id"]) for row in result(batch)] == [False, True]


def test_a_record_that_kafka_never_takes_is_its_rows_own_fault(bring, worker, monkeypatch):
    monkeypatch.setattr(parts, "most_record_bytes", lambda: 10)
    batch = worker(bring(csv_of(1)))
    assert batch.state == BatchState.FAILED
    assert "send shorter texts" in batch.refused[0]["message"]
