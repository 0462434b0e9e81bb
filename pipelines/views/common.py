"""What several pages need: how old the rows may be."""

from typing import Any

from core.lib.models import SyncState
from pipelines.airflow_auth import SERVICE


def age() -> dict[str, Any]:
    """For the line above the data while Airflow is not answering."""
    return {"stale_since": SyncState.stale_since(SERVICE)}
