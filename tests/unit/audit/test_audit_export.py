"""The trail as a file, and over REST."""

import asyncio
import csv
import io
import json
import math

import pytest
from django.db import connection
from django.middleware.gzip import GZipMiddleware
from django.test import AsyncRequestFactory

from core.audit import actions, export, queries, sealing, verifying, views
from core.audit.models import AuditEntry
from core.lib.errors import Unavailable
from tests.people import bearer, make_admin, make_token, make_user, signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin():
    return signed_in(make_admin())


def fetched(client, query):
    return b"".join(client.get(f"/system/audit/export?{query}").streaming_content).decode()


def test_csv_holds_every_matching_row_and_no_formula(admin):
    actions.record("x.make", "=cmd|' /C calc'!A0", by=None, after={"n": 1})
    actions.record("y.make", "other", by=None)
    (row,) = csv.DictReader(io.StringIO(fetched(admin, "format=csv&action=x")))
    assert row["object_label"] == "'=cmd|' /C calc'!A0"
    assert json.loads(row["after"]) == {"n": 1}
    assert row["actor_name"] == "system"


def test_json_lines_hold_the_values_as_they_are(admin):
    actions.record("x.make", "=1+1", by=None, after={"ñ": [1, None]})
    (line,) = [json.loads(line) for line in fetched(admin, "format=jsonl&action=x.make").splitlines()]
    assert (line["object_label"], line["after"]) == ("=1+1", {"ñ": [1, None]})
    assert line["at"].endswith("+00:00")


def test_an_export_goes_on_over_chunks(admin, monkeypatch):
    monkeypatch.setattr(queries, "CHUNK_SIZE", 7)
    for n in range(20):
        actions.record("x.make", str(n), by=None)
    lines = fetched(admin, "format=jsonl&action=x").splitlines()
    assert [json.loads(line)["object_id"] for line in lines] == [str(n) for n in reversed(range(20))]


def test_taking_an_export_is_recorded_with_its_filters(admin):
    fetched(admin, "format=csv&actor=ana&since=2026-01-01T00:00")
    entry = AuditEntry.objects.get(action="audit.export")
    assert (entry.actor_name, entry.object_id) == ("root", "csv")
    assert entry.after == {"filters": {"actor": "ana", "since": "2026-01-01T00:00:00Z"}}


def test_too_much_is_refused_rather_than_cut(admin, monkeypatch):
    monkeypatch.setattr(views, "EXPORT_LIMIT", 2)
    for n in range(3):
        actions.record("x.make", str(n), by=None)
    answer = admin.get("/system/audit/export?format=csv")
    assert answer.status_code == 422
    assert "Narrow the time range" in answer.content.decode()


def test_an_unknown_format_and_a_wrong_filter_are_refused(admin):
    assert admin.get("/system/audit/export?format=xlsx").status_code == 404
    assert admin.get("/system/audit/export?format=csv&since=x").status_code == 422


async def test_under_asgi_the_file_is_sent_piece_by_piece(monkeypatch):
    monkeypatch.setitem(export.KINDS, "csv", ("text/csv", "csv", lambda entries: iter([b"a", b"b"])))
    request = AsyncRequestFactory().get("/system/audit/export")
    request.in_its_thread = asyncio.to_thread
    response = export.response(request, AuditEntry.objects.none(), "csv")
    assert response.is_async
    assert [part async for part in response.streaming_content] == [b"a", b"b"]


def test_rest_lists_page_by_page_with_the_same_filters(client):
    _token, key = make_token(make_admin())
    for n in range(5):
        actions.record("x.make", str(n), by=None)
    actions.record("y.make", "other", by=None)
    seen, url = [], "/api/v1/audit?action=x&limit=2"
    while url:
        answer = client.get(url, **bearer(key)).json()
        seen += [row["object_id"] for row in answer["results"]]
        url = answer["next"]
    assert seen == ["4", "3", "2", "1", "0"]


def test_rest_names_the_filter_at_fault(client):
    _token, key = make_token(make_admin())
    answer = client.get("/api/v1/audit?since=yesterday&actor=" + "x" * 200, **bearer(key))
    assert answer.status_code == 422
    assert {error["field"] for error in answer.json()["errors"]} == {"since", "actor"}


def test_rest_takes_two_queries_for_a_page(client, django_assert_num_queries):
    _token, key = make_token(make_admin())
    for n in range(30):
        actions.record("x.make", str(n), by=None)
    client.get("/api/v1/audit", **bearer(key))
    with django_assert_num_queries(2):  # the token with its owner and their roles, the page
        client.get("/api/v1/audit", **bearer(key))


@pytest.mark.parametrize("path", ["/api/v1/audit", "/system/audit", "/system/audit/export?format=csv"])
def test_only_an_administrator_reads_the_trail(path):
    for role in ("viewer", "engineer", "scientist", "approver"):
        assert signed_in(make_user(role, role)).get(path).status_code == 403


async def test_under_asgi_a_browser_gets_more_than_the_first_part(monkeypatch):
    """Compressed part by part, the file is several gzip members in a row, of which browsers read one."""
    monkeypatch.setitem(export.KINDS, "csv", ("text/csv", "csv", lambda entries: iter([b"a" * 999, b"b"])))
    request = AsyncRequestFactory().get("/system/audit/export", headers={"accept-encoding": "gzip"})
    request.in_its_thread = asyncio.to_thread
    response = GZipMiddleware(lambda _request: export.response(request, AuditEntry.objects.none(), "csv"))(
        request
    )
    assert b"".join([part async for part in response.streaming_content]) == b"a" * 999 + b"b"


HUGE = [int(1e300), 10**4299, 2**64, 1e300, 1e-300, 0.1]


@pytest.mark.parametrize("number", HUGE)
def test_a_number_of_any_size_comes_out_of_every_export(admin, number):
    actions.record("run.trigger", "first", by=None)
    actions.record("run.trigger", "huge", by=None, after={"conf": {"a": number}})
    lines = fetched(admin, "format=jsonl&action=run.trigger").splitlines()
    assert [json.loads(line)["object_id"] for line in lines] == ["huge", "first"]
    assert type(number)(json.loads(lines[0])["after"]["conf"]["a"]) == number
    rows = list(csv.DictReader(io.StringIO(fetched(admin, "format=csv&action=run.trigger"))))
    assert type(number)(json.loads(rows[0]["after"])["conf"]["a"]) == number
    found = admin.get("/api/v1/audit?action=run.trigger").json()["results"]
    assert type(number)(found[0]["after"]["conf"]["a"]) == number


@pytest.mark.parametrize("digits", ["7" * 5000, "9" * 131_072, f"1{'0' * 400}.5"])
def test_a_number_that_only_postgresql_can_write_comes_out_digit_for_digit(admin, digits):
    """No hand of the console's puts it there; one in the database may."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_auditentry (at, actor_name, token_name, action, object_type, object_id,"
            " object_label, after, request_id, upstream_id)"
            " VALUES (now(), 'x', '', 'x.make', 'x', '1', '', %s, '', '')",
            [f'{{"a": {digits}}}'],
        )
    entry = AuditEntry.objects.get(action="x.make")
    assert digits in fetched(admin, "format=jsonl&action=x.make")
    assert digits in fetched(admin, "format=csv&action=x.make")
    assert digits in admin.get("/api/v1/audit?action=x.make").content.decode()
    assert admin.get(f"/system/audit/{entry.pk}").status_code == 200
    sealing.seal_new()
    assert verifying.verify([]).n_entries > 0


def test_what_no_json_can_say_is_recorded_as_text():
    entry = actions.record(
        "x.make", "half \ud800", by=None, after={"a": float("nan"), "b": ["\udfff", -math.inf]}
    )
    entry.refresh_from_db()
    assert (entry.object_id, entry.after) == ("half ?", {"a": "nan", "b": ["?", "-inf"]})


def test_a_failing_export_has_the_status_of_its_error(admin, monkeypatch):
    def breaks(_entries):
        raise Unavailable("gone")

    monkeypatch.setattr(queries, "in_chunks", breaks)
    assert admin.get("/system/audit/export?format=csv").status_code == 503
