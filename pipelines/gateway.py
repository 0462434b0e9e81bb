"""Airflow, through its REST API v2, written against release 3.3: all that is asked of it, by one caller."""

from functools import cache

import urllib3
from airflow_client.client import ApiClient, Configuration
from django.conf import settings

from core.lib import traces
from pipelines import airflow_auth
from pipelines.airflow_calls import CONNECT_S, READ_S
from pipelines.backfill_calls import BackfillCalls
from pipelines.dag_calls import DagCalls
from pipelines.run_calls import RunCalls
from pipelines.task_calls import TaskCalls

HURRIED_S = 1.0


class AirflowGateway(DagCalls, RunCalls, BackfillCalls, TaskCalls):
    """One caller's view of Airflow: the watcher (`viewer`), or the person for whom a worker acts (`user`)."""

    def hurried(self) -> "AirflowGateway":
        """The same for somebody who waits for a page that can do without the answer."""
        return AirflowGateway(self._client, (HURRIED_S, HURRIED_S))


@cache
def _transport() -> ApiClient:
    configuration = Configuration(host=settings.CONSOLE_AIRFLOW_URL)
    configuration.retries = urllib3.Retry(0, redirect=0)
    return ApiClient(configuration)


def connect(username: str = airflow_auth.WATCHER, role: str = airflow_auth.VIEWER) -> AirflowGateway:
    """A gateway for this person, with no more rights in Airflow than `role` gives."""
    configuration = Configuration(
        host=settings.CONSOLE_AIRFLOW_URL, access_token=airflow_auth.access_token(username, role)
    )
    client = ApiClient(configuration)
    client.rest_client = _transport().rest_client  # one pool of connections for all callers
    if traces.is_on:
        client.set_default_header(traces.HEADER, traces.traceparent())
    return AirflowGateway(client, (CONNECT_S, READ_S))
