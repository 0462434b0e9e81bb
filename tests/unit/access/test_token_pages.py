"""The pages of one's own tokens, of everybody's, and of one's account."""

import pytest

from core.access.models import ApiToken
from tests.people import make_admin, make_token, make_user, signed_in

pytestmark = pytest.mark.django_db
HTMX = {"headers": {"HX-Request": "true"}}


def test_a_token_is_made_and_its_key_shown_in_that_answer_only():
    client = signed_in(make_user("ana", "scientist"))
    answer = client.post("/account/tokens", {"name": "ci", "days": 30, "scopes": ["see"]})
    key = answer.context["made"]["key"]
    assert answer.status_code == 201
    assert key in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    again = client.get("/account/tokens").content.decode()
    assert key not in again
    assert "ci" in again


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"scopes": ["admin"]}, "admin is none of the choices"),
        ({"scopes": []}, "Choose at least one"),
        ({"days": 0}, "Write 1 or more."),
        ({"days": 400}, "Write 365 or less."),
        ({"name": ""}, "required"),
        ({"name": "x" * 101}, "at most 100"),
    ],
)
def test_a_form_that_will_not_do_keeps_what_was_typed(wish, words):
    client = signed_in(make_user("ana", "viewer"))
    answer = client.post(
        "/account/tokens", {"name": "nightly", "days": 30, "scopes": ["see"], **wish}, **HTMX
    )
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert answer.content.decode().startswith('<div class="stack" id="my-tokens">')
    assert not ApiToken.objects.exists()


def test_revoking_my_token_from_the_page():
    ana = make_user("ana", "viewer")
    first, second = make_token(ana)[0], make_token(ana)[0]
    client = signed_in(ana)
    assert client.post(f"/account/tokens/{first.pk}/revoke").url == "/account/tokens"
    answer = client.post(f"/account/tokens/{second.pk}/revoke", **HTMX)
    row = answer.content.decode()
    assert "is revoked" in answer["HX-Trigger"]
    assert row.startswith(f'<tr id="token-{second.pk}">')
    assert 'data-state="revoked"' in row
    assert not ApiToken.objects.filter(revoked_at=None).exists()


def test_somebody_elses_token_is_not_there_for_me_but_for_an_administrator():
    token, _key = make_token(make_user("bob", "viewer"))
    path = f"/account/tokens/{token.pk}/revoke"
    assert signed_in(make_user("ana", "viewer")).post(path).status_code == 404
    assert signed_in(make_admin()).post(path, {"back": "all"}).url == "/system/tokens"


def test_everybodys_tokens_are_filtered_with_few_queries(django_assert_max_num_queries):
    for n in range(5):
        make_token(make_user(f"user{n}", "viewer"), name=f"job {n}")
    make_token(make_user("zoe", "viewer"), days=-1)
    client = signed_in(make_admin())
    with django_assert_max_num_queries(5):  # session, user, roles; count, page
        assert len(client.get("/system/tokens").context["tokens"]) == 6
    for query, n_found in [("words=zoe", 1), ("words=JOB", 5), ("state=over", 1), ("state=active", 5)]:
        assert len(client.get(f"/system/tokens?{query}").context["tokens"]) == n_found
    assert client.get("/system/tokens?state=odd").status_code == 422


def test_the_account_page_says_what_each_role_allows():
    page = signed_in(make_user("ana", "approver")).get("/account").content.decode()
    assert "Decides which version is served" in page
    assert "Approve or reject promotions" in page
    assert "Ask an administrator" in signed_in(make_user("new")).get("/account").content.decode()


def test_the_roles_page_counts_people(django_assert_max_num_queries):
    make_user("ana", "viewer")
    make_user("gone", "viewer", is_active=False)
    client = signed_in(make_admin())
    with django_assert_max_num_queries(4):
        page = client.get("/system/roles")
    assert {role["name"]: role["n_people"] for role in page.context["roles"]}["viewer"] == 1


def test_the_services_page_links_to_each_services_own_pages(settings):
    settings.CONSOLE_AIRFLOW_URL, settings.CONSOLE_MLFLOW_URL = (
        "http://airflow-api:8080",
        "http://mlflow:5000",
    )
    settings.CONSOLE_AIRFLOW_PUBLIC_URL = "https://airflow.example.org"
    settings.CONSOLE_MLFLOW_PUBLIC_URL = "https://mlflow.example.org"
    page = signed_in(make_admin()).get("/system/services").content.decode()
    assert 'href="/airflow"' in page
    assert "https://airflow.example.org" in page
    assert 'href="https://mlflow.example.org"' in page
    assert "airflow-api" not in page
    assert "mlflow:5000" not in page
    assert "CONSOLE_MLFLOW_PASSWORD" not in page


def test_the_services_page_links_to_prometheus_and_grafana_where_there_are_any(settings):
    admin = signed_in(make_admin())
    assert "Grafana" not in admin.get("/system/services").text
    settings.CONSOLE_GRAFANA_URL = "https://grafana.example.org"
    page = admin.get("/system/services").text
    assert 'href="https://grafana.example.org"' in page
    assert "Prometheus" not in page


def test_the_services_page_says_where_mlflows_password_is_and_not_what_it_is(settings):
    settings.CONSOLE_MLFLOW_USERNAME, settings.CONSOLE_MLFLOW_PASSWORD = "atalaya", "hush-hush"
    page = signed_in(make_admin()).get("/system/services").content.decode()
    assert "atalaya, and what CONSOLE_MLFLOW_PASSWORD says" in page
    assert str(settings.CONSOLE_VAR_DIR / "console.env") in page
    assert "hush-hush" not in page
