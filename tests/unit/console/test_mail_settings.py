"""What CONSOLE_EMAIL_URL and CONSOLE_WEBHOOK_NETWORKS may be, and that faults of notifications are told."""

from datetime import timedelta

import pytest
from django.utils import timezone

from console import checks, doctor, gauges
from console.settings import _mail_server
from core.alerts.models import Channel, Delivery


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("", ("", 25, "", "", False, False)),
        ("smtp://mail.example", ("mail.example", 25, "", "", False, False)),
        ("smtp+tls://ana%40a.org:p%2Fs@mail.example", ("mail.example", 587, "ana@a.org", "p/s", True, False)),
        ("smtps://ana:x@mail.example:4650", ("mail.example", 4650, "ana", "x", False, True)),
        ("smtp://mail.example:x", ("mail.example", 25, "", "", False, False)),
    ],
)
def test_the_address_of_the_mail_server_is_read(url, found):
    assert _mail_server(url) == found


@pytest.mark.parametrize(
    "url", ["mail.example", "http://mail.example", "smtp://", "smtp://ana:geheim@host:x"]
)
def test_an_address_that_is_none_is_named_without_its_password(settings, url):
    settings.CONSOLE_EMAIL_URL = url
    (fault,) = checks._notifications()
    assert fault.id == "console.E034"
    assert "geheim" not in f"{fault.msg} {fault.hint}"


@pytest.mark.parametrize("sender", ["Equipo, Datos <a@b.example>", "Atalaya <atalaya@::1>", "Atalaya"])
def test_a_sender_that_no_mail_can_have_is_named(settings, sender):
    settings.CONSOLE_EMAIL_FROM = sender
    assert list(checks._notifications()) == [], "nobody sends"
    settings.CONSOLE_EMAIL_URL = "smtp://mail.example"
    (fault,) = checks._notifications()
    assert (fault.id, sender in fault.msg) == ("console.E036", True)
    settings.CONSOLE_EMAIL_FROM = '"Equipo, Datos" <a@b.example>'
    assert list(checks._notifications()) == []


def test_a_network_that_is_none_is_named(settings):
    settings.CONSOLE_WEBHOOK_NETWORKS = ["10.0.0.0/8", "10.0.0.1/8"]
    (fault,) = checks._notifications()
    assert (fault.id, "10.0.0.1/8" in fault.msg) == ("console.E033", True)


@pytest.fixture
def row(db):
    channel = Channel.objects.create(name="pager", kind="webhook", url="https://host.example/")
    return Delivery.objects.create(channel=channel, event="opened", payload={})


def test_the_doctor_names_channels_that_do_not_deliver(row):
    assert doctor._notifications() == "all delivered"
    Delivery.objects.update(created_at=timezone.now() - timedelta(hours=2))
    with pytest.raises(doctor.Wrong) as wrong:
        doctor._notifications()
    assert wrong.value.words == "Not delivered: pager"
    row.refresh_from_db()
    row.end("failed")
    with pytest.raises(doctor.Wrong):
        doctor._notifications()
    row.end("delivered")
    assert doctor._notifications() == "all delivered"


def test_what_waits_is_counted_with_its_age(row):
    Delivery.objects.update(created_at=timezone.now() - timedelta(seconds=90))
    assert gauges._notifications() == {("webhook",): 1, ("email",): 0}
    assert gauges._notification_ages()["webhook",] == pytest.approx(90, abs=30)
    assert ("email",) not in gauges._notification_ages()
