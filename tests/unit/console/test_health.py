"""Health: real answers of small servers here, real time limits, nothing that needs the stack."""

import http.server
import json
import re
import threading
import time
from datetime import timedelta

import pytest
from django.utils import translation

from console import health
from core.lib import heartbeat, lag, redis
from core.lib.lag import Behind
from core.lib.models import SyncState


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch):
    monkeypatch.setattr(health, "_remembered", {})
    monkeypatch.setattr(health, "_told", {})


@pytest.fixture
def web_server():
    """An HTTP server that answers with (status, body, seconds of delay)."""
    answer = [200, b"{}", 0.0]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            time.sleep(answer[2])
            self.send_response(answer[0])
            self.end_headers()
            self.wfile.write(answer[1])

        def log_message(self, *_args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", answer
    server.shutdown()
    server.server_close()


def only(monkeypatch, *names):
    monkeypatch.setattr(health, "CHECKS", {name: health.CHECKS[name] for name in names})


def part(name):
    return next(part for part in health.report() if part.name == name)


def test_servers_that_answer_are_healthy(monkeypatch, real_redis):
    only(monkeypatch, "postgres", "redis")
    assert [part.is_healthy for part in health.report()] == [True, True]


def test_redis_away_is_unhealthy_and_takes_the_signs_of_life_along(monkeypatch, real_redis):
    real_redis.stop()
    only(monkeypatch, "redis", "worker")
    assert (part("redis").is_healthy, part("redis").is_required) == (False, True)
    assert "Nobody can tell" in part("worker").detail


def test_part_that_beats_is_healthy(monkeypatch, real_redis):
    only(monkeypatch, "worker", "beat")
    heartbeat.beat("worker")
    assert part("worker").is_healthy
    assert (part("beat").is_healthy, part("beat").detail) == (False, "No sign of life.")


def test_part_that_beat_long_ago_is_unhealthy(monkeypatch, real_redis):
    only(monkeypatch, "worker")
    heartbeat.beat("worker")
    monkeypatch.setattr(health, "SILENT_AFTER_S", -1)
    assert not part("worker").is_healthy


@pytest.mark.parametrize(
    ("body", "is_healthy", "detail"),
    [
        ({"scheduler": {"status": "healthy"}, "triggerer": {"status": None}}, True, ""),
        ({"scheduler": {"status": "unhealthy"}}, False, "Not healthy: scheduler"),
    ],
)
def test_airflow_says_which_component_is_ill(monkeypatch, settings, web_server, body, is_healthy, detail):
    settings.CONSOLE_AIRFLOW_URL, answer = web_server
    answer[1] = json.dumps(body).encode()
    only(monkeypatch, "airflow")
    assert (part("airflow").is_healthy, part("airflow").detail) == (is_healthy, detail)


@pytest.mark.parametrize("body", ['"all well"', "[1]", '{"scheduler": "fine"}', "12", '{"models": 7}', "{}"])
def test_odd_answer_makes_that_part_unwell_and_no_other(monkeypatch, settings, web_server, body):
    settings.CONSOLE_AIRFLOW_URL, answer = web_server
    settings.CONSOLE_SERVING_URL = settings.CONSOLE_MLFLOW_URL = settings.CONSOLE_AIRFLOW_URL
    answer[1] = body.encode()
    only(monkeypatch, "airflow", "serving", "mlflow")
    found = {part.name: (part.is_healthy, part.detail) for part in health.report()}
    assert found["airflow"][0] is (body == "{}")
    assert found["serving"] == (
        False,
        "What it answered cannot be understood; the log of this process says more.",
    )
    assert found["mlflow"][0]


def test_server_that_answers_with_an_error_is_unhealthy(monkeypatch, settings, web_server):
    settings.CONSOLE_MLFLOW_URL, answer = web_server
    answer[0] = 500
    only(monkeypatch, "mlflow")
    assert part("mlflow").detail == "It answered with status 500."


def test_server_that_hangs_costs_two_seconds_and_no_more(monkeypatch, settings, web_server):
    settings.CONSOLE_MLFLOW_URL, answer = web_server
    answer[2] = 4
    only(monkeypatch, "mlflow", "airflow")
    started = time.monotonic()
    assert [part.is_healthy for part in health.report()] == [False, False]
    assert time.monotonic() - started < 3


def test_outcome_is_remembered_for_a_second(monkeypatch, settings, web_server):
    settings.CONSOLE_MLFLOW_URL, answer = web_server
    only(monkeypatch, "mlflow")
    assert part("mlflow").is_healthy
    answer[0] = 500
    assert part("mlflow").is_healthy
    monkeypatch.setattr(health, "REMEMBERED_S", 0)
    assert not part("mlflow").is_healthy


def test_each_reader_is_told_in_their_language_though_threads_ask(monkeypatch):
    only(monkeypatch, "sandbox")
    monkeypatch.setattr(health.sandbox, "isolation", lambda: "")
    for language, words in (
        ("es", "En vigor: nada."),
        ("en", "In force: nothing."),
        ("es", "En vigor: nada."),
    ):
        with translation.override(language):
            assert words in part("sandbox").detail
            assert words in health.known()[0].detail


@pytest.mark.parametrize(
    ("layers", "is_allowed", "is_healthy", "words"),
    [
        ("namespace, landlock, seccomp", False, True, "namespace, landlock, seccomp"),
        ("landlock, seccomp", False, True, "landlock, seccomp"),
        ("namespace, seccomp", False, False, "In force: namespace, seccomp."),
        ("", False, False, "In force: nothing."),
        ("", True, True, "Weak, as CONSOLE_ALLOW_WEAK_SANDBOX allows: nothing"),
    ],
)
def test_isolation_in_force_is_told(monkeypatch, settings, layers, is_allowed, is_healthy, words):
    settings.CONSOLE_ALLOW_WEAK_SANDBOX = is_allowed
    monkeypatch.setattr(health.sandbox, "isolation", lambda: layers)
    only(monkeypatch, "sandbox")
    assert part("sandbox").is_healthy == is_healthy
    assert words in part("sandbox").detail


@pytest.fixture
def parts(monkeypatch):
    """Which parts answer, as `health.report` says it."""
    healthy = dict.fromkeys(health.CHECKS, True)

    def ask_all(_language):
        return [
            health.Part(
                name,
                health.CHECKS[name][0],
                is_well,
                "" if is_well else "Gone.",
                name in health.REQUIRED,
                None,
            )
            for name, is_well in healthy.items()
        ]

    monkeypatch.setattr(health, "_ask_all", ask_all)
    return healthy


def test_readyz_names_each_part(client, parts):
    parts["kafka"] = False
    response = client.get("/readyz")
    assert response.status_code == 200, "pages go on without Kafka"
    assert response.json()["parts"]["kafka"] == {
        "status": "unavailable",
        "required": False,
        "detail": "Gone.",
    }
    assert set(response.json()["parts"]) == set(health.CHECKS)


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_readyz_is_503_without_what_is_needed(client, parts, name):
    parts[name] = False
    response = client.get("/readyz")
    assert (response.status_code, response.json()["status"]) == (503, "unavailable")


def test_readyz_tells_no_secret(client, settings):
    text = client.get("/readyz").text
    for secret in (settings.SECRET_KEY, settings.CONSOLE_REDIS_URL, settings.DATABASES["default"]["HOST"]):
        assert secret not in text


def test_livez_asks_nobody(client, monkeypatch):
    monkeypatch.setattr(health, "report", lambda: 1 / 0)
    assert client.get("/livez").json() == {"status": "ok"}


@pytest.mark.django_db
def test_metrics_are_prometheus_text(client, parts):
    response = client.get("/metrics")
    assert response["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "# TYPE console_http_answer_seconds histogram" in response.text


def test_dot_names_what_is_away(admin_page, parts):
    parts["kafka"] = False
    assert "Kafka is not answering" in admin_page.get("/health-dot").text


def test_cards_show_each_part(admin_page, parts):
    parts["mlflow"] = False
    text = admin_page.get("/overview/health").text
    assert 'id="part-postgres"' in text
    assert "Gone." in text


def test_before_anybody_asked_the_page_says_that_it_asks(admin_page):
    assert {part.is_healthy for part in health.known()} == {None}
    page = admin_page.get("/").text
    assert page.count("being asked") == len(health.CHECKS)


def test_what_was_found_lately_is_drawn_with_the_page(admin_page, parts):
    parts["mlflow"] = False
    admin_page.get("/overview/health")
    assert "Gone." in admin_page.get("/").text


def test_parts_say_what_matters_of_them(monkeypatch, real_redis):
    only(monkeypatch, "postgres", "redis", "worker", "watch")
    heartbeat.beat("worker")
    heartbeat.beat("watch")
    redis.client().rpush("heavy", "a", "b")
    details = {part.name: part.detail.replace("\u00a0", " ") for part in health.report()}
    assert re.fullmatch(r"[\d.]+ MiB, \d+ connections?", details["postgres"])
    assert re.fullmatch(r"[\d.]+ [KM]iB", details["redis"])
    assert details["worker"] == "2 tasks wait"
    assert re.fullmatch(r"seen \d+ ms ago", details["watch"])


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({}, ""),
        ({"a": Behind(0), "b": Behind(0)}, ", nothing waits"),
        ({"a": Behind(1), "b": Behind(0)}, ", 1 message behind"),
        ({"a": Behind(0), "b": lag.STUCK}, ", 1 stream does not count now"),
        ({"a": Behind(5), "b": lag.STUCK, "c": lag.STUCK}, ", 2 streams do not count now"),
        ({"a": Behind(12), "b": Behind(1_200)}, ", 1 212 messages behind"),
    ],
)
def test_parts_that_follow_kafka_say_how_far_behind_they_are(monkeypatch, real_redis, found, words):
    only(monkeypatch, "recorder", "aggregator")
    for name in lag.PARTS:
        heartbeat.beat(name)
        lag.tell(name, found)
    for told in health.report():
        assert re.fullmatch(rf"seen \d+ ms ago{words}", re.sub("[\u00a0\u202f]", " ", told.detail))


def test_the_age_of_the_oldest_message_is_told_where_it_is_known(monkeypatch, real_redis):
    only(monkeypatch, "recorder")
    heartbeat.beat("recorder")
    lag.tell("recorder", {"predictions/0": Behind(3, oldest_at=time.time() - 7_210)})
    told = part("recorder").detail.replace("\u00a0", " ")
    assert told.endswith(", 3 messages behind, the oldest 2 h 00 m old")


@pytest.mark.django_db
def test_metrics_hold_the_same_number(client, monkeypatch, real_redis):
    only(monkeypatch)
    lag.tell("recorder", {"predictions/0": Behind(3, oldest_at=time.time() - 60)})
    text = client.get("/metrics").text
    assert 'console_part_wait_messages{part="recorder"} 3.0' in text
    assert 'console_part_wait_seconds{part="recorder"} 6' in text
    assert 'console_part_wait_messages{part="aggregator"}' not in text
    lag.tell("aggregator", {"rides": Behind(0), "broken": lag.STUCK})
    text = client.get("/metrics").text
    assert 'console_part_wait_messages{part="aggregator"}' not in text
    assert 'console_part_stuck_count{part="aggregator"} 1.0' in text
    lag.tell("aggregator", {"broken": Behind(2)})
    assert 'console_part_wait_messages{part="aggregator"} 2.0' in client.get("/metrics").text
    real_redis.stop()
    assert "console_part_wait_messages" not in client.get("/metrics").text


def test_servers_tell_figures_beside_their_words(monkeypatch, real_redis):
    only(monkeypatch, "postgres", "redis")
    figures = {name: value for part in health.report() for (name, *_labels), value in part.figures.items()}
    assert figures["console_postgres_size_bytes"] > 1_000_000
    assert 0 < figures["console_postgres_open_connections"] < figures["console_postgres_allow_connections"]
    assert figures["console_redis_memory_bytes"] > 100_000
    assert figures["console_redis_open_connections"] >= 1
    real_redis.stop()
    monkeypatch.setattr(health, "REMEMBERED_S", 0)
    assert part("redis").figures == {}


def test_airflow_tells_how_old_its_signs_of_life_are(monkeypatch, settings, web_server):
    settings.CONSOLE_AIRFLOW_URL, answer = web_server
    at = (health.timezone.now() - timedelta(seconds=40)).isoformat()
    answer[1] = json.dumps(
        {
            "scheduler": {"status": "healthy", "latest_scheduler_heartbeat": at},
            "triggerer": {"status": None, "latest_triggerer_heartbeat": None},
            "dag_processor": {"status": "healthy", "latest_dag_processor_heartbeat": "2026-03-01T10:00:00"},
        }
    ).encode()
    only(monkeypatch, "airflow")
    figures = part("airflow").figures
    assert list(figures) == [("console_airflow_heartbeat_seconds", "scheduler")]
    assert figures["console_airflow_heartbeat_seconds", "scheduler"] == pytest.approx(40, abs=5)


@pytest.mark.django_db
def test_figures_are_among_the_metrics(client, monkeypatch):
    def said():
        return health.Said("fine", {("console_airflow_heartbeat_seconds", "scheduler"): 3.5})

    monkeypatch.setattr(health, "CHECKS", {"airflow": ("Airflow", said)})
    text = client.get("/metrics").text
    assert 'console_airflow_heartbeat_seconds{component="scheduler"} 3.5' in text
    assert re.search(r"^console_postgres_size_bytes", text, re.M) is None


@pytest.mark.django_db(transaction=True)
def test_airflow_that_is_well_is_asked_seldom_until_its_mirror_fails(
    monkeypatch, settings, web_server, real_redis
):
    heartbeat.beat("watch")
    url, answer = web_server
    settings.CONSOLE_AIRFLOW_URL = url
    answer[1] = json.dumps({"scheduler": {"status": "healthy"}}).encode()
    monkeypatch.setattr(health, "REMEMBERED_S", 0)
    only(monkeypatch, "airflow")
    assert part("airflow").is_healthy
    answer[0] = 500
    assert part("airflow").is_healthy  # nobody has asked again
    SyncState.failed("pipelines.sync.sync_runs", "airflow", "Airflow is not answering.")
    assert not part("airflow").is_healthy
    SyncState.succeeded("pipelines.sync.sync_runs", "airflow")
    assert not part("airflow").is_healthy  # what it said before it was unwell is forgotten
    answer[0] = 200
    assert part("airflow").is_healthy
    monkeypatch.setattr(health, "AIRFLOW_ASKED_EVERY_S", 0)
    answer[0] = 503
    assert not part("airflow").is_healthy


@pytest.mark.django_db(transaction=True)
def test_airflow_is_asked_each_time_while_nobody_watches_it(monkeypatch, settings, web_server, real_redis):
    settings.CONSOLE_AIRFLOW_URL, answer = web_server
    SyncState.succeeded("pipelines.sync.sync_runs", "airflow")
    monkeypatch.setattr(health, "REMEMBERED_S", 0)
    only(monkeypatch, "airflow")
    assert part("airflow").is_healthy
    answer[0] = 500
    assert not part("airflow").is_healthy
