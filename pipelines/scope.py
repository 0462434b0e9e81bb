"""Which tasks of a run somebody means: all of them, or one with what stands before or after it. No Django."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Scope:
    """task_id: empty for the whole run. map_index: None for all instances of a mapped task.

    only_failed: of those, the ones that failed or that a failure kept from running.
    newest_code: whether what is cleared runs the newest version of the code, not the one that it ran before;
    None as the pipeline's author or Airflow's settings have it.
    """

    task_id: str = ""
    map_index: int | None = None
    upstream: bool = False
    downstream: bool = False
    only_failed: bool = False
    newest_code: bool | None = None

    @property
    def is_whole_run(self) -> bool:
        """Whether no task is named."""
        return not self.task_id

    @property
    def task(self) -> str:
        """The task as pages write it."""
        return self.task_id if self.map_index in (None, -1) else f"{self.task_id}[{self.map_index}]"

    def as_json(self) -> dict[str, Any]:
        """For a row; `Scope(**…)` reads it again."""
        return asdict(self)
