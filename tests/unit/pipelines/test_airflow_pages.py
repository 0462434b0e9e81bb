"""The way into Airflow's own pages: as oneself, to read, for minutes; or with words about an account."""

import jwt
import pytest

from tests.pipeline_rows import make_pipeline, make_run
from tests.unit.pipelines.conftest import person

pytestmark = pytest.mark.django_db
DAG = "nightly.load-data"


@pytest.fixture(autouse=True)
def _same_host(settings):
    """As people's browsers see it; the console itself reaches Airflow by another name."""
    settings.CONSOLE_AIRFLOW_URL = "http://airflow-api:8080"
    settings.CONSOLE_AIRFLOW_PUBLIC_URL = "http://testserver:8015"


@pytest.fixture
def run(db):
    make_pipeline(DAG)
    return make_run(DAG)


def token(answer, settings):
    return jwt.decode(
        answer.cookies["_token"].value,
        settings.CONSOLE_AIRFLOW_JWT_SECRET,
        algorithms=["HS512"],
        audience="apache-airflow",
    )


def test_a_person_is_let_in_to_read_for_ten_minutes(page, run, settings):
    answer = page.get(f"/runs/{run.pk}/airflow")
    assert (answer.status_code, answer.url) == (
        302,
        f"http://testserver:8015/dags/{DAG}/runs/{run.dag_run_id}",
    )
    claims = token(answer, settings)
    assert (claims["sub"], claims["role"]) == ("ana", "viewer")
    assert claims["exp"] - claims["iat"] == 600
    cookie = answer.cookies["_token"]
    assert (cookie["max-age"], cookie["httponly"], cookie["samesite"], cookie["secure"]) == (
        600,
        True,
        "Lax",
        "",
    )


def test_an_administrator_is_let_in_to_read_as_well(client, settings):
    client.force_login(person("root", "admin"))
    assert token(client.get("/airflow"), settings)["role"] == "viewer"


def test_names_are_quoted_in_airflows_address(page):
    make_pipeline("a/b?c")
    run = make_run("a/b?c", dag_run_id="manual__2026-01-01T00:00:00+00:00")
    expected = "http://testserver:8015/dags/a%2Fb%3Fc/runs/manual__2026-01-01T00%3A00%3A00%2B00%3A00"
    assert page.get(f"/runs/{run.pk}/airflow").url == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONSOLE_AIRFLOW_PUBLIC_URL", "http://airflow.example:8015"),
        ("CONSOLE_AIRFLOW_PUBLIC_URL", "https://testserver"),
        ("CONSOLE_AIRFLOW_AUTH", "service"),
    ],
)
def test_who_cannot_be_let_in_goes_there_without_a_token_and_is_told(page, run, settings, name, value):
    setattr(settings, name, value)
    answer = page.get(f"/pipelines/{DAG}/airflow")
    assert answer.url == f"{settings.CONSOLE_AIRFLOW_PUBLIC_URL}/dags/{DAG}"
    assert "_token" not in answer.cookies
    assert "account of its own" in page.get(f"/pipelines/{DAG}/details").content.decode()
    assert "account of its own" in page.get(f"/runs/{run.pk}").content.decode()


def test_links_open_a_tab_that_knows_nothing_of_this_one(page, run):
    for url in (f"/pipelines/{DAG}/details", f"/runs/{run.pk}"):
        text = page.get(url).content.decode()
        assert 'target="_blank"' in text
        assert 'rel="noopener noreferrer"' in text
        assert "you may read there" in text
        assert "account of its own" not in text


@pytest.mark.parametrize("url", ["/airflow", f"/pipelines/{DAG}/airflow", "/runs/{run}/airflow"])
def test_who_may_see_no_pipeline_gets_no_token(client, run, url):
    client.force_login(person("eve", "predictor"))
    answer = client.get(url.format(run=run.pk))
    assert answer.status_code == 403
    assert "_token" not in answer.cookies


def test_unknown_things_are_not_found_and_bring_no_token(page):
    for url in ("/pipelines/nothing/airflow", "/runs/9/airflow"):
        answer = page.get(url)
        assert answer.status_code == 404
        assert "_token" not in answer.cookies
