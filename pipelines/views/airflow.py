"""The way into Airflow's own pages: in a new tab, signed in as oneself to read, for some minutes.

Cookies know hosts and no ports, so this host's cookie reaches an Airflow on another of its ports. What people
do goes through the console, which records it: hence the least of Airflow's roles. Where Airflow has another
host, or a secret that is not ours, it asks people to sign in.
"""

from urllib.parse import quote, urlsplit

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET

from core.access.http import SignedInRequest
from pipelines import airflow_auth, queries

COOKIE = "_token"  # Airflow's name for it
VISIT_S = 600


@require_GET
def home(request: SignedInRequest) -> HttpResponse:
    """Airflow's first page."""
    return _entered(request, "/")


@require_GET
def pipeline(request: SignedInRequest, dag_id: str) -> HttpResponse:
    """Airflow's page of a pipeline."""
    return _entered(request, f"/dags/{quote(queries.pipeline(dag_id).dag_id, safe='')}")


@require_GET
def run(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Airflow's page of a run."""
    found = queries.run(run_id)
    names = quote(found.dag_id, safe=""), quote(found.dag_run_id, safe="")
    return _entered(request, "/dags/{}/runs/{}".format(*names))


def signs_in(request: SignedInRequest) -> bool:
    """Whether Airflow will see the cookie, and believe it."""
    airflow = urlsplit(settings.CONSOLE_AIRFLOW_PUBLIC_URL)
    here = urlsplit(request.build_absolute_uri("/"))
    is_seen = (airflow.scheme, airflow.hostname) == (here.scheme, here.hostname)
    return is_seen and settings.CONSOLE_AIRFLOW_AUTH == "jwt"


def _entered(request: SignedInRequest, path: str) -> HttpResponse:
    answer = redirect(settings.CONSOLE_AIRFLOW_PUBLIC_URL + path)
    if signs_in(request):
        token = airflow_auth.signed(request.user.username, airflow_auth.VIEWER, valid_s=VISIT_S)
        is_https = request.scheme == "https"
        answer.set_cookie(COOKIE, token, max_age=VISIT_S, httponly=True, secure=is_https, samesite="Lax")
    return answer
