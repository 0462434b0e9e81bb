"""What is asked of Airflow about backfills."""

from airflow_client.client import ApiClient, BackfillApi, BackfillPostBody

from core.lib.aside import Unread
from pipelines import answers, backfill_answers
from pipelines.airflow_calls import CONNECT_S, AirflowCalls
from pipelines.airflow_pages import PAGE
from pipelines.backfill_answers import Backfill, WantedBackfill, WantedRun

BACKFILL_READ_S = 150.0  # Airflow makes all runs of a backfill before it answers, some tens in a second


class BackfillCalls(AirflowCalls):
    """Part of the gateway."""

    def __init__(self, client: ApiClient, timeout: tuple[float, float]) -> None:
        super().__init__(client, timeout)
        self._backfills = BackfillApi(client)

    def backfills(self, dag_id: str) -> list[Backfill | Unread]:
        """The newest of a DAG, at most PAGE of them; none for an unknown DAG."""
        call = self._backfills.list_backfills_without_preload_content
        found = self._read(
            call, lambda answer: list(answer["backfills"]), dag_id=dag_id, order_by=["-id"], limit=PAGE
        )
        return answers.read(found, backfill_answers.backfill, backfill_answers.backfill_key)

    def backfill(self, airflow_id: int) -> Backfill:
        """Raises NotFound."""
        call = self._backfills.get_backfill_without_preload_content
        return self._read(call, backfill_answers.backfill, backfill_id=airflow_id)

    def backfill_dates(self, wanted: WantedBackfill) -> list[WantedRun]:
        """The runs that would be made, in that order; nothing is done.

        Raises as `create_backfill` does, but for Conflict.
        """
        call = self._backfills.create_backfill_dry_run_without_preload_content
        body = BackfillPostBody.from_dict(wanted.as_json())
        return self._read(call, backfill_answers.backfill_dates, backfill_post_body=body)

    def create_backfill(self, wanted: WantedBackfill) -> Backfill:
        """Ask Airflow to run a DAG for past dates.

        Raises NotFound for an unknown DAG, Conflict while another of this DAG is under way, InvalidRequest
        for dates, a direction or a conf that the DAG does not allow.
        """
        call = self._backfills.create_backfill_without_preload_content
        body = BackfillPostBody.from_dict(wanted.as_json())
        limits = (CONNECT_S, BACKFILL_READ_S)
        return self._read(call, backfill_answers.backfill, backfill_post_body=body, _request_timeout=limits)

    def pause_backfill(self, airflow_id: int) -> Backfill:
        """Begin no more of its runs. Raises NotFound, Conflict for one that is over."""
        call = self._backfills.pause_backfill_without_preload_content
        return self._read(call, backfill_answers.backfill, backfill_id=airflow_id)

    def unpause_backfill(self, airflow_id: int) -> Backfill:
        """Go on. Raises NotFound, Conflict for one that is over."""
        call = self._backfills.unpause_backfill_without_preload_content
        return self._read(call, backfill_answers.backfill, backfill_id=airflow_id)

    def cancel_backfill(self, airflow_id: int) -> Backfill:
        """End it: queued runs fail, those that run go on. Raises NotFound, Conflict for one that is over."""
        call = self._backfills.cancel_backfill_without_preload_content
        return self._read(call, backfill_answers.backfill, backfill_id=airflow_id)
