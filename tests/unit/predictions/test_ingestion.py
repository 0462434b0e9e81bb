"""From messages to rows, whatever comes and however often."""

import itertools
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from django.db import connection

from core.lib.ids import uuid7
from predictions import actions, ingestion, partitions, sealing
from predictions.models import Prediction
from tests.people import make_user

pytestmark = pytest.mark.django_db


PERSONAL = ("request_id", "user_id", "username", "token_id", "inputs", "warnings")


def plain(id_: uuid.UUID | None = None, **changes) -> dict[str, Any]:
    """A record as it is stored."""
    record = {
        "id": str(id_ or uuid7()),
        "request_id": "r" * 32,
        "at": "2026-11-21T04:00:00.123456+00:00",
        "model": "titanic",
        "version": "3",
        "user_id": 7,
        "username": "ana",
        "token_id": 5,
        "source": "api",
        "row": 0,
        "inputs": {"Sex": "male", "Age": None, "Name": 'O"Brien \\ Zoë\n'},
        "value": 0,
        "label": "Did not survive",
        "probabilities": {"0": 0.87, "1": 0.13},
        "warnings": ["Fare is high"],
        "is_demo": False,
    }
    return record | changes


def message(id_: uuid.UUID | None = None, **changes) -> bytes:
    """The same as serving sends it."""
    record = plain(id_, **changes)
    personal = orjson.dumps({name: record.pop(name) for name in PERSONAL})
    sealed = sealing.sealer().seal(uuid.UUID(record["id"]), personal)
    return orjson.dumps(record | {"sealed": sealed})


_places = itertools.count()


def handle(messages: Sequence[bytes]) -> ingestion.Handled:
    """Each message at a place of its own, as Kafka has it."""
    return ingestion.handle({f"predictions/0/{next(_places)}": content for content in messages})


def test_a_record_becomes_a_row():
    id_ = uuid7()
    handled = handle([message(id_)])
    row = Prediction.objects.get(pk=id_)
    assert handled == (1, [])
    assert row.inputs == {"Sex": "male", "Age": None, "Name": 'O"Brien \\ Zoë\n'}
    assert (row.value, row.label, row.probability) == (0, "Did not survive", 0.87)
    assert row.at == datetime(2026, 11, 21, 4, 0, 0, 123456, tzinfo=UTC)
    assert row.warnings == ["Fare is high"]
    assert row.is_answered


def test_a_regression_has_neither_label_nor_probabilities():
    id_ = uuid7()
    handle([message(id_, value=12.5, label=None, probabilities=None)])
    row = Prediction.objects.get(pk=id_)
    assert (row.value, row.label, row.probabilities, row.answer) == (12.5, "", None, "12.5")


def test_messages_that_come_again_change_nothing():
    batch = [message() for _ in range(50)]
    assert handle(batch).n_rows == 50
    assert handle(batch + batch[:1]).n_rows == 0
    assert Prediction.objects.count() == 50


def test_the_same_id_twice_in_a_batch_is_one_row():
    id_ = uuid7()
    assert handle([message(id_), message(id_)]).n_rows == 1


def test_each_line_of_a_message_is_a_row():
    ids = [uuid7() for _ in range(3)]
    lines = ingestion.lines("predictions/0/7", b"\n".join(map(message, ids)))
    assert list(lines) == ["predictions/0/7/0", "predictions/0/7/1", "predictions/0/7/2"]
    assert ingestion.handle(lines) == (3, [])
    assert {row.pk for row in Prediction.objects.all()} == set(ids)


def test_a_bad_line_goes_aside_alone():
    content = b"\n".join([message(), b'{"kind":"x"}', message()])
    handled = ingestion.handle(ingestion.lines("predictions/0/7", content))
    assert handled.n_rows == 2
    assert [(dead.place, dead.message) for dead in handled.dead] == [("predictions/0/7/1", b'{"kind":"x"}')]


def test_a_message_of_one_record_keeps_its_place():
    assert ingestion.lines("predictions/0/7", b"{}") == {"predictions/0/7": b"{}"}


@pytest.mark.parametrize(
    "bad",
    [b"", b"not json", b"{}", message(value=None), message(version=3), message(surprise=1), b'{"kind":"x"}'],
)
def test_what_is_no_record_goes_aside_with_a_reason(bad):
    handled = handle([message(), bad, message()])
    assert handled.n_rows == 2
    assert [dead.message for dead in handled.dead] == [bad]
    assert handled.dead[0].reason


def test_what_the_database_refuses_goes_aside_alone():
    handled = handle([message(), message(version="x" * 60), message()])
    assert handled.n_rows == 2
    assert "length <= 50" in handled.dead[0].reason


def test_what_a_constraint_refuses_goes_aside_alone():
    good = uuid7()
    handled = handle([message(good), message(row=-1)])
    assert (handled.n_rows, len(handled.dead)) == (1, 1)
    assert Prediction.objects.filter(pk=good).exists()


def test_a_null_character_is_replaced():
    id_ = uuid7()
    handle([message(id_, inputs={"Sex": "a\x00b"})])
    assert Prediction.objects.get(pk=id_).inputs == {"Sex": "a\ufffdb"}


def marker(*ids: uuid.UUID) -> bytes:
    return orjson.dumps({"kind": "unanswered", "ids": [str(id_) for id_ in ids]})


def test_an_unanswered_record_is_marked_when_the_marker_comes_later():
    id_, other = uuid7(), uuid7()
    handle([message(id_), message(other)])
    handle([marker(id_)])
    assert not Prediction.objects.get(pk=id_).is_answered
    assert Prediction.objects.get(pk=other).is_answered


def test_an_unanswered_record_is_marked_when_the_marker_comes_first():
    id_ = uuid7()
    handle([marker(id_)])
    handle([message(id_), marker(id_)])
    assert not Prediction.objects.get(pk=id_).is_answered


def test_an_erased_prediction_does_not_come_back():
    ana, id_ = make_user("ana", "predictor"), uuid7()
    handle([message(id_, user_id=ana.pk)])
    actions.erase_prediction(id_, by=ana)
    assert handle([message(id_, user_id=ana.pk)]).n_rows == 0
    assert not Prediction.objects.filter(pk=id_).exists()


def partition_of(id_: uuid.UUID) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM predictions_prediction WHERE id = %s", [id_])
        return cursor.fetchone()[0]


def id_at(moment: datetime) -> uuid.UUID:
    tail = uuid7().int & ((1 << 80) - 1)
    return uuid.UUID(int=(int(moment.timestamp() * 1000) << 80) | tail)


def test_a_row_lies_in_the_partition_of_its_ids_day():
    partitions._made.clear()
    today, yesterday = uuid7(), id_at(datetime.now(UTC) - timedelta(days=1))
    handle([message(today), message(yesterday)])
    assert partition_of(today) == f"predictions_prediction_{datetime.now(UTC):%Y%m%d}"
    assert partition_of(yesterday).endswith(f"{datetime.now(UTC) - timedelta(days=1):%Y%m%d}")


def test_a_stray_of_another_year_lies_in_the_default_partition():
    partitions._made.clear()
    stray = id_at(datetime(2019, 5, 1, tzinfo=UTC))
    handle([message(stray)])
    assert partition_of(stray) == "predictions_prediction_default"


def test_the_bounds_of_a_day_hold_its_first_and_last_moment():
    day = datetime(2026, 11, 21, tzinfo=UTC)
    first, following = partitions.first_id(day.date()), partitions.first_id(day.date() + timedelta(days=1))
    assert first <= id_at(day) < following
    assert first <= id_at(day + timedelta(hours=23, minutes=59, seconds=59.999)) < following
    assert id_at(day + timedelta(days=1)) >= following
    assert partitions.at_of(id_at(day)) == day


def test_removed_predictions_of_the_demonstration_do_not_come_back():
    visitor, ana = make_user("demo-engineer", "engineer", is_demo=True), make_user("ana", "predictor")
    batch = [message(user_id=visitor.pk, is_demo=True), message(user_id=ana.pk)]
    handle(batch)
    assert actions.remove_demo() == 1
    assert [row.user_id for row in Prediction.objects.all()] == [ana.pk]
    handle(batch)
    assert Prediction.objects.count() == 1
    assert actions.remove_demo() == 0


def test_what_was_on_its_way_of_a_user_who_had_to_stay_is_not_recorded():
    kept = make_user("demo-engineer", "engineer", is_demo=True, is_active=False)
    gone = make_user("ana", "predictor", is_active=False)  # of people, all is recorded
    handle([message(user_id=kept.pk, is_demo=True), message(user_id=gone.pk)])
    assert [row.user_id for row in Prediction.objects.all()] == [gone.pk]


def test_what_was_on_its_way_when_the_demonstration_was_removed_is_not_recorded():
    handled = handle([message(user_id=12345, is_demo=True), message(user_id=12345)])
    assert handled == (1, [])
