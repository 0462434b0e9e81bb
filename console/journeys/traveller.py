"""What a journey has at hand: three users of the REST API, ways to run and to promote, a table of figures."""

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from console.demo.errors import NoAnswer, NotAsExpected, Refused
from console.demo.rest import Caller

LOOKS_EVERY_S: Final = 0.5
KNOWN_WITHIN_S: Final = 180  # a new Airflow has read its files by then
RUN_WITHIN_S: Final = 3_600
LEDGER_WITHIN_S: Final = 120
ENDED_BADLY: Final = frozenset({"refused", "failed", "cancelled", "lost"})
LOG_LINES: Final = 15
NOT_READY: Final = frozenset({404, 409})  # serving has not loaded the first champion yet


@dataclass(frozen=True)
class Figure:
    """A line of the table at the end."""

    name: str
    value: str
    note: str = ""


@dataclass
class Traveller:
    """engineer, scientist, approver: callers with the rights of these roles. is_small: a sample is enough."""

    engineer: Caller
    scientist: Caller
    approver: Caller
    say: Callable[[str], None]
    is_small: bool = False
    figures: list[Figure] = field(default_factory=list)

    def figure(self, name: str, value: Any, note: str = "") -> None:
        """A line of the table at the end."""
        text = (
            f"{value:,.4g}"
            if isinstance(value, float)
            else f"{value:,}"
            if isinstance(value, int)
            else str(value)
        )
        self.figures.append(Figure(name, text, note))
        self.say(f"{name}: {text}{f' ({note})' if note else ''}")

    @staticmethod
    def check(is_so: bool, expected: str, came: object) -> None:
        """Raises NotAsExpected unless it is so."""
        if not is_so:
            raise NotAsExpected(expected, came)

    def wait(self, what: str, look: Callable[[], Any], *, timeout_s: float) -> Any:
        """The first answer of `look` that is true. Raises NoAnswer, which names `what`."""
        deadline = time.monotonic() + timeout_s
        while not (seen := look()):
            if time.monotonic() > deadline:
                raise NoAnswer(f"expected {what} within {timeout_s:.0f} s; it did not come")
            time.sleep(LOOKS_EVERY_S)
        return seen

    def run(
        self, dag_id: str, conf: Mapping[str, Any] | None = None, *, expected: str = "success"
    ) -> dict[str, Any]:
        """Run a pipeline to its end: its row. Raises NotAsExpected, with the end of the failed task's log."""
        self.wait(
            f"the pipeline {dag_id}",
            lambda: self.engineer.find(f"/pipelines/{dag_id}"),
            timeout_s=KNOWN_WITHIN_S,
        )
        key = uuid.uuid4().hex
        body = {"conf": dict(conf or {}), "note": "run_usecase"}
        asked = self.engineer.post(f"/pipelines/{dag_id}/runs", body, key=key)
        self.say(f"run {asked['id']} of {dag_id} …")
        run = self.wait(
            f"the end of run {asked['id']} of {dag_id}",
            lambda: self._ended(asked["id"]),
            timeout_s=RUN_WITHIN_S,
        )
        if run["state"] != expected:
            raise NotAsExpected(
                f"run {run['id']} of {dag_id} to end with {expected}", f"{run['state']}\n{self._why(run)}"
            )
        self.figure(f"{dag_id}", f"{run['duration_s']:.0f} s", f"run {run['id']}: {run['state']}")
        return run

    def version_of(self, model: str, run: Mapping[str, Any]) -> dict[str, Any]:
        """The judged version that a run registered, as its page has it."""

        def look() -> dict[str, Any] | None:
            for row in self.scientist.get(f"/models/{model}/versions", limit=50)["results"]:
                found: dict[str, Any] = self.scientist.get(f"/models/{model}/versions/{row['version']}")
                if found.get("dag_run_id") == run["dag_run_id"]:
                    return found
            return None

        found: dict[str, Any] = self.wait(
            f"a version of {model} from run {run['id']}", look, timeout_s=LEDGER_WITHIN_S
        )
        return found

    def go_live(self, model: str, version: Mapping[str, Any]) -> str:
        """Promote what has passed its gate; the version that answers then, empty where none does."""
        gate = version["gate"]
        self.figure("gate", gate["state"], gate["reason"])
        if version["state"] == "passed":
            self.promote(model, version["version"])
        champion = self.scientist.get(f"/models/{model}")["champion"]
        return str(champion["version"] if isinstance(champion, dict) else champion or "")

    def promote(self, model: str, version: str) -> None:
        """Ask for the promotion as the scientist, approve it as the approver, wait until it is champion."""
        reason = {"reason": "run_usecase: the best so far"}
        asked = self.scientist.post(
            f"/models/{model}/versions/{version}/promotions", reason, key=uuid.uuid4().hex
        )
        self.approver.post(f"/promotions/{asked['id']}/approve", reason, key=uuid.uuid4().hex)
        self._wait_until_live(model, version)

    def approve_asked(self, model: str, version: str) -> None:
        """Approve what a pipeline asked for; nothing to do where the policy promoted already."""

        def look() -> dict[str, Any] | None:
            for asked in self.approver.get("/promotions", limit=50)["results"]:
                if (asked["model"], asked["version"]) == (model, version):
                    return dict(asked)
            return None

        asked = self.wait(f"a wish to promote {model} v{version}", look, timeout_s=LEDGER_WITHIN_S)
        if asked["state"] == "requested":
            body = {"reason": "run_usecase: the gate has passed it"}
            self.approver.post(f"/promotions/{asked['id']}/approve", body, key=uuid.uuid4().hex)
        self._wait_until_live(model, version)

    def _wait_until_live(self, model: str, version: str) -> None:
        self.wait(
            f"{model} v{version} to be champion",
            lambda: self.scientist.get(f"/models/{model}/versions/{version}")["state"] == "champion",
            timeout_s=LEDGER_WITHIN_S,
        )
        self.figure("champion", f"{model} v{version}")

    def predict(self, model: str, rows: list[dict[str, Any]], *, version: str = "") -> list[dict[str, Any]]:
        """Answers of the champion, whom serving meets a moment after the ledger; `version`: of that one."""

        def ask() -> dict[str, Any] | None:
            try:
                answer: dict[str, Any] = self.engineer.ask(f"/models/{model}/predict", {"rows": rows})
            except Refused as error:
                if error.status in NOT_READY:
                    return None
                raise
            return answer if not version or answer["version"] == version else None

        answer = self.wait(f"an answer of {model} v{version}", ask, timeout_s=LEDGER_WITHIN_S)
        predictions: list[dict[str, Any]] = answer["predictions"]
        return predictions

    def ledger(self, usecase: str, what: str) -> list[dict[str, Any]]:
        """Rows of `batches`, `decisions` or `load-tests` of a use case, newest first."""
        return list(self.engineer.every(f"/usecases/{usecase}/{what}"))

    def _ended(self, run_id: int) -> dict[str, Any] | None:
        run: dict[str, Any] = self.engineer.get(f"/runs/{run_id}")
        return run if run["state"] == "success" or run["state"] in ENDED_BADLY else None

    def _why(self, run: Mapping[str, Any]) -> str:
        """The end of the log of each task that failed."""
        if run["state"] == "refused":
            return str(run["delivery_error"])
        told = []
        for task in self.engineer.get(f"/runs/{run['id']}/tasks")["results"]:
            if task["state"] == "failed":
                page = self.engineer.get(f"/runs/{run['id']}/tasks/{task['task_id']}/log")
                lines = [str(line.get("text", line)) for line in page.get("lines", [])][-LOG_LINES:]
                told.append(f"{task['task_id']}:\n" + "\n".join(lines))
        return "\n".join(told)
