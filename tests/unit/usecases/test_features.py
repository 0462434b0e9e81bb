"""The feature store over pages and REST, and outliers beside drift."""

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
import redis
from django.urls import reverse

from core.lib import redis as console_redis
from core.lib.ids import uuid7
from dags.recipes.common.feature_store import FeatureStore, Row
from predictions import ingestion
from tests.people import make_user, signed_in
from tests.registry import make_champion
from tests.unit.predictions.test_ingestion import message

pytestmark = pytest.mark.django_db(databases=["default", "usecases"])

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
PAGE = "/usecases/titanic/features"
SCHEMA = {"Sex": "text", "Age": "number"}


@pytest.fixture
def client():
    return signed_in(make_user("ana", "engineer"))


@pytest.fixture
def store(real_redis):
    return FeatureStore(redis.Redis.from_url(real_redis.url, decode_responses=True))


def put(store, *ids, version="1", **more):
    rows = [Row(id_, {"Sex": "female", "Age": None}, AT) for id_ in ids]
    facts = {"data_source": "synthetic", "origin": "generator"}
    store.put_many("titanic", version, schema=SCHEMA, rows=rows, facts=facts, **more)


def rest(client, id_, entity="titanic", **query):
    return client.get(f"/api/v1/features/{entity}/{quote(id_, safe='')}", query)


def test_rest_tells_a_row_with_its_times(client, store):
    put(store, "7", expires_in=timedelta(days=1))
    told = rest(client, "7").json()
    expires_at = datetime.fromisoformat(told.pop("expires_at"))
    assert timedelta(hours=23) < expires_at - datetime.now(UTC) < timedelta(days=1)
    assert told == {
        "entity": "titanic", "id": "7", "version": "1", "event_at": "2026-11-01T12:00:00Z",
        "values": {"Sex": "female", "Age": None},
    }  # fmt: skip


def test_rest_takes_the_newest_version_or_the_one_named(client, store):
    put(store, "7")
    put(store, "7", version="2")
    assert rest(client, "7").json()["version"] == "2"
    assert rest(client, "7", version="1").json()["version"] == "1"
    assert rest(client, "7", version="3").status_code == 404


@pytest.mark.parametrize(
    "odd", ["a b", "a/b", "/", "//a/", "日本 ñ 🏠", "x" * 300, "%2F", "a?b#c", "..", "a.json"]
)
def test_rest_finds_odd_ids(client, store, odd):
    put(store, odd, "other")
    assert rest(client, odd).json()["id"] == odd
    page = client.get(PAGE, {"id": odd})
    assert page.status_code == 200
    assert "titanic" in page.content.decode()


@pytest.mark.parametrize(
    ("entity", "id_"),
    [
        ("titanic", "8"),
        ("mars", "7"),
        ("a b", "7"),
        ("*", "7"),
        ("titanic", "x" * 301),
    ],
)
def test_rest_says_what_is_not_there(client, store, entity, id_):
    put(store, "7")
    answer = rest(client, id_, quote(entity))
    assert answer.status_code == 404
    assert "rows expire" in answer.json()["detail"]


def test_rows_that_have_expired_are_not_there(client, store):
    put(store, "7", expires_in=timedelta(milliseconds=1))
    assert rest(client, "7").status_code == 404
    assert client.get(PAGE, {"id": "7"}).status_code == 404
    assert client.get(PAGE).status_code == 200


def test_while_redis_is_away_rest_says_503_and_the_page_says_so(client, real_redis):
    real_redis.stop()
    answer = rest(client, "7")
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert answer.json()["detail"] == "The feature store (Redis) does not answer."
    page = client.get(PAGE)
    assert page.status_code == 503
    assert "does not answer" in page.content.decode()
    assert client.get("/usecases/titanic").status_code == 200


def test_the_page_shows_version_schema_count_and_rows(client, store):
    put(store, *(str(n) for n in range(30)))
    page = client.get(PAGE).content.decode()
    assert "titanic, version 1" in page
    assert "Sex: text, Age: number" in " ".join(page.split())
    assert "synthetic · generator" in page
    assert page.count("<tr>") == 1 + 25
    assert client.get(PAGE, {"page": "2"}).content.decode().count("<tr>") == 1 + 5
    page = client.get(PAGE, {"id": "7", "version": "1"}).content.decode()
    assert "titanic 7" in page
    assert "female" in page


def test_the_page_says_what_to_do_before_there_are_features(client, real_redis):
    page = client.get(PAGE).content.decode()
    assert "A run of titanic_etl writes them." in page
    assert client.get(PAGE, {"version": "9"}).status_code == 404
    assert client.get("/usecases/taxi/features").status_code == 404


def test_markup_in_values_stays_text(client, store):
    store.put_many("titanic", "1", schema={"a": "text"}, rows=[Row("<b>7</b>", {"a": "<script>"}, AT)])
    page = client.get(PAGE, {"id": "<b>7</b>"}).content.decode()
    assert "<script>\n" not in page
    assert "&lt;script&gt;" in page
    assert "<b>7</b>" not in page


ODD = {
    "no JSON": "not json",
    "deep": "[" * 200_000,
    "no object": "[1]",
    "no times": '{"values": {}}',
    "no time": '{"event_at": "now", "expires_at": 7, "values": {}}',
    "no zone": '{"event_at": "2026-11-01T12:00:00", "expires_at": "2026-11-01T12:00:00", "values": {}}',
    "a year that no zone has": '{"event_at": "9999-12-31T23:59:59Z", "expires_at": "0001-01-01T00:00:00Z",'
    ' "values": {}}',
    "no values": '{"event_at": "2026-11-01T12:00Z", "expires_at": "2026-11-01T12:00Z", "values": 1}',
    "NaN": '{"event_at": "2026-11-01T12:00Z", "expires_at": "2026-11-01T12:00Z", "values": {"Age": NaN}}',
    "half a character": '{"event_at": "2026-11-01T12:00Z", "expires_at": "2026-11-01T12:00Z",'
    ' "values": {"Sex": "\\ud800"}}',
    "no text": b"\xff\xfe",
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_a_row_that_another_wrote_is_said_to_be_unreadable_and_hides_no_other(client, store, real_redis, odd):
    put(store, "7", "8")
    redis.Redis.from_url(real_redis.url).set("feature:row:titanic:1:7", odd)
    page = client.get(PAGE).content.decode()
    assert page.count("This row cannot be read") == 1
    assert page.count("female") == 1
    assert rest(client, "8").status_code == 200
    answer = rest(client, "7")
    assert (answer.status_code, answer.json()["detail"][:27]) == (404, "This row cannot be read: so")
    put(store, "7")  # which takes its place
    assert rest(client, "7").status_code == 200


def test_an_id_that_another_wrote_hides_no_row(client, store, real_redis):
    put(store, "7", "8")
    redis.Redis.from_url(real_redis.url).zadd("feature:ids:titanic:1", {"a\tb": 1e15})
    page = client.get(PAGE).content.decode()
    assert page.count("This row cannot be read") == 1
    assert page.count("female") == 2


@pytest.mark.parametrize("schema", [None, "not json", "7"])
@pytest.mark.parametrize("since", ["inf", 1e18])
def test_a_version_that_another_spoilt_hides_no_other(client, store, real_redis, schema, since):
    put(store, "7", version="1")
    put(store, "7", version="2")
    other = redis.Redis.from_url(real_redis.url)
    other.zadd("feature:versions:titanic", {"2": since})
    other.hset("feature:facts:titanic", "2", "[]")
    other.hdel("feature:schemas:titanic", "2")
    if schema is not None:
        other.hset("feature:schemas:titanic", "2", schema)
    page = client.get(PAGE)
    assert page.status_code == 200
    assert "It cannot be read" in page.content.decode()
    assert "Sex: text, Age: number" in " ".join(client.get(PAGE, {"version": "1"}).content.decode().split())
    assert rest(client, "7", version="1").status_code == 200


def test_cells_stand_under_their_names_whatever_else_a_row_holds(client, store, real_redis):
    put(store, "7")
    at = AT.isoformat()
    row = json.dumps({"event_at": at, "expires_at": at, "values": {"values": 3, "Age": 5}})
    redis.Redis.from_url(real_redis.url).set("feature:row:titanic:1:7", row)
    cells = client.get(PAGE).content.decode().partition("<tbody>")[2].split("<td>")[1:3]
    assert [cell.partition("<")[0] for cell in cells] == ["–", "5"]


# --- outliers beside drift


def recorded(user, *warnings, model="titanic"):
    id_ = uuid7()
    row = message(
        id_, user_id=user.pk, username=user.username, model=model, version="1", warnings=list(warnings)
    )
    ingestion.handle({f"predictions/0/{id_.int % 10**9}": row})
    return id_


WARNING = "Fare is 9000, an outlier: outside the range seen in training (0 to 512)"


def test_an_odd_row_is_an_outlier_and_never_drift(client):
    user, other = make_user("bo", "predictor"), make_user("viewer", "viewer")
    odd = recorded(user, WARNING)
    recorded(user)
    recorded(user, "Age is 99, an outlier", model="diabetes")
    url = reverse("usecases:outliers", args=["titanic"])
    box = client.get(url).content.decode()
    assert WARNING in box
    assert box.count("<li>") == 1
    assert reverse("predict:detail", args=[odd]) in box
    assert "drift" not in WARNING
    box = signed_in(other).get(url).content.decode()  # may see no one else's
    assert WARNING not in box
    assert "None in the last seven days" in box


def test_the_page_of_a_use_case_puts_both_boxes_side_by_side(client):
    page = client.get("/usecases/titanic").content.decode()
    assert reverse("usecases:outliers", args=["titanic"]) not in page  # nothing answers yet
    make_champion(1, make_user("eve", "scientist"))
    page = client.get("/usecases/titanic").content.decode()
    assert reverse("usecases:outliers", args=["titanic"]) in page
    assert reverse("drift:model-box", args=["titanic"]) in page
    assert reverse("usecases:feature-list", args=["titanic"]) in page


def test_the_consoles_own_client_reads_the_store(store):
    put(store, "7")
    assert FeatureStore(console_redis.client()).get("titanic", "7").values["Sex"] == "female"


def test_a_feature_may_be_called_items(client, store):
    """A template takes `items` of a dict for the value that is called so."""
    store.put_many("titanic", "1", schema={"items": "number"}, rows=[Row("7", {"items": 5.0}, AT)], facts={})
    text = client.get(PAGE, {"id": "7"}).content.decode()
    assert "<dt>items</dt>" in text
    assert "items: number" in text
