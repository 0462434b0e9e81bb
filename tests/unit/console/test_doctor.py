"""The doctor: each check finds what it is for, and stands for itself."""

import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.core.management import call_command
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import override

from console import doctor, health
from console.doctor import Wrong
from core.lib import lag, loops
from core.lib.lag import Behind
from streaming.models import Replay
from tests.people import make_user


def wrong(check):
    """What a check finds."""
    with pytest.raises(Wrong) as found:
        check()
    return found.value


def only(monkeypatch, **checks):
    monkeypatch.setattr(doctor, "CHECKS", {name: (name, check) for name, check in checks.items()})


# --- all of them


def test_one_checks_failure_is_its_own_line(monkeypatch):
    def fails():
        raise ZeroDivisionError("a bug")

    only(monkeypatch, bad=fails, good=lambda: "fine")
    bad, good = doctor.findings()
    assert (bad.is_well, bad.words) == (False, "It could not be looked at: ZeroDivisionError: a bug")
    assert (good.is_well, good.words, good.advice) == (True, "fine", "")


def test_a_check_that_hangs_holds_nobody_up(monkeypatch):
    monkeypatch.setattr(doctor, "TIMEOUT_S", 0.2)
    only(monkeypatch, slow=lambda: time.sleep(2) or "", good=lambda: "fine")
    began_at = time.monotonic()
    slow, good = doctor.findings()
    assert time.monotonic() - began_at < 1
    assert (slow.is_well, slow.words) == (False, "No answer in time.")
    assert good.is_well


def test_the_command_says_what_is_wrong_by_its_exit_status(monkeypatch, capsys):
    def ill():
        raise Wrong("It is ill.", "Cure it.")

    only(monkeypatch, ill=ill, good=lambda: "fine")
    with pytest.raises(SystemExit) as ended:
        call_command("doctor")
    assert ended.value.code == 1
    assert "WRONG  ill: It is ill." in capsys.readouterr().out
    only(monkeypatch, good=lambda: "fine")
    call_command("doctor", "--json")
    assert json.loads(capsys.readouterr().out) == [
        {"name": "good", "label": "good", "is_well": True, "words": "fine", "advice": ""}
    ]


@pytest.mark.django_db
def test_the_page_shows_what_is_wrong_first(monkeypatch):
    def ill():
        raise Wrong("It is <ill>.", "Cure it.")

    only(monkeypatch, good=lambda: "fine", ill=ill)
    client = Client()
    client.force_login(make_user("boss", "admin"))
    assert reverse("console:doctor-findings") in client.get(reverse("console:doctor")).content.decode()
    page = client.get(reverse("console:doctor-findings")).content.decode()
    assert page.index("It is &lt;ill&gt;.") < page.index("fine")
    assert "Cure it." in page


# --- each


def test_a_full_disk_is_found(monkeypatch):
    usage = SimpleNamespace(free=100 * 1024**2, total=100 * 1024**3)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _folder: usage)
    assert "100.0" in wrong(doctor._disk).words


@pytest.mark.parametrize(("ahead_s", "is_well"), [(0.0, True), (4.0, True), (-40.0, False), (40.0, False)])
def test_a_clock_that_is_wrong_is_found(monkeypatch, ahead_s, is_well):
    monkeypatch.setattr(doctor, "_postgres_time", time.time)
    monkeypatch.setattr(doctor, "_redis_time", lambda: time.time() + ahead_s)
    said = SimpleNamespace(headers={"date": format_datetime(datetime.now(UTC))})
    monkeypatch.setattr(health, "answer", lambda _url: said)
    if is_well:
        doctor._clocks()
    else:
        assert f"Redis: {ahead_s:+.0f} s" in wrong(doctor._clocks).words


def test_a_clock_that_does_not_tell_is_named(monkeypatch):
    monkeypatch.setattr(doctor, "_postgres_time", time.time)
    monkeypatch.setattr(doctor, "_redis_time", lambda: 1 / 0)
    said = SimpleNamespace(headers={"date": format_datetime(datetime.now(UTC))})
    monkeypatch.setattr(health, "answer", lambda _url: said)
    assert wrong(doctor._clocks).words == "No answer: Redis"


@pytest.mark.django_db
def test_clocks_are_told_as_the_reader_writes_numbers(monkeypatch):
    monkeypatch.setattr(doctor, "_apart", lambda _tell: 0.26)
    with override("es"):
        assert "0,3" in doctor._clocks()


def test_the_real_clocks_of_this_machine_agree(real_redis):
    assert abs(doctor._postgres_time() - time.time()) < 2
    assert abs(doctor._redis_time() - time.time()) < 2


@pytest.mark.django_db(databases=["default", "usecases"])
def test_migrations_that_are_not_applied_or_not_known_are_found():
    assert doctor._migrations() == "all applied"
    row = MigrationRecorder.Migration.objects.filter(app="streaming").latest("name")
    row.delete()
    assert f"streaming.{row.name}" in wrong(doctor._migrations).words
    MigrationRecorder.Migration.objects.create(app="streaming", name="0099_from_the_future")
    found = wrong(doctor._migrations)
    assert "newer than the code: streaming.0099_from_the_future" in found.words


@pytest.mark.parametrize(
    ("behind", "is_well"),
    [
        (Behind(0), True),
        (Behind(100), True),
        (Behind(20_000), False),
        (Behind(1, oldest_at=1.0), False),
        (Behind(0, n_stuck=1), False),
        (None, False),
    ],
)
def test_who_is_far_behind_kafka_is_found(monkeypatch, behind, is_well):
    monkeypatch.setattr(lag, "of", lambda part: behind if part == lag.RECORDER else Behind(0))
    if is_well:
        doctor._lag()
    else:
        assert "recorder" in wrong(doctor._lag).words


def test_long_queues_are_found(real_redis, monkeypatch):
    from core.lib import redis

    redis.client().rpush("heavy", *range(20))
    assert doctor._queues() == "control 0, heavy 20, spark 0"
    monkeypatch.setattr(doctor, "LONGEST_QUEUE", 10)
    assert "heavy 20" in wrong(doctor._queues).words


@pytest.mark.django_db
def test_wishes_that_wait_for_long_are_found():
    assert doctor._tasks() == "none failed"
    at = timezone.now() - timedelta(hours=1)
    Replay.objects.create(source="a.csv", topic="t", rate=1, next_attempt_at=at)
    assert "replay: 1" in wrong(doctor._tasks).words


@pytest.mark.django_db
def test_failed_tasks_and_what_is_set_aside_are_found():
    assert doctor._aside() == "nothing"
    loops.WISHES.set_aside("jobs.tasks.attend 7", "it divides by zero")
    assert wrong(doctor._tasks).words == "1 task failed"
    assert "Wishes that a worker could not carry out: 1" in wrong(doctor._aside).words


@pytest.mark.django_db
def test_postgres_tells_its_connections(monkeypatch):
    assert "of" in doctor._connections()
    monkeypatch.setattr(doctor, "MOST_CONNECTIONS_SHARE", 0.0)
    assert "pooler" in wrong(doctor._connections).advice


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("DEBUG", True, "CONSOLE_DEBUG"),
        ("ALLOWED_HOSTS", ["*"], "any name"),
        ("CONSOLE_PUBLIC_URL", "http://console.example.org", "unprotected"),
        ("CONSOLE_ALLOW_WEAK_SANDBOX", True, "WEAK_SANDBOX"),
    ],
)
def test_unsafe_settings_are_found(settings, name, value, words):
    assert doctor._unsafe() == []
    setattr(settings, name, value)
    (found,) = doctor._unsafe()
    assert words in found


@pytest.mark.parametrize(("mode", "is_well"), [(0o600, True), (0o640, False), (0o604, False)])
def test_secrets_that_others_may_read_are_found(settings, tmp_path, mode, is_well):
    settings.CONSOLE_VAR_DIR, settings.CONSOLE_PIPELINE_TOKENS = tmp_path, tmp_path / "none"
    (tmp_path / "secrets.json").write_text("{}")
    (tmp_path / "secrets.json").chmod(mode)
    if is_well:
        doctor._secret_files()
    else:
        assert "secrets.json" in wrong(doctor._secret_files).words


@pytest.fixture
def certificate(tmp_path):
    """Makes a certificate file that ends after so many days."""

    def made(days: int):
        key, name = (
            ec.generate_private_key(ec.SECP256R1()),
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")]),
        )
        now = datetime.now(UTC)
        built = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=400))
            .not_valid_after(now + timedelta(days=days))
            .sign(key, hashes.SHA256())
        )
        path = tmp_path / f"{days}.pem"
        path.write_bytes(built.public_bytes(serialization.Encoding.PEM))
        return path

    return made


def test_certificates_that_end_soon_are_found(settings, certificate):
    assert doctor._certificates() == "no TLS files are set"
    settings.CONSOLE_KAFKA_CONFIG = {"ssl.ca.location": str(certificate(300))}
    assert "300.pem ends on" in doctor._certificates()
    settings.CONSOLE_REDIS_URL = f"rediss://r.example.org/0?ssl_ca_certs={certificate(5)}"
    assert "5.pem" in wrong(doctor._certificates).words
    settings.CONSOLE_KAFKA_CONFIG = {"ssl.ca.location": str(certificate(-1))}
    assert "-1.pem" in wrong(doctor._certificates).words


def test_a_certificate_file_that_is_none_is_found(settings, tmp_path):
    (tmp_path / "ca.pem").write_text("hello")
    settings.CONSOLE_KAFKA_CONFIG = {"ssl.ca.location": str(tmp_path / "ca.pem")}
    assert "cannot be read as certificates" in wrong(doctor._certificates).words


@pytest.mark.django_db
def test_versions_ask_mlflow_as_somebody(monkeypatch, real_redis, settings):
    """MLflow lets nobody see its version without an account."""
    settings.CONSOLE_MLFLOW_USERNAME, settings.CONSOLE_MLFLOW_PASSWORD = "atalaya", "a secret"
    wanted = httpx.BasicAuth("atalaya", "a secret").auth_flow(httpx.Request("GET", "http://x"))
    header = next(wanted).headers["Authorization"]

    def answer(request):
        if request.url.path == "/version":
            is_known = request.headers.get("Authorization") == header
            return httpx.Response(200 if is_known else 401, text="3.16.0")
        return httpx.Response(200, json={"version": "3.1.0"})

    client = httpx.Client(transport=httpx.MockTransport(answer))
    monkeypatch.setattr(health, "_http", lambda: client)
    assert doctor._versions().endswith("Airflow 3.1.0, MLflow 3.16.0")
