"""The pages of the trail: filters, keyset pages, one entry, the entries of one object."""

from datetime import timedelta

import pytest
from django.utils import timezone

from core.audit import actions, queries, sealing
from core.audit.models import AuditEntry
from tests.markup import flat
from tests.people import make_admin, make_user, signed_in
from tests.pipeline_rows import make_pipeline, make_run
from tests.registry import make_model, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin():
    return signed_in(make_admin())


def make_entries(n, **values):
    defaults = {"actor_name": "ana", "action": "run.trigger", "object_type": "run", "object_id": "1"}
    AuditEntry.objects.bulk_create(AuditEntry(**defaults | values) for _ in range(n))


def shown(client, query=""):
    return client.get(f"/system/audit?{query}").context["entries"]


def test_pages_follow_one_another_while_rows_arrive(admin):
    make_entries(120)
    seen, url = [], "/system/audit?actor=ana"
    while url:
        answer = admin.get(url)
        seen += [entry.pk for entry in answer.context["entries"]]
        url = answer.context["page"]["next_url"]
        make_entries(3)
    assert len(seen) == len(set(seen)) == 120
    assert seen == sorted(seen, reverse=True)


def test_the_oldest_come_first_when_asked(admin):
    make_entries(60)
    first = admin.get("/system/audit?order=at")
    ids = [entry.pk for entry in first.context["entries"]]
    assert ids == sorted(ids)
    following = admin.get(first.context["page"]["next_url"]).context["entries"]
    assert following[0].pk > ids[-1]


def test_a_long_trail_takes_the_same_queries(admin, django_assert_num_queries):
    make_entries(200)
    with django_assert_num_queries(7):  # session, user, roles; the page, the known actions; head, waiting
        admin.get("/system/audit")


@pytest.mark.parametrize(
    ("query", "n_found"),
    [
        ("actor=BOB", 1),
        ("action=model.gate", 1),
        ("action=model", 2),
        ("object_type=model", 2),
        ("object=titanic", 2),
        ("object=tita", 2),
        ("request_id=abc-123456", 1),
        ("actor=bob&action=run", 0),
        ("until=2001-01-01", 1),
        ("since=2000-01-01T00:00&until=2000-01-02T00:00", 1),
        ("since=2100-01-01T00:00:00Z", 0),
        ("actor=+ana+", 3),
    ],
)
def test_filters_narrow_the_list(admin, query, n_found):
    titanic = {"object_type": "model", "object_id": "titanic", "object_label": "titanic"}
    make_entries(1, actor_name="bob", action="model.gate", **titanic)
    make_entries(1, action="model.request", request_id="abc-123456", **titanic)
    make_entries(1, action="modelling.start")
    make_entries(1, at=timezone.datetime(2000, 1, 1, 12, tzinfo=timezone.get_current_timezone()))
    assert len([e for e in shown(admin, query) if e.actor_name != "root"]) == n_found


@pytest.mark.parametrize(
    "query",
    ["since=yesterday", "until=2026-99-99", "actor=" + "x" * 151, "action=" + "x" * 61],
)
def test_a_filter_that_makes_no_sense_is_said(admin, query):
    answer = admin.get(f"/system/audit?{query}")
    assert answer.status_code == 422
    assert "Correct the following" in answer.content.decode()


@pytest.mark.parametrize("query", ["cursor=x", "cursor=-1", "cursor=" + "9" * 40, "order=action"])
def test_an_odd_place_in_the_list_is_its_start(admin, query):
    make_entries(1)
    assert len(shown(admin, query)) == len(shown(admin))


def test_chips_name_the_filters_and_drop_them_one_by_one(admin):
    answer = admin.get("/system/audit?actor=ana&action=run&cursor=5&object=")
    chips = answer.context["chips"]
    assert [(chip["label"], chip["value"], chip["url"]) for chip in chips] == [
        ("Who", "ana", "?action=run"),
        ("Action", "run", "?actor=ana"),
    ]


def test_one_entry_shows_before_and_after(admin):
    entry = actions.record("user.edit", "x", by=None, before={"roles": ["viewer"]}, after={"roles": []})
    page = admin.get(f"/system/audit/{entry.pk}").content.decode()
    assert "viewer" in page
    assert "value-old" in page
    assert admin.get(f"/system/audit/{2**70}").status_code == 404


def test_what_somebody_wrote_is_shown_as_text(admin):
    entry = actions.record("x.y", "<script>alert(1)</script>", by=None, after={"<b>": "<i>"})
    for path in (
        "/system/audit",
        f"/system/audit/{entry.pk}",
        "/audit/object?type=x&id=<script>alert(1)</script>",
    ):
        page = admin.get(path).content.decode()
        assert "<script>alert" not in page
        assert "<i>" not in page


def test_known_actions_are_each_named_once():
    for action in ("b.x", "a.x", "b.x", "c.x"):
        actions.record(action, "x", by=None)
    assert queries.known_actions() == ["a.x", "b.x", "c.x"]


def test_known_actions_of_an_empty_trail():
    assert queries.known_actions() == []


def test_everybody_who_sees_an_object_sees_what_happened_to_it(django_assert_num_queries):
    make_entries(60, object_type="pipelines.run", object_id="7")
    make_entries(1, object_type="pipelines.run", object_id="8")
    client = signed_in(make_user("ana", "viewer"))
    with django_assert_num_queries(4):
        answer = client.get("/audit/object?type=pipelines.run&id=7")
    assert len(answer.context["entries"]) == 50
    assert "/system/audit/" not in answer.content.decode()
    assert "Nothing yet" in client.get("/audit/object?type=pipelines.run&id=none").content.decode()
    bob = signed_in(make_user("bob", "predictor"))
    assert bob.get("/audit/object?type=pipelines.run&id=7").status_code == 403


@pytest.mark.parametrize("query", ["", "type=run", "type=run&id=", "type=run&id=" + "x" * 201])
def test_an_object_without_a_name_is_not_found(admin, query):
    assert admin.get(f"/audit/object?{query}").status_code == 404


def test_recent_denials_are_looked_up_by_time():
    ana = make_user("ana")
    actions.record("access.deny", "page", by=ana)
    now = timezone.now()
    assert queries.has_entry("access.deny", "page", by=ana, since=now - timedelta(minutes=1))
    assert not queries.has_entry("access.deny", "page", by=ana, since=now)
    assert not queries.has_entry("access.deny", "other", by=ana, since=now - timedelta(minutes=1))


def test_list_says_how_far_it_is_sealed(admin):
    assert "Nothing is sealed yet" in admin.get("/system/audit").content.decode()
    make_entries(3)
    sealing.seal_new()
    make_entries(2)
    page = admin.get("/system/audit").content.decode()
    head = sealing.head()
    assert f"Sealed up to entry {head.up_to_id}" in page
    assert str(head) in page
    assert "2 wait." in page


def test_entry_names_the_seal_over_it(admin, monkeypatch):
    monkeypatch.setattr(sealing, "BATCH", 2)
    make_entries(3)
    sealing.seal_new()
    make_entries(1)
    first, *_, last = AuditEntry.objects.filter(actor_name="ana").order_by("pk")
    assert admin.get(f"/system/audit/{first.pk}").context["seal"].number == 1
    assert "Not sealed yet" in admin.get(f"/system/audit/{last.pk}").content.decode()


def test_rest_gives_the_head_to_note(admin):
    assert admin.get("/api/v1/audit/chain").json() == {"head": None, "n_waiting": AuditEntry.objects.count()}
    make_entries(1)
    sealing.seal_new()
    head = admin.get("/api/v1/audit/chain").json()["head"]
    assert f"{head['number']}:{head['hash']}" == str(sealing.head())


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: make_user("bo"), "user"),
        (lambda: make_pipeline("nightly"), "pipeline"),
        (lambda: make_run(make_pipeline("nightly").dag_id), "run"),
        (lambda: make_version(3), "model version"),
        (lambda: make_model("iris"), "registered model"),
    ],
)
def test_an_entry_leads_to_what_it_is_about(admin, make, kind):
    row = make()
    entry = actions.record("thing.touch", row, by=None)
    page = flat(admin.get(f"/system/audit/{entry.pk}"))
    assert f'<a href="{row.get_absolute_url()}">{row}</a>' in page
    assert f'title="{row._meta.label_lower}">{kind} ' in page
    assert f">{kind}</div>" in flat(admin.get("/system/audit"))


@pytest.mark.parametrize(
    ("object_type", "object_id"),
    [("pipelines.run", "9999999"), ("pipelines.run", "no number"), ("jobs.job", "no uuid"), ("gone.app", "1"),
     ("access.failedsignin", "1"), ("audit", "csv"), ("pipelines.run", "9" * 40), ("a.b.c", "1")],
)  # fmt: skip
def test_an_entry_about_something_gone_has_no_link(admin, object_type, object_id):
    make_entries(1, object_type=object_type, object_id=object_id, object_label="the thing")
    entry = AuditEntry.objects.get(object_label="the thing")
    page = flat(admin.get(f"/system/audit/{entry.pk}"))
    assert "the thing<div" in page
    assert admin.get("/api/v1/audit").json()["results"][0]["object_type"]
