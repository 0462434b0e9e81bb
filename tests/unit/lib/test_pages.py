"""Cursor pages: each row once, whatever the order, and the last page says that it is the last."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from core.lib.errors import InvalidRequest
from core.lib.pages import CursorPages, Order
from models_registry import run_filter
from models_registry.models import Experiment, MlflowRun

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def request(query=""):
    return Request(APIRequestFactory().get(f"/runs?{query}"))


def pages(rows, ordering, limit=200):
    """The results of every page, by following `next`."""
    found, query = [], f"limit={limit}"
    while query:
        paginator = CursorPages()
        paginator.ordering = ordering
        found.append(paginator.paginate_queryset(rows, request(query)))
        query = (paginator.get_paginated_response([]).data["next"] or "").partition("?")[2]
        assert len(found) < 200, "next never ends"
    return found


def make_runs(values):
    experiment, _is_new = Experiment.objects.get_or_create(experiment_id="1", defaults={"name": "one"})
    MlflowRun.objects.bulk_create(
        MlflowRun(run_id=f"{number:032x}", experiment=experiment, **value)
        for number, value in enumerate(values)
    )
    return MlflowRun.objects.all()


@pytest.mark.django_db
@pytest.mark.parametrize("ordering", ["name", ("status", "-started_at")])
def test_a_thousand_rows_with_one_value_come_once(ordering):
    rows = make_runs([{"name": "same", "started_at": AT}] * 1100)
    found = pages(rows, ordering)
    assert [len(page) for page in found] == [200] * 5 + [100]
    assert len({row.pk for page in found for row in page}) == 1100


@pytest.mark.django_db
def test_a_full_last_page_is_the_last():
    assert [len(page) for page in pages(make_runs([{}] * 6), "name", limit=3)] == [3, 3]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "order",
    [
        "",
        "started_at",
        "-metrics.1",
        "metrics.1",
        "params.a",
        "-params.a",
        "params.1",
        "-name",
        "metrics.none",
    ],
)
def test_every_order_of_runs_gives_each_once(order):
    numbers = [1, 0.5, "NaN", "Infinity", None, 1, 1]
    rows = make_runs(
        {
            "name": f"run {n % 3}",
            "started_at": AT + timedelta(minutes=n % 4) if n % 5 else None,
            "metrics": {} if numbers[n % 7] is None else {"1": numbers[n % 7]},
            "params": {"a": str(n % 3), "1": "x"} if n % 2 else {},
        }
        for n in range(40)
    )
    runs, names = run_filter.ordered(rows, order)
    found = [row.pk for page in pages(runs, names, limit=7) for row in page]
    assert found == [row.pk for row in Order(runs, names).all()]
    assert len(set(found)) == 40


row = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["", "a", "b"]),
        "status": st.sampled_from(["FAILED", "FINISHED"]),
        "started_at": st.none() | st.sampled_from([AT, AT + timedelta(microseconds=1)]),
        "ended_at": st.none() | st.just(AT),
    }
)
column = st.tuples(st.sampled_from(["", "-"]), st.sampled_from(["name", "status", "started_at", "ended_at"]))


class AnyOrder(TestCase):
    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(st.lists(row, max_size=12), st.lists(column, max_size=3), st.integers(1, 5))
    def test_pages_put_together_are_the_whole_list(self, values, columns, limit):
        rows = make_runs(values)
        ordering = [sign + name for sign, name in columns]
        found = [row.pk for page in pages(rows, ordering, limit=limit) for row in page]
        assert found == [row.pk for row in Order(rows, ordering).all()]
        assert len(found) == len(values)


@pytest.mark.django_db
def test_rows_that_arrive_meanwhile_move_nothing():
    rows = make_runs([{"name": f"run {n}", "started_at": AT + timedelta(minutes=n)} for n in range(4)])
    order = Order(rows, ["-started_at"])
    cursor = order.cursor(order.all()[1])
    MlflowRun.objects.create(run_id="new", experiment_id="1", name="new", started_at=AT + timedelta(hours=1))
    assert [row.name for row in Order(rows, ["-started_at"]).after(cursor)] == ["run 1", "run 0"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=1.5", "limit=abc", "limit=²", "limit=", "limit=-1"]
)
def test_a_limit_that_is_none_is_refused(query):
    with pytest.raises(InvalidRequest) as refused:
        CursorPages().paginate_queryset(make_runs([{}]), request(query))
    assert refused.value.errors[0]["field"] == "limit"


@pytest.mark.django_db
@pytest.mark.parametrize("cursor", ["x", "cD1hYmM=", "°", "a:b:c", "%F0%9F%98%80"])
def test_a_cursor_that_we_did_not_write_is_refused(cursor):
    with pytest.raises(InvalidRequest) as refused:
        CursorPages().paginate_queryset(make_runs([{}]), request(f"cursor={cursor}"))
    assert refused.value.errors[0]["field"] == "cursor"


@pytest.mark.django_db
def test_a_cursor_of_another_order_is_refused():
    rows = make_runs([{}, {}])
    with pytest.raises(InvalidRequest):
        Order(rows, ["status"]).after(Order(rows, ["name"]).cursor(rows[0]))
