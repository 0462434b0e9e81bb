"""No page has two landmarks of one role and name: who jumps between them could not tell which is which."""

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from tests.landmarks import repeated
from tests.people import make_user, signed_in
from tests.pipeline_rows import make_pipeline, make_task
from tests.pipeline_rows import make_run as make_pipeline_run
from tests.registry import make_champion, make_gate, make_run, make_version

pytestmark = pytest.mark.django_db
NOT_PAGES = ("api/", "sign-out", "livez", "readyz", "metrics", "export")


def _addresses(resolver, prefix=""):
    for entry in resolver.url_patterns:
        route = prefix + str(entry.pattern).lstrip("^")
        if isinstance(entry, URLResolver):
            yield from _addresses(entry, route)
        elif isinstance(entry, URLPattern) and not set("<(?$") & set(route):
            yield "/" + route


@pytest.fixture
def browser():
    return signed_in(make_user("ana", "admin", "approver", "engineer", "scientist"))


def _faults(browser, addresses):
    found, n_seen = {}, 0
    for address in addresses:
        answer = browser.get(address)
        page = answer.content.decode() if not answer.streaming else ""
        if answer.status_code == 200 and "<html" in page:
            n_seen += 1
            if again := repeated(page):
                found[address] = again
    return found, n_seen


def test_pages_that_need_no_row(browser):
    addresses = [path for path in _addresses(get_resolver()) if not any(word in path for word in NOT_PAGES)]
    found, n_seen = _faults(browser, addresses)
    assert found == {}
    assert n_seen >= 20


def test_pages_of_pipelines_and_runs(browser):
    run = make_pipeline_run(make_pipeline("nightly").dag_id)
    make_task(run, "load")
    base = "/pipelines/nightly"
    found, n_seen = _faults(
        browser,
        ["/pipelines", base, f"{base}/graph", f"{base}/runs", f"{base}/details", f"{base}/trigger", "/runs",
         f"/runs/{run.pk}", f"/runs/{run.pk}/tasks/load/log"],
    )  # fmt: skip
    assert found == {}
    assert n_seen == 9


def test_pages_of_models(browser):
    run = make_run(metrics={"accuracy": 0.9}, params={"depth": "10"})
    by = make_user("eva", "approver")
    make_champion(1, by, run_id=run.pk)
    make_gate(make_version(2, run_id=run.pk), by)
    base = "/models/titanic/versions/2"
    found, n_seen = _faults(
        browser,
        ["/models", "/models/titanic", base, f"{base}/metrics", f"{base}/artifacts", f"{base}/spec",
         f"{base}/history", "/promotions", "/experiments", f"/experiments/{run.experiment_id}",
         f"/experiments/{run.experiment_id}/compare?run={run.pk}", f"/mlflow-runs/{run.pk}"],
    )  # fmt: skip
    assert found == {}
    assert n_seen == 12
