"""Loops over what others produce: all that fits arrives, and each odd item is set aside once."""

from dataclasses import dataclass
from datetime import timedelta
from operator import attrgetter

import pytest
from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from core.lib import aside, aside_round
from core.lib.errors import InvalidRequest, Unavailable
from core.lib.models import SetAside, SyncState

pytestmark = pytest.mark.django_db


@dataclass(frozen=True)
class Item:
    name: str
    service: str = "airflow"


@pytest.fixture
def loop(monkeypatch):
    monkeypatch.setattr(aside, "LOOPS", dict(aside.LOOPS))
    return aside.Loop("tests.items", "Items", thing="pipeline")


def save(items):
    """Rows whose service has 30 characters at most, as a mirror writes them."""
    for item in items:
        SyncState.objects.update_or_create(name=item.name, defaults={"service": item.service})
    return [item.name for item in items]


def insert(items):
    """The same in one statement."""
    SyncState.objects.bulk_create([SyncState(name=item.name, service=item.service) for item in items])
    return [item.name for item in items]


def names():
    return sorted(SyncState.objects.values_list("name", flat=True))


GOOD = [Item("a"), Item("b"), Item("c")]
TOO_LONG = Item("odd", "x" * 31)


def set_aside(loop):
    return list(loop.rows())


def age(loop, **times):
    """As if the rows were noted so long ago."""
    ago = timezone.now() - timedelta(**times)
    loop.rows().update(first_at=ago, last_at=ago, next_try_at=ago)


def test_a_batch_without_fault_is_written_at_once(loop, django_assert_num_queries):
    batches = []

    def all_at_once(items):
        batches.append(items)
        return [item.name for item in items]

    with django_assert_num_queries(4):  # what is set aside, savepoint, references, release
        assert loop.save(GOOD, all_at_once, key=attrgetter("name")) == ["a", "b", "c"]
    assert batches == [GOOD]


def test_the_others_are_written_and_the_odd_one_is_set_aside_with_its_reason(loop):
    done = loop.save([*GOOD, TOO_LONG], save, key=attrgetter("name"), about=attrgetter("service"))
    assert done == names() == ["a", "b", "c"]
    row = SetAside.objects.get()
    assert (row.loop, row.key, row.count, row.about) == ("tests.items", "odd", 1, "x" * 31)
    assert row.reason == "DataError: value too long for type character varying(30)"


@pytest.mark.parametrize("place", [0, 1, 499, 500, 998, 999])
def test_one_odd_item_of_a_thousand_is_found_in_few_tries(loop, place):
    items = [Item(f"item{n:03}") for n in range(1_000)]
    items[place] = TOO_LONG
    batches = []
    done = loop.save(items, lambda some: batches.append(len(some)) or insert(some), key=attrgetter("name"))
    assert done == names() == sorted(item.name for item in items if item is not TOO_LONG)
    assert [row.key for row in set_aside(loop)] == ["odd"]
    assert len(batches) <= 25


@pytest.mark.parametrize("is_odd", [lambda n: n % 3 == 0, lambda n: n > 5, lambda _n: True])
def test_many_odd_items_are_found_too_and_the_others_keep_their_order(loop, is_odd):
    items = [Item(f"item{n:02}", "x" * 31 if is_odd(n) else "airflow") for n in range(50)]
    batches = []
    done = loop.save(items, lambda some: batches.append(len(some)) or insert(some), key=attrgetter("name"))
    assert done == names() == [f"item{n:02}" for n in range(50) if not is_odd(n)]
    assert sorted(row.key for row in set_aside(loop)) == [f"item{n:02}" for n in range(50) if is_odd(n)]
    assert len(batches) < 2 * len(items)


def test_items_that_fit_not_together_fit_one_after_the_other(loop):
    def upsert(items):
        if len({item.service for item in items}) < len(items):
            raise ValueError("ON CONFLICT DO UPDATE command cannot affect row a second time")
        return [item.name for item in items]

    assert loop.save([Item("a"), Item("b", "mlflow"), Item("c")], upsert, key=attrgetter("name")) == [
        "a",
        "b",
        "c",
    ]
    assert not SetAside.objects.exists()


def test_a_service_that_fails_at_items_far_apart_is_not_away(loop):
    def ask(items):
        if any(item.service for item in items):
            raise Unavailable("MLflow could not answer (500).", service="mlflow")
        return [item.name for item in items]

    items = [Item(str(n), "odd" if n % 4 == 0 else "") for n in range(16)]
    assert len(loop.save(items, ask, key=attrgetter("name"))) == 12
    assert SetAside.objects.count() == 4


def test_it_is_not_tried_again_while_it_stays_as_it_is(loop):
    for _round in range(5):
        loop.save([*GOOD, TOO_LONG], save, key=attrgetter("name"))
    assert SetAside.objects.get().count == 1


def test_it_does_not_slow_the_others_again(loop):
    loop.save([*GOOD, TOO_LONG], save, key=attrgetter("name"))
    batches = []
    age(loop, hours=2)
    loop.save([*GOOD, TOO_LONG], lambda items: batches.append(items) or save(items), key=attrgetter("name"))
    assert batches == [GOOD, [TOO_LONG]]


def test_it_is_tried_again_when_it_changes_and_goes_when_it_fits(loop):
    loop.save([TOO_LONG], save, key=attrgetter("name"))
    loop.save([Item("odd", "y" * 40)], save, key=attrgetter("name"))
    assert SetAside.objects.get().count == 2
    assert loop.save([Item("odd")], save, key=attrgetter("name")) == ["odd"]
    assert not SetAside.objects.exists()


def test_it_is_tried_again_slowly_in_case_our_own_state_was_the_cause(loop):
    waits = []
    for _try in range(8):
        loop.save([TOO_LONG], save, key=attrgetter("name"))
        row = SetAside.objects.get()
        waits.append((row.next_try_at - row.last_at).total_seconds())
        row.next_try_at = timezone.now()
        row.save()
    assert waits == [10, 40, 160, 640, 2560, 3600, 3600, 3600]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"),
        KeyError("state"),
        RecursionError(),
        MemoryError(),
        OverflowError(),
        AssertionError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("way", ["save", "each"])
def test_no_class_of_exception_ends_the_round(loop, error, way):
    def one(item):
        if item is TOO_LONG:
            raise error
        save([item])

    take = (lambda items: [one(item) for item in items]) if way == "save" else one
    getattr(loop, way)([TOO_LONG, *GOOD], take, key=attrgetter("name"))
    assert names() == ["a", "b", "c"]
    assert [row.key for row in set_aside(loop)] == ["odd"]


@pytest.mark.parametrize("name", ["nul\x00", "half\ud800", "x" * 5000, "é" * 5000, ""])
@pytest.mark.parametrize("way", ["save", "each"])
def test_any_key_can_be_kept(loop, name, way):
    take = {"save": save, "each": lambda item: save([item])}[way]
    for _round in range(2):
        getattr(loop, way)([Item(name, "x" * 31), *GOOD], take, key=attrgetter("name"))
    assert names() == ["a", "b", "c"]
    assert SetAside.objects.get().count == 1


def test_two_long_keys_with_one_beginning_are_two(loop):
    loop.save([Item("x" * 2000 + end, "y" * 31) for end in "ab"], save, key=attrgetter("name"))
    assert SetAside.objects.count() == 2


def test_an_item_without_a_key_or_a_form_is_set_aside_too(loop):
    nested: list = []
    for _level in range(100_000):
        nested = [nested]
    loop.save([nested, *GOOD], save, key=attrgetter("name"))
    assert names() == ["a", "b", "c"]
    assert "AttributeError" in SetAside.objects.get().reason
    while nested:  # taken apart by hand: to free it at once would recurse as deeply
        nested = nested.pop()


def test_two_items_of_one_key_are_set_aside_once_though_one_of_them_fits(loop):
    for _round in range(3):
        loop.save([TOO_LONG, Item("odd"), TOO_LONG], save, key=attrgetter("name"))
    assert names() == ["odd"]
    assert SetAside.objects.get().count == 2  # the two that came in the first round


@pytest.mark.parametrize(
    "error", [OperationalError("server closed the connection"), InterfaceError("closed")]
)
@pytest.mark.parametrize("way", ["save", "each"])
def test_the_database_being_away_is_no_items_fault(loop, error, way):
    def take(_items):
        raise error

    with pytest.raises(type(error)):
        getattr(loop, way)(GOOD, take, key=attrgetter("name"))
    assert not SetAside.objects.exists()


def test_a_value_too_large_for_an_index_is_its_items_fault(loop):
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE narrow (v text); CREATE INDEX ON narrow (v)")

    def insert(items):
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO narrow VALUES (%s)", [(item.service,) for item in items])

    noise = "".join(chr(0x4E00 + (n * n * 7919) % 20_000) for n in range(4_000))  # does not compress
    loop.save([*GOOD, Item("odd", noise)], insert, key=attrgetter("name"))
    assert "index row" in SetAside.objects.get().reason


def test_a_reference_to_nothing_is_found_before_the_end_of_the_transaction(loop):
    from core.alerts.models import AlertStep

    def refer(items):
        AlertStep.objects.bulk_create([AlertStep(alert_id=10**9, state="open")])

    loop.save([Item("odd")], refer, key=attrgetter("name"))
    assert SetAside.objects.get().reason.startswith("IntegrityError")
    assert not AlertStep.objects.exists()


def test_a_service_that_fails_at_one_item_only_delays_no_other(loop):
    def ask(item):
        if item is TOO_LONG:
            raise Unavailable("MLflow could not answer (500).", service="mlflow")
        return item.name

    assert loop.each([*GOOD, TOO_LONG, Item("d")], ask, key=attrgetter("name")) == ["a", "b", "c", "d"]
    assert SetAside.objects.get().reason == "MLflow could not answer (500)."


def test_a_service_that_fails_at_three_in_a_row_is_away(loop):
    asked = []

    def ask(item):
        asked.append(item.name)
        raise Unavailable("MLflow is not answering.", service="mlflow")

    with pytest.raises(Unavailable):
        loop.each([*GOOD, TOO_LONG], ask, key=attrgetter("name"))
    assert asked == ["a", "b", "c"]
    assert [row.key for row in set_aside(loop)] == ["a"]  # the next round begins with another


def test_three_odd_items_at_the_head_keep_no_other_from_its_turn_for_ever(loop):
    def ask(item):
        if item in GOOD:
            raise Unavailable("Airflow could not answer (500).")
        return item.name

    for _round in range(2):
        try:
            done = loop.each([*GOOD, Item("d")], ask, key=attrgetter("name"))
        except Unavailable:
            continue
    assert done == ["d"]


def test_what_a_service_fails_at_is_tried_again_within_minutes(loop):
    for _try in range(9):
        loop.set_aside("a", Unavailable("MLflow could not answer (500)."))
    row = SetAside.objects.get()
    assert row.next_try_at - row.last_at == timedelta(minutes=5)


def test_the_page_of_an_item_shows_it_too(monkeypatch):
    monkeypatch.setattr(aside, "LOOPS", dict(aside.LOOPS))
    aside.Loop("tests.runs", "Runs", thing="pipeline", item="run").set_aside("etl r1", "odd", about="etl")
    assert [row.key for row in aside.of_thing("run", "etl r1")] == ["etl r1"]
    assert [row.key for row in aside.of_thing("pipeline", "etl")] == ["etl r1"]
    assert aside.of_thing("run", "etl") == []


def test_rows_of_what_is_no_longer_there_go_when_the_list_is_all_there_is(loop):
    loop.save([TOO_LONG], save, key=attrgetter("name"))
    loop.save(GOOD, save, key=attrgetter("name"))
    assert SetAside.objects.exists()
    loop.save(GOOD, save, key=attrgetter("name"), is_all=True)
    assert not SetAside.objects.exists()


def test_rows_are_bounded_and_what_is_beyond_is_counted(loop, monkeypatch):
    monkeypatch.setattr(aside, "MOST_KEPT", 3)
    loop.save([Item(f"odd{n}", "x" * 31) for n in range(5)], save, key=attrgetter("name"))
    counts = {"odd0": 1, "odd1": 1, "odd2": 1, "": 2}
    assert {row.key: row.count for row in set_aside(loop)} == counts
    loop.save([Item(f"odd{n}", "x" * 31) for n in range(5)], save, key=attrgetter("name"))
    assert {row.key: row.count for row in set_aside(loop)} == counts  # the same two, not two more
    assert aside.numbers()[loop.name] == 5
    loop.save([Item(f"odd{n}") for n in range(5)], save, key=attrgetter("name"))
    assert not SetAside.objects.exists()


def refused(tried):
    """Takes nothing, and notes what it was asked to take."""

    def act(item):
        tried.append(item.name)
        raise ValueError("no")

    return act


def test_hundreds_that_stay_as_they_are_are_tried_no_more_in_the_next_round(loop):
    odd = [Item(f"odd{n}") for n in range(600)]
    tried = []
    for _round in range(2):
        loop.each(odd, refused(tried), key=attrgetter("name"))
    assert len(tried) == 600
    assert len(loop.rows()) == aside.numbers()[loop.name] == 600


def test_of_many_whose_turn_it_is_a_round_tries_those_that_wait_longest(loop, monkeypatch):
    monkeypatch.setattr(aside_round, "AGAIN_AT_ONCE", 2)
    odd = [Item(f"odd{n}") for n in range(5)]
    loop.each(odd, refused([]), key=attrgetter("name"))
    for n, item in enumerate(odd):
        due_at = timezone.now() - timedelta(minutes=1 if n < 3 else 2)
        loop.rows().filter(key=item.name).update(next_try_at=due_at)
    rounds = [[], [], [], []]
    for tried in rounds:
        loop.each(odd, refused(tried), key=attrgetter("name"), is_all=True)
    assert [sorted(tried) for tried in rounds[:1]] == [["odd3", "odd4"]]
    assert sorted(map(len, rounds)) == [0, 1, 2, 2]
    assert sorted(name for tried in rounds for name in tried) == [item.name for item in odd]
    assert len(loop.rows()) == 5


def test_what_changed_is_tried_at_once_however_many_there_are(loop, monkeypatch):
    monkeypatch.setattr(aside_round, "AGAIN_AT_ONCE", 2)
    loop.each([Item(f"odd{n}") for n in range(5)], refused([]), key=attrgetter("name"))
    changed = [Item(f"odd{n}", "kafka") for n in range(5)]
    loop.each(changed, refused(tried := []), key=attrgetter("name"))
    assert len(tried) == 5


def test_of_many_that_cannot_be_read_a_round_notes_some(loop, monkeypatch):
    monkeypatch.setattr(aside_round, "AGAIN_AT_ONCE", 2)
    unread = [aside.Unread(f"odd{n}", "no") for n in range(5)]
    loop.save(unread, save, key=attrgetter("name"))
    age(loop, minutes=1)
    loop.save(unread, save, key=attrgetter("name"), is_all=True)
    assert sorted(loop.rows().values_list("count", flat=True)) == [1, 1, 1, 2, 2]


def test_an_item_that_could_not_be_read_is_set_aside_with_its_key(loop):
    raw = [{"name": "a"}, {"name": "b", "service": 3}, {"service": "kafka"}, None]

    def meaning(item):
        return Item(item["name"], item.get("service", "airflow").strip())

    found = aside.read(raw, meaning, key=lambda item: item["name"])
    assert aside.readable(found) == [Item("a")]
    loop.save(found, save, key=attrgetter("name"))
    rows = {row.key.partition(" ")[0]: row.reason for row in set_aside(loop)}
    assert names() == ["a"]
    assert rows["b"] == "AttributeError: 'int' object has no attribute 'strip'"
    assert SetAside.objects.filter(reason="KeyError: 'name' is missing").count() == 1
    loop.save(found, save, key=attrgetter("name"))
    assert set(SetAside.objects.values_list("count", flat=True)) == {1}


def test_one_item_by_itself(loop):
    with loop.item("trips", about="trips"):
        raise InvalidRequest("No such topic.")
    assert SetAside.objects.get().reason == "No such topic."
    with loop.item("trips", about="trips"):
        pass
    assert not SetAside.objects.exists()


def test_a_round_in_a_transaction_of_the_callers_spoils_it_not(loop):
    with transaction.atomic():
        loop.each([TOO_LONG, *GOOD], lambda item: save([item]), key=attrgetter("name"))
        assert names() == ["a", "b", "c"]


def test_keys_whose_turn_it_is_and_rows_about_a_thing(loop):
    loop.set_aside("run 1", "odd", about="etl")
    loop.set_aside("run 2", "odd", about="other")
    assert loop.due() == []
    age(loop, seconds=1)
    assert sorted(loop.due()) == ["run 1", "run 2"]
    assert [row.key for row in aside.of_thing("pipeline", "etl")] == ["run 1"]
    assert aside.of_thing("model", "etl") == []
