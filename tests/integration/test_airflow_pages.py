"""The cookie that the console sets for Airflow's own pages, shown to the real one."""

import httpx
from django.test import RequestFactory

from core.access.models import User
from pipelines.views import airflow
from tests.api import wait_for

DAG = "titanic_training"


def test_airflow_lets_the_person_read_and_change_nothing(on_the_stack):
    request = RequestFactory(SERVER_NAME="127.0.0.1").get("/airflow")
    request.user = User(username="ana")
    entered = airflow.home(request)
    token = {"_token": entered.cookies[airflow.COOKIE].value}
    with httpx.Client(base_url=entered.url, cookies=token, timeout=20, trust_env=False) as visitor:
        assert visitor.get("/").status_code == 200
        assert visitor.get("/ui/auth/me").json()["username"] == "ana"
        wait_for(DAG, lambda: visitor.get(f"/api/v2/dags/{DAG}").status_code == 200, timeout_s=90)
        pause = visitor.patch(f"/api/v2/dags/{DAG}", json={"is_paused": True})
        assert pause.status_code == visitor.get("/api/v2/connections").status_code == 403
