"""What was set aside is shown: under System, on the thing's page, in metrics, over REST, as one alert."""

from datetime import timedelta

import pytest
from django.db import OperationalError
from django.urls import reverse
from django.utils import timezone

from core.alerts import aside_alerts
from core.alerts.models import Alert
from core.lib import aside, metrics
from core.lib.models import SetAside
from models_registry import loops as models_loops
from pipelines import loops
from tests.people import make_user, signed_in
from tests.pipeline_rows import make_pipeline

pytestmark = pytest.mark.django_db
ODD = "<b>odd</b> é"


@pytest.fixture
def admin():
    return signed_in(make_user("ada", "admin"))


@pytest.fixture
def two_odd():
    loops.DAGS.set_aside(ODD, "DataError: value too long", about="etl")
    loops.DAGS.set_aside("late", "KeyError: 'tags' is missing", about="late")


def age(**times):
    ago = timezone.now() - timedelta(**times)
    SetAside.objects.update(first_at=ago)


def test_the_page_lists_them_by_loop_with_reason_times_and_count(admin, two_odd):
    models_loops.RUNS.set_aside("abc", "OverflowError: no", about="3")
    page = admin.get(reverse("alerts:set-aside-list")).content.decode()
    for words in ("&lt;b&gt;odd&lt;/b&gt; é", "DataError: value too long", "MLflow runs", "Pipelines"):
        assert words in page
    page = admin.get(reverse("alerts:set-aside-list"), {"loop": "models.runs"}).content.decode()
    assert "OverflowError: no" in page
    assert "value too long" not in page


def test_the_page_says_when_there_is_nothing(admin):
    assert "Nothing is set aside" in admin.get(reverse("alerts:set-aside-list")).content.decode()


def test_what_is_beyond_the_bound_has_a_row_of_its_own(admin, two_odd, monkeypatch):
    monkeypatch.setattr(aside, "MOST_KEPT", 2)
    loops.DAGS.set_aside("third", "no")
    assert "More than are kept here" in admin.get(reverse("alerts:set-aside-list")).content.decode()
    assert aside.numbers()["pipelines.dags"] == 3


def test_others_may_neither_open_the_page_nor_ask_over_rest(viewer, engineer):
    for client in (viewer, engineer):
        assert client.get(reverse("alerts:set-aside-list")).status_code == 403
        assert client.get(reverse("api:set-aside-list")).status_code == 403


def test_rest_gives_rows_of_one_loop_or_of_all(admin, two_odd):
    models_loops.RUNS.set_aside("abc", "no", about="3")
    assert len(admin.get("/api/v1/set-aside").json()["results"]) == 3
    (row,) = admin.get("/api/v1/set-aside?loop=models.runs").json()["results"]
    assert (row["key"], row["about"], row["reason"], row["count"]) == ("abc", "3", "no", 1)


def test_the_page_of_the_thing_says_it_and_others_do_not(viewer, two_odd):
    make_pipeline("etl")
    make_pipeline("other")
    page = viewer.get(reverse("pipelines:pipeline-detail", args=["etl"])).content.decode()
    assert "Not all of it could be taken over" in page
    assert "&lt;b&gt;odd&lt;/b&gt;" in page
    assert reverse("alerts:set-aside-list") not in page  # a viewer may not open it
    other = viewer.get(reverse("pipelines:pipeline-detail", args=["other"])).content.decode()
    assert "Not all of it" not in other


def test_metrics_count_them_by_loop(two_odd):
    text = metrics.exposition(metrics.ASKED).decode()
    assert 'console_items_set_aside{loop="pipelines.dags"} 2.0' in text
    assert 'console_items_set_aside{loop="models.runs"} 0.0' in text


def test_metrics_are_there_without_a_database(monkeypatch):
    def away():
        raise OperationalError("away")

    monkeypatch.setattr(aside, "numbers", away)
    text = metrics.exposition(metrics.ASKED).decode()
    assert "console_items_set_aside" not in text
    assert "console_poll_run_seconds" in text


def test_one_alert_for_a_loop_while_any_lasts(two_odd):
    aside_alerts.look()
    assert not Alert.objects.exists()  # the next try may mend it
    age(minutes=1)
    for _look in range(3):
        aside_alerts.look()
    alert = Alert.objects.get()
    assert (alert.rule, alert.subject, alert.n_findings) == ("set-aside", "pipelines.dags", 1)
    assert "2 set aside" in alert.title
    assert {fact["name"] for fact in alert.facts} == {ODD, "late"}
    loops.DAGS.set_aside(ODD, "still too long")
    aside_alerts.look()
    alert.refresh_from_db()
    assert alert.n_findings == 2
    loops.DAGS.fits(ODD)
    aside_alerts.look()
    alert.refresh_from_db()
    assert alert.is_unresolved
    loops.DAGS.fits("late")
    aside_alerts.look()
    alert.refresh_from_db()
    assert alert.state == "resolved"


def test_what_nobody_tries_for_a_day_is_forgotten(two_odd):
    SetAside.objects.filter(key="late").update(last_at=timezone.now() - timedelta(hours=25))
    aside_alerts.look()
    assert [row.key for row in SetAside.objects.all()] == [ODD]
