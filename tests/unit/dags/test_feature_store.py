"""The feature store on a real Redis: versions and their schemas, expiry, odd ids, and Redis away."""

import os
import signal
import time
from datetime import UTC, datetime, timedelta

import pytest
import redis

from dags.recipes.common import feature_store
from dags.recipes.common.feature_store import (
    Damaged,
    FeatureStore,
    Invalid,
    NotThere,
    Row,
    StoreAway,
    Unreadable,
)

SCHEMA = {"age": "number", "port": "text", "n": "integer", "is_alone": "boolean"}
VALUES = {"age": 22.5, "port": "Q", "n": 1, "is_alone": True}
AT = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
def url(real_redis):
    return real_redis.url


@pytest.fixture
def client(url):
    with redis.Redis.from_url(url, decode_responses=True) as made:
        yield made


@pytest.fixture
def store(client):
    return FeatureStore(client)


def put(store, *ids, version="1", values=VALUES, event_at=AT, **more):
    rows = [Row(id_, values, event_at) for id_ in ids or ("7",)]
    return store.put_many("titanic", version, schema=SCHEMA, rows=rows, **more)


def test_a_row_comes_back_with_its_times_and_values(store):
    before = datetime.now(UTC)
    assert put(store, facts={"data_source": "file"}).n_rows == 1
    found = store.get("titanic", "7")
    assert (found.entity, found.id, found.version, found.event_at) == ("titanic", "7", "1", AT)
    assert found.values == VALUES
    assert timedelta(days=30) <= found.expires_at - before < timedelta(days=30, minutes=1)
    (version,) = store.versions("titanic")
    assert (version.schema, version.n_rows, version.facts) == (SCHEMA, 1, {"data_source": "file"})


def test_writing_again_changes_no_count_and_renews_the_expiry(store):
    put(store, "1", "2")
    first = store.get("titanic", "1").expires_at
    assert put(store, "1", "2", "2").n_rows == 2
    assert store.versions("titanic")[0].n_rows == 2
    assert store.get("titanic", "1").expires_at > first


def test_more_rows_than_go_in_one_round_trip(store):
    ids = [str(n) for n in range(feature_store.AT_ONCE + 3)]
    assert put(store, *ids).n_rows == len(ids)
    assert [row.id for row in store.get_many("titanic", ids)] == ids
    assert len(store.ids("titanic", "1")) == len(ids)
    assert len(store.ids("titanic", "1", first=500, n=10)) == 3


def test_rows_that_are_not_there_are_none_among_many_and_an_error_alone(store):
    put(store)
    assert [found and found.id for found in store.get_many("titanic", ["8", "7"])] == [None, "7"]
    with pytest.raises(NotThere, match='has no "8" in version 1 of titanic'):
        store.get("titanic", "8")
    with pytest.raises(NotThere, match='no version of "mars"'):
        store.get("mars", "7")
    with pytest.raises(NotThere, match='no version "9"'):
        store.version("titanic", "9")
    assert store.versions("mars") == []


@pytest.mark.parametrize(
    "odd",
    [
        "a b",
        "a/b",
        "/",
        "..",
        "../../x",
        "日本 ñ 🏠",
        "a:b",
        "*",
        "x" * 300,
        "%2F",
        "a?b#c",
        "titanic:1:7",
        " ",
    ],
)
def test_odd_ids_are_kept_apart_and_found_again(store, odd):
    put(store, odd, values=VALUES | {"n": 5})
    put(store, "other")
    assert store.get("titanic", odd).values["n"] == 5
    assert store.get("titanic", odd).id == odd
    assert set(store.ids("titanic", "1")) == {odd, "other"}


@pytest.mark.parametrize("bad", ["", "x" * 301, "a\nb", "a\x00b", "\ud800"], ids=ascii)
def test_ids_that_nobody_could_look_up_are_refused(store, bad):
    with pytest.raises(Invalid, match="An id "):
        put(store, bad)
    with pytest.raises(Invalid, match="An id "):
        store.get_many("titanic", [bad], version="1")
    assert store.entities() == []


@pytest.mark.parametrize("bad", ["", "a b", "a:b", "*", "ñ", "x" * 65, "a\n"])
def test_names_that_would_mix_up_keys_are_refused(store, bad):
    for call in (
        lambda: store.put_many(bad, "1", schema=SCHEMA, rows=[]),
        lambda: store.put_many("titanic", bad, schema=SCHEMA, rows=[]),
        lambda: store.versions(bad),
        lambda: store.ids("titanic", bad),
    ):
        with pytest.raises(Invalid, match="cannot be the name"):
            call()


def test_another_schema_under_the_same_version_is_refused_and_changes_nothing(store):
    put(store)
    for other in (SCHEMA | {"age": "text"}, SCHEMA | {"deck": "text"}, {"age": "number"}):
        with pytest.raises(Invalid, match="Version 1 of titanic has another schema: it differs in"):
            store.put_many("titanic", "1", schema=other, rows=[])
    assert store.version("titanic", "1").schema == SCHEMA
    store.put_many("titanic", "2", schema={"age": "text"}, rows=[Row("7", {"age": "old"}, AT)])
    assert [version.version for version in store.versions("titanic")] == ["2", "1"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"age": "old"}, 'age is "old", which is no number'),
        ({"age": True}, "age is True, which is no number"),
        ({"age": float("nan")}, "age is nan"),
        ({"age": float("inf")}, "age is inf"),
        ({"n": 1.5}, "n is 1.5, which is no integer"),
        ({"port": 3}, "port is 3, which is no text"),
        ({"is_alone": 1}, "is_alone is 1, which is no boolean"),
        ({"deck": "A"}, "has not the names of the schema: deck differ"),
    ],
)
def test_one_row_that_does_not_fit_is_named_and_nothing_is_written(store, values, message):
    rows = [Row("1", VALUES, AT), Row("2", VALUES | values, AT)]
    with pytest.raises(Invalid, match=f'Row "2".*{message}'):
        store.put_many("titanic", "1", schema=SCHEMA, rows=rows)
    assert store.entities() == []


def test_a_value_may_be_missing_a_time_zone_may_not(store):
    put(store, values=dict.fromkeys(SCHEMA))
    assert store.get("titanic", "7").values == dict.fromkeys(SCHEMA)
    with pytest.raises(Invalid, match="names no zone"):
        put(store, event_at=AT.replace(tzinfo=None))


def test_a_row_or_a_schema_that_cannot_be_read_fails_no_write_of_others(store, client):
    put(store, "1", "2")
    client.set("feature:row:titanic:1:1", "not json")
    assert [row and row.id for row in store.get_many("titanic", ["1", "2"])] == [None, "2"]
    with pytest.raises(Unreadable, match='"1" in version 1 of titanic cannot be read'):
        store.get("titanic", "1")
    assert put(store, "1", "2").n_rows == 2
    assert store.get("titanic", "1").values == VALUES
    client.hset("feature:schemas:titanic", "1", "not json")
    with pytest.raises(Invalid, match="schema of version 1 of titanic cannot be read"):
        put(store)
    assert put(store, version="2").n_rows == 1


@pytest.mark.parametrize("odd", ["a\tb", "x" * 301])
def test_an_id_of_others_that_nobody_could_look_up_hides_no_row(store, client, odd):
    put(store, "1")
    client.zadd("feature:ids:titanic:1", {odd: 1e15})
    assert store.ids("titanic", "1") == ["1", odd]
    first, second = store.rows("titanic", ["1", odd], version="1")
    assert (first.id, second) == ("1", Damaged(odd))
    with pytest.raises(Invalid, match="An id "):
        store.get("titanic", odd, version="1")


def test_what_is_no_text_hides_nothing_else(store, client):
    put(store, "1", version="1")
    put(store, "1", version="2")
    for part in ("schemas", "facts"):
        client.hset(f"feature:{part}:titanic", "1", b'{"source": "\xff"}')
    newest, oldest = store.versions("titanic")
    assert (newest.version, newest.n_rows) == ("2", 1)
    assert (oldest.version, oldest.schema, oldest.facts, oldest.n_rows) == ("1", {}, {}, 1)
    with pytest.raises(Invalid, match="schema of version 1 of titanic cannot be read"):
        put(store, version="1")
    client.zadd("feature:ids:titanic:2", {b"a\xff": 1e15})  # the last, which writing looks at
    assert store.ids("titanic", "2") == ["1", r"a\xff"]
    assert put(store, "2", version="2").n_rows == 1


def test_an_older_event_does_not_undo_a_newer_one(store):
    put(store, values=VALUES | {"n": 2})
    late = put(store, "7", "8", values=VALUES | {"n": 1}, event_at=AT - timedelta(seconds=1))
    assert (late.n_rows, late.n_older) == (1, 1)
    assert [row.values["n"] for row in store.get_many("titanic", ["7", "8"])] == [2, 1]


def test_expired_rows_are_gone_from_reads_and_counts_and_leave_no_key_behind(store, client):
    put(store, "1", expires_in=timedelta(milliseconds=40))
    put(store, "2", version="2")
    time.sleep(0.06)
    with pytest.raises(NotThere, match="or no longer: rows expire"):
        store.get("titanic", "1", version="1")
    assert store.get_many("titanic", ["1"], version="1") == [None]
    assert store.ids("titanic", "1") == []
    assert [version.n_rows for version in store.versions("titanic")] == [1, 0]
    assert client.keys("feature:*:1*") == []
    with pytest.raises(Invalid, match="would expire at once"):
        put(store, expires_in=timedelta(0))


def test_rows_that_expire_sooner_do_not_take_the_index_of_the_others_along(store):
    put(store, "long")
    put(store, "short", expires_in=timedelta(milliseconds=40))
    time.sleep(0.06)
    assert store.ids("titanic", "1") == ["long"]


def test_the_newest_version_is_read_or_that_which_was_so_then(store):
    put(store, values=VALUES | {"n": 1})
    time.sleep(0.005)
    between = datetime.now(UTC)
    time.sleep(0.005)
    put(store, version="2", values=VALUES | {"n": 2})
    put(store, values=VALUES | {"n": 3})  # into the old one: it does not become the newest by that
    assert store.get("titanic", "7").values["n"] == 2
    assert store.get("titanic", "7", as_of=between).version == "1"
    assert store.get("titanic", "7", version="1").values["n"] == 3
    with pytest.raises(NotThere, match="from before 2026-11-01"):
        store.newest("titanic", as_of=AT)


def test_a_version_is_not_seen_before_it_is_whole(store, monkeypatch):
    put(store)
    monkeypatch.setattr(store, "_announce", lambda *_: (_ for _ in ()).throw(redis.ConnectionError("gone")))
    with pytest.raises(StoreAway):
        put(store, version="2")
    assert store.newest("titanic").version == "1"


def test_redis_away_is_said_soon_without_the_password(monkeypatch):
    monkeypatch.setenv("ATALAYA_FEATURES_URL", "redis://features:secret@127.0.0.1:1/0")
    store = feature_store.connect()
    began = time.monotonic()
    for call in (
        lambda: store.get("titanic", "7", version="1"), lambda: store.versions("titanic"), store.entities,
        lambda: store.ids("titanic", "1"), lambda: put(store),
    ):  # fmt: skip
        with pytest.raises(StoreAway, match=r"does not answer: .*127\.0\.0\.1:1") as error:
            call()
        assert "secret" not in str(error.value)
    assert time.monotonic() - began < 10


def test_redis_that_hangs_is_given_up(real_redis):
    store = FeatureStore(redis.Redis.from_url(real_redis.url, socket_timeout=0.2, retry=None))
    os.kill(real_redis.process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(StoreAway, match="does not answer"):
            store.entities()
    finally:
        os.kill(real_redis.process.pid, signal.SIGCONT)


def test_an_environment_without_an_address_is_named(monkeypatch):
    monkeypatch.delenv("ATALAYA_FEATURES_URL", raising=False)
    with pytest.raises(StoreAway, match="lacks ATALAYA_FEATURES_URL"):
        feature_store.connect()
