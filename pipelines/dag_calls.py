"""What is asked of Airflow about DAGs: their code, graph and switch, assets, files that it cannot read."""

import time
from collections.abc import Collection
from datetime import datetime
from typing import Any

import urllib3
from airflow_client.client import (
    ApiClient,
    AssetApi,
    DAGApi,
    DagRunApi,
    DagSourceApi,
    DagVersionApi,
    ImportErrorApi,
    TaskApi,
    TaskInstanceApi,
)
from django.utils.translation import gettext as _

from core.lib.aside import Unread
from core.lib.errors import NotFound, Unavailable
from pipelines import answers, asset_answers, dag_answers
from pipelines.airflow_auth import SERVICE
from pipelines.airflow_calls import AirflowCalls
from pipelines.airflow_pages import PAGE, Listed, all_of, listed
from pipelines.asset_answers import Asset, AssetEvent, QueuedAsset, WaitingPartition
from pipelines.dag_answers import Dag, DagDetails, ImportFault, TaskNode

STRUCTURE = "/ui/structure/structure_data"
PARTITIONS = "/ui/partitioned_dag_runs"
SIGNED_IN = ["OAuth2PasswordBearer", "HTTPBearer"]  # as the client's own calls


class DagCalls(AirflowCalls):
    """Part of the gateway."""

    def __init__(self, client: ApiClient, timeout: tuple[float, float]) -> None:
        super().__init__(client, timeout)
        self._dags, self._tasks, self._instances = DAGApi(client), TaskApi(client), TaskInstanceApi(client)
        self._sources, self._versions = DagSourceApi(client), DagVersionApi(client)
        self._assets, self._faults = AssetApi(client), ImportErrorApi(client)
        self._runs_of_events = DagRunApi(client)

    def dags(self) -> list[Dag | Unread]:
        """Every DAG that Airflow finds in its files now."""
        call = self._dags.get_dags_without_preload_content
        return self._pages(call, "dags", dag_answers.dag, dag_answers.dag_key, order_by=["dag_id"])

    def dag_details(self, dag_id: str) -> DagDetails:
        """What the list leaves out: parameters with their schema, documentation, version."""
        call = self._dags.get_dag_details_without_preload_content
        return self._read(call, dag_answers.dag_details, dag_id=dag_id)

    def newest_versions(self) -> dict[str, int]:
        """dag_id -> the number of its newest version, of DAGs whose versions are the PAGE latest of all.

        Airflow changes a version in place until a task of it was made; then the DAG gets a new one.
        """
        call = self._versions.get_dag_versions_without_preload_content

        def page(offset: int, size: int) -> Listed:
            options = {"dag_id": "~", "order_by": ["-id"], "limit": size, "offset": offset}
            return self._read(call, lambda answer: listed(answer, "dag_versions"), **options)

        newest: dict[str, int] = {}
        for one in answers.read(
            all_of(page, answers.row_key, most=PAGE), dag_answers.dag_version, dag_answers.dag_key
        ):
            if isinstance(one, tuple):
                newest[one[0]] = max(one[1], newest.get(one[0], 0))
        return newest

    def dag_tasks(self, dag_id: str) -> list[TaskNode]:
        """The tasks and what follows each."""
        call = self._tasks.get_tasks_without_preload_content
        return self._read(call, dag_answers.task_nodes, dag_id=dag_id)

    def drawn_tasks(self, dag_id: str, version: int | None = None) -> list[TaskNode]:
        """The tasks of a version, or of the newest, with their groups and roles.

        Airflow tells that to its own pages alone, by a call that it promises nobody: where it
        fails, `dag_groups` tells of the newest. Raises what any call may, NotFound for an unknown version.
        """
        asked = {} if version is None else {"version_number": version}
        return self._read(self._of_its_pages, dag_answers.drawn_tasks, path=STRUCTURE, dag_id=dag_id, **asked)

    def _of_its_pages(self, *, path: str, _request_timeout: Any, **query: Any) -> urllib3.BaseHTTPResponse:
        """An answer that Airflow gives to its own pages alone, by a call that it promises nobody."""
        request = self._client.param_serialize(
            "GET", path, query_params=list(query.items()), auth_settings=SIGNED_IN
        )
        return self._client.call_api(*request, _request_timeout=_request_timeout).response

    def dag_groups(self, dag_id: str, names: Collection[str]) -> set[str]:
        """Those of `names` that are groups of tasks. Airflow tells of one at a time, `a` before `a.b`.

        Where `a` is none, `a.b` is none. Raises Unavailable, also when all take longer than one call may.
        """
        call = self._instances.get_task_instances_without_preload_content
        give_up_at = time.monotonic() + self._options["_request_timeout"][1]
        groups: set[str] = set()
        for name in sorted(names):
            outer = name.rpartition(".")[0]
            if outer and outer not in groups:
                continue
            if time.monotonic() > give_up_at:
                raise Unavailable(_("Airflow takes too long for so many tasks."), service=SERVICE)
            what = {"dag_id": dag_id, "dag_run_id": "~", "task_group_id": name, "limit": 1}
            try:
                self._read(call, answers.nothing, **what)
            except NotFound:
                continue
            groups.add(name)
        return groups

    def dag_source(self, dag_id: str, version: int) -> str:
        """The text of the file that this version came from. Raises NotFound."""
        call = self._sources.get_dag_source_without_preload_content
        options = {"dag_id": dag_id, "version_number": version, "accept": "application/json"}
        return self._read(call, dag_answers.dag_source, **options)

    def set_paused(self, dag_id: str, *, is_paused: bool) -> None:
        """Stop or resume scheduling. Raises NotFound for an unknown DAG."""
        call = self._dags.patch_dag_without_preload_content
        self._read(call, answers.nothing, dag_id=dag_id, dag_patch_body={"is_paused": is_paused})

    def import_faults(self) -> list[ImportFault | Unread]:
        """DAG files that could not be read."""
        call = self._faults.get_import_errors_without_preload_content
        return self._pages(call, "import_errors", dag_answers.import_fault, dag_answers.fault_key)

    def assets(self) -> list[Asset | Unread]:
        """Every asset in use, with the tasks and pipelines at both its ends."""
        call = self._assets.get_assets_without_preload_content
        return self._pages(call, "assets", asset_answers.asset, asset_answers.asset_key, order_by=["id"])

    def asset_events(self, since: datetime | None, *, limit: int) -> list[AssetEvent | Unread]:
        """When assets changed, since then, the oldest first; since: None for the newest.

        limit: of events, to the next full page. Airflow itself orders those of one time by their id.
        """
        call = self._assets.get_asset_events_without_preload_content
        options: dict[str, Any] = {"order_by": ["timestamp"], "timestamp_gte": since}
        if since is None:
            options = {"order_by": ["-timestamp"]}

        def page(offset: int, size: int) -> Listed:
            return self._read(
                call, lambda answer: listed(answer, "asset_events"), limit=size, offset=offset, **options
            )

        items = all_of(page, asset_answers.event_key, most=limit)
        return answers.read(items, asset_answers.asset_event, asset_answers.event_key)

    def events_taken(self, dag_id: str, dag_run_id: str) -> list[AssetEvent | Unread]:
        """All events that a run took, however old. Raises NotFound when Airflow has no such run."""
        call = self._runs_of_events.get_upstream_asset_events_without_preload_content
        found = self._read(
            call, lambda answer: list(answer["asset_events"]), dag_id=dag_id, dag_run_id=dag_run_id
        )
        return answers.read(found, asset_answers.asset_event, asset_answers.event_key)

    def queued_assets(self, dag_id: str) -> list[QueuedAsset]:
        """The assets that changed since a DAG which waits for some last began; none for one by partitions."""
        call = self._assets.get_dag_asset_queued_events_without_preload_content
        return self._read(call, asset_answers.queued_assets, dag_id=dag_id)

    def waiting_partitions(self) -> list[WaitingPartition | Unread]:
        """Of every DAG that is by partitions, those for which not all assets are there yet.

        Airflow tells that to its own pages alone.
        """
        found = self._read(
            self._of_its_pages,
            lambda answer: list(answer["partitioned_dag_runs"]),
            path=PARTITIONS,
            has_created_dag_run_id="false",
        )
        return answers.read(found, asset_answers.waiting_partition, asset_answers.partition_key)
