"""Language and time zone of whoever reads: by the browser, or as their account says."""

from datetime import UTC, datetime

import pytest
from django.utils import timezone, translation

from core.access.models import User
from core.access.reader import ZONE_COOKIE
from core.audit.models import AuditEntry
from tests.people import make_admin, make_user, signed_in

pytestmark = pytest.mark.django_db

SUMMER = datetime(2026, 7, 1, 10, 30, tzinfo=UTC)
WINTER = datetime(2026, 12, 1, 10, 30, tzinfo=UTC)


def page(client, url="/account", **options):
    return client.get(url, **options).content.decode()


def prefer(client, language="", time_zone=""):
    return client.post("/account/preferences", {"language": language, "time_zone": time_zone})


def test_the_browser_decides_at_first():
    client = signed_in(make_user("ana", "viewer", last_login=SUMMER))
    shown = page(client, headers={"accept-language": "es-MX"})
    assert 'lang="es"' in shown
    assert "Qué puedes hacer" in shown
    assert "10:30:00 UTC" in page_of(client, SUMMER)


def page_of(client, last_login):
    User.objects.filter(username="ana").update(last_login=last_login)
    return page(client)


@pytest.mark.parametrize(
    ("zone", "at", "text"),
    [
        ("Europe/Madrid", SUMMER, "1 Jul 2026, 12:30:00 CEST"),
        ("Europe/Madrid", WINTER, "1 Dec 2026, 11:30:00 CET"),
        ("Asia/Kathmandu", WINTER, "1 Dec 2026, 16:15:00 +0545"),
        ("Mars/Olympus", WINTER, "1 Dec 2026, 10:30:00 UTC"),
        ("../../etc/passwd", WINTER, "1 Dec 2026, 10:30:00 UTC"),
    ],
)
def test_times_are_in_the_zone_that_the_browser_tells(zone, at, text):
    client = signed_in(make_user("ana", "viewer"))
    client.cookies[ZONE_COOKIE] = zone
    assert text in page_of(client, at)
    assert timezone.get_current_timezone_name() == "UTC", "it ends with the request"


def test_the_account_goes_before_the_browser():
    client = signed_in(make_user("ana", "viewer"))
    client.cookies[ZONE_COOKIE] = "Europe/Madrid"
    answer = prefer(client, "es", "America/New_York")
    assert (answer.status_code, answer["Location"]) == (302, "/account")
    shown = page(client)
    assert 'lang="es"' in shown
    assert 'data-zone="America/New_York"' in shown
    assert "1 jul 2026, 06:30:00 EDT" in page_of(client, SUMMER)
    prefer(client)
    assert 'lang="en"' in page(client)
    assert 'data-zone="Europe/Madrid"' in page(client)
    assert translation.get_language() == "en"


@pytest.mark.parametrize(("language", "zone"), [("xx", ""), ("", "Mars/Olympus"), ("", "../../etc/passwd")])
def test_what_there_is_not_is_refused(language, zone):
    ana = make_user("ana", "viewer")
    assert prefer(signed_in(ana), language, zone).status_code == 422
    ana.refresh_from_db()
    assert (ana.language, ana.time_zone) == ("", "")


def test_a_denial_is_in_the_readers_language():
    client = signed_in(make_user("ana", "viewer", language="es"))
    answer = client.get("/system/users")
    assert answer.status_code == 403
    assert "Tus roles no incluyen" in answer.content.decode()


def test_rest_stays_in_utc_and_follows_its_headers():
    client = signed_in(make_admin(time_zone="Europe/Madrid", language="es"))
    client.cookies[ZONE_COOKIE] = "Europe/Madrid"
    entry = an_entry()
    found = client.get("/api/v1/audit?since=2026-07-01T10:30&until=2026-07-01T10:31").json()["results"]
    assert [row["id"] for row in found] == [entry.pk]
    assert found[0]["at"] == "2026-07-01T10:30:00Z"
    problem = client.get("/api/v1/audit?since=never", headers={"accept-language": "en"}).json()
    assert problem["detail"] == "Some filters were not understood."


def an_entry():
    return AuditEntry.objects.create(
        action="run.trigger", object_type="pipelines.run", object_id="1", at=SUMMER
    )


def test_filters_read_what_is_typed_in_the_zone_that_they_name():
    client = signed_in(make_admin(time_zone="Europe/Madrid"))
    an_entry()
    assert "From (Europe/Madrid)" in page(client, "/system/audit")
    assert "run.trigger" in rows(client, "since=2026-07-01T12:30&until=2026-07-01T12:31")
    assert "run.trigger" not in rows(client, "since=2026-07-01T10:30&until=2026-07-01T10:31")
    assert "run.trigger" in rows(client, "since=2026-07-01T10:30Z&until=2026-07-01T10:31Z")


def rows(client, query):
    shown = page(client, f"/system/audit?{query}", headers={"HX-Request": "true", "HX-Target": "div#entries"})
    return shown.partition("<tbody")[2]


def test_exports_read_the_same_filter_and_write_utc():
    client = signed_in(make_admin(time_zone="Europe/Madrid"))
    an_entry()
    answer = client.get("/system/audit/export?format=csv&since=2026-07-01T12:30&until=2026-07-01T12:31")
    assert "2026-07-01T10:30:00+00:00" in b"".join(answer.streaming_content).decode()
