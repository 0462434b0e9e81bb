"""MLflow, through its REST API 2.0, written against release 3.17.

The client library is left out on purpose: importing it costs every process seconds and memory that a few
calls do not earn. Artefacts go through MLflow's own proxy (`mlflow server --serve-artifacts`), so the console
needs no key of any object store.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from operator import attrgetter
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import structlog
from django.conf import settings
from django.utils.translation import gettext as _

from core.lib import aside
from core.lib.aside import Unread
from core.lib.errors import Conflict, InvalidRequest, NotFound, Unauthorized, Unavailable
from models_registry.mlflow_types import (
    ALIAS,
    ExperimentInfo,
    FileInfo,
    History,
    ModelInfo,
    Point,
    RunInfo,
    VersionInfo,
    error_code,
    error_message,
    experiment_key,
    model_key,
    number,
    run_key,
    version_key,
)

log = structlog.get_logger(__name__)

SERVICE = "mlflow"
TIMEOUT_S = 5.0
TRANSFER_TIMEOUT_S = 60.0
PAGE = 200
WAITS_S = (1.0, 3.0)  # before a page is asked for again
# 1,000 runs with 20 metrics are 5 MB and take MLflow seconds: ask for few at a time.
RUNS_PAGE = 100
MOST_POINTS = 2000
MOST_FILES = 2000
LONGEST_NAME_BYTES = 255  # of a file or folder, on every disk that MLflow may keep them on
API = "/api/2.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts/artifacts"


class MlflowGateway:
    """All that the console asks of MLflow. Calls end within a time limit and raise `core.lib.errors`."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    # --- experiments and runs

    def experiments(self) -> list[ExperimentInfo | Unread]:
        """All that are not deleted."""
        found = self._pages("POST", "/experiments/search", {"max_results": PAGE}, "experiments")
        return aside.read(found, ExperimentInfo.from_answer, key=experiment_key)

    def runs(
        self, experiment_ids: list[str], condition: str = "", most: int | None = None
    ) -> Iterator[RunInfo | Unread]:
        """Runs of these experiments that meet MLflow's own filter, newest first, fetched page by page."""
        if not experiment_ids:
            return
        asked = {
            "experiment_ids": experiment_ids,
            "filter": condition,
            "order_by": ["attributes.start_time DESC"],
            "max_results": min(RUNS_PAGE, most or RUNS_PAGE),
        }
        for position, data in enumerate(self._pages("POST", "/runs/search", asked, "runs")):
            if most is not None and position >= most:
                return
            yield from aside.read([data], RunInfo.from_answer, key=run_key)

    def run(self, run_id: str) -> RunInfo:
        """One run. Raises NotFound."""
        found = _part(self._get("/runs/get", {"run_id": run_id}), "run")
        with _of_mlflow():
            return RunInfo.from_answer(found)

    def metric_history(self, run_id: str, key: str) -> History:
        """All finite values of a metric; of more than 2,000 a sample over the whole length."""
        asked = {"metric_key": key, "max_results": MOST_POINTS}
        answer = self._get("/metrics/get-history", {"run_id": run_id, **asked})
        is_sample = bool(answer.get("next_page_token"))
        if (
            is_sample
        ):  # MLflow keeps the first and the last, and takes the rest by their number, not their step
            answer = self._get("/metrics/get-history-bulk-interval", {"run_ids": run_id, **asked})
        entries = _listed(answer, "metrics")
        with _of_mlflow():
            points = [Point.from_answer(entry) for entry in entries if _is_finite(entry)]
        return History(points, is_sample, len(entries) - len(points))

    # --- models and versions

    def models(self) -> list[ModelInfo | Unread]:
        """All registered models."""
        found = self._pages("GET", "/registered-models/search", {"max_results": PAGE}, "registered_models")
        return aside.read(found, ModelInfo.from_answer, key=model_key)

    def model(self, name: str) -> ModelInfo:
        """One registered model. Raises NotFound."""
        found = _part(self._get("/registered-models/get", {"name": name}), "registered_model")
        with _of_mlflow():
            return ModelInfo.from_answer(found)

    def versions(self, most: int | None = None) -> Iterator[VersionInfo | Unread]:
        """Versions of all models, newest first."""
        asked = {"max_results": min(PAGE, most or PAGE), "order_by": "creation_timestamp DESC"}
        found = self._pages("GET", "/model-versions/search", asked, "model_versions")
        for position, data in enumerate(found):
            if most is not None and position >= most:
                return
            yield from aside.read([data], VersionInfo.from_answer, key=version_key)

    def version(self, model: str, version: int) -> VersionInfo:
        """One version. Raises NotFound."""
        asked = {"name": model, "version": str(version)}
        found = _part(self._get("/model-versions/get", asked), "model_version")
        with _of_mlflow():
            return VersionInfo.from_answer(found)

    def set_champion(self, model: str, version: int) -> None:
        """Point the alias `champion` to this version; the same again does no harm."""
        body = {"name": model, "alias": ALIAS, "version": str(version)}
        self._data("POST", f"{API}/registered-models/alias", json=body)

    def remove_champion(self, model: str) -> None:
        """Take the alias `champion` away; where there is none, nothing happens."""
        try:
            self._data("DELETE", f"{API}/registered-models/alias", json={"name": model, "alias": ALIAS})
        except NotFound:
            log.info("mlflow.no_alias", model=model)

    # --- artefacts: `root` is the URI of a run's or a version's artefacts

    def run_root(self, run_id: str) -> str:
        """Where the artefacts of a run are."""
        return self.run(run_id).artifact_uri

    def model_root(self, model: str, version: int) -> str:
        """Where the folder of a version's model is, the one with `MLmodel` in it."""
        asked = {"name": model, "version": str(version)}
        answer = self._get("/model-versions/get-download-uri", asked)
        with _of_mlflow():
            return str(answer["artifact_uri"])

    def list_files(self, root: str, folder: str = "") -> list[FileInfo]:
        """Files and folders directly in `folder`, folders first; none for a folder that is not there.

        All of them: MLflow takes a page token for artefacts, and heeds it not (3.17).
        """
        answer = self._data("GET", FILES, params={"path": _proxied(root, folder)})
        with _of_mlflow():
            found = [
                FileInfo(_join(folder, entry["path"]), entry.get("is_dir", False), _size(entry))
                for entry in _listed(answer, "files")
            ]
            return sorted(found, key=attrgetter("place"))

    def chunks(self, root: str, path: str, *, limit_bytes: int, until: float = math.inf) -> Iterator[bytes]:
        """The file while it arrives. The first `next` raises as `read_file`, later ones if it breaks off.

        until: Unavailable is raised when it has not arrived by then, by `time.monotonic`.
        """
        n_bytes = 0
        url = f"{FILES}/{quote(_proxied(root, path))}"
        with _translated(), self._client.stream("GET", url, timeout=TRANSFER_TIMEOUT_S) as answer:
            if not answer.is_success:  # a redirect, to a proxy's sign-in, is no file either
                answer.read()
            if answer.is_server_error or (answer.status_code == 404 and not _is_lacking(answer)):
                self._check_is_there(root, path)
            _check(answer)
            _check_size(path, int(answer.headers.get("content-length", 0)), limit_bytes)
            for chunk in answer.iter_bytes():  # as they come: what trickles in must not be waited for
                n_bytes += len(chunk)
                _check_time(path, until)
                _check_size(path, n_bytes, limit_bytes)
                yield chunk

    def _check_is_there(self, root: str, path: str) -> None:
        """Raises NotFound for a file that its folder does not list.

        Before an object store MLflow answers 500 for a missing file, as for any other trouble there, and
        a 404 may be that of a proxy while MLflow is away.
        """
        folder = check_path(path).rpartition("/")[0]
        if not any(file.path == check_path(path) for file in self.list_files(root, folder)):
            raise NotFound(_("MLflow has no file %(path)s there.") % {"path": path}, service=SERVICE)

    def read_file(self, root: str, path: str, *, limit_bytes: int) -> bytes:
        """The whole file. Raises NotFound, and InvalidRequest when it is larger than the limit."""
        return b"".join(self.chunks(root, path, limit_bytes=limit_bytes))

    def download_file(
        self, root: str, path: str, target: Path, *, limit_bytes: int, until: float = math.inf
    ) -> int:
        """Write the file to `target` and return its size. Raises as `read_file`."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            chunks = self.chunks(root, path, limit_bytes=limit_bytes, until=until)
            return sum(file.write(chunk) for chunk in chunks)

    def download_folder(self, root: str, target: Path, *, limit_bytes: int, until: float = math.inf) -> int:
        """Write all files below `root` to `target`, return how many bytes. NotFound when there are none.

        until: as for `chunks`, for all of them together.
        """
        n_files = n_bytes = 0
        folders = [""]
        while folders:
            for file in self.list_files(root, folders.pop()):
                if file.is_dir:
                    folders.append(file.path)
                    continue
                n_files += 1
                if n_files > MOST_FILES:
                    raise InvalidRequest(_("The folder holds more than 2,000 files."), service=SERVICE)
                left = limit_bytes - n_bytes
                n_bytes += self.download_file(
                    root, file.path, target / check_path(file.path), limit_bytes=left, until=until
                )
        if not n_files:
            raise NotFound(_("MLflow has no files there."), service=SERVICE)
        return n_bytes

    def write_file(self, root: str, path: str, content: bytes) -> None:
        """Store the file; one of the same name is replaced."""
        url = f"{FILES}/{quote(_proxied(root, path))}"
        self._call("PUT", url, content=content, timeout=TRANSFER_TIMEOUT_S)

    # --- transport

    def _get(self, path: str, params: dict[str, Any]) -> dict[str, Any]:
        return self._data("GET", API + path, params=params)

    def _pages(self, method: str, path: str, asked: dict[str, Any], key: str) -> Iterator[dict[str, Any]]:
        token = ""
        while True:
            body = {**asked, "page_token": token} if token else asked
            sent = {"json": body} if method == "POST" else {"params": body}
            ask = self._patiently if token else self._data
            answer = ask(method, API + path, **sent)
            yield from _listed(answer, key)
            token = answer.get("next_page_token") or ""
            if not token:
                return

    def _patiently(self, method: str, url: str, **sent: Any) -> dict[str, Any]:
        """A page that is not the first: one that fails would cost all those before it."""
        for wait_s in WAITS_S:
            try:
                return self._data(method, url, **sent)
            except Unavailable as error:
                log.warning("mlflow.page_again", url=url, error=error.message)
                time.sleep(wait_s)
        return self._data(method, url, **sent)

    def _data(self, method: str, url: str, **sent: Any) -> dict[str, Any]:
        answer = self._call(method, url, **sent)
        with _of_mlflow():
            found = answer.json()
        if not isinstance(found, dict):
            raise _not_mlflow()
        return found

    def _call(self, method: str, url: str, **sent: Any) -> httpx.Response:
        with _translated():
            return _check(self._client.request(method, url, **sent))


def connect() -> MlflowGateway:
    """A gateway to the MLflow of the settings."""
    account = settings.CONSOLE_MLFLOW_USERNAME, settings.CONSOLE_MLFLOW_PASSWORD
    return MlflowGateway(_client(settings.CONSOLE_MLFLOW_URL, *account))


@cache
def _client(url: str, username: str, password: str) -> httpx.Client:
    timeout = httpx.Timeout(TIMEOUT_S, connect=2.0)
    account = (username, password) if username else None
    return httpx.Client(base_url=url.rstrip("/"), auth=account, timeout=timeout, trust_env=False)


def check_path(path: str) -> str:
    """The path of an artefact as asked for. Raises InvalidRequest for one that leads elsewhere."""
    parts = PurePosixPath(path).parts
    is_too_long = len(path) > 500 or any(len(part.encode()) > LONGEST_NAME_BYTES for part in parts)
    if is_too_long or path.startswith("/") or ".." in parts or any(ord(char) < 32 for char in path):
        raise InvalidRequest(_("That is no path of an artefact."))
    return "/".join(parts)


def _proxied(root: str, path: str) -> str:
    parts = urlsplit(root)
    if parts.scheme != "mlflow-artifacts":
        raise InvalidRequest(
            _(
                "These artefacts are at %(root)s, which MLflow does not hand on."
                " Start `mlflow server` with --serve-artifacts."
            )
            % {"root": root},
            service=SERVICE,
        )
    return _join(parts.path.strip("/"), check_path(path))


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}".strip("/")


def _check_size(path: str, n_bytes: int, limit_bytes: int) -> None:
    if n_bytes > limit_bytes:
        raise InvalidRequest(
            _("%(path)s is larger than %(limit)s MiB, the limit here.")
            % {"path": path, "limit": limit_bytes // 2**20},
            service=SERVICE,
        )


def _check_time(path: str, until: float) -> None:
    if time.monotonic() > until:
        raise Unavailable(
            _("MLflow sends %(path)s too slowly. Try again in a while.") % {"path": path}, service=SERVICE
        )


def _is_finite(entry: dict[str, Any]) -> bool:
    return not isinstance(number(entry.get("value", 0.0)), str)


def _size(entry: dict[str, Any]) -> int | None:
    return None if entry.get("is_dir") else int(entry.get("file_size", 0))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise Unavailable(
            _("MLflow did not answer in time. Try again in a moment."), service=SERVICE
        ) from error
    except httpx.HTTPError as error:  # that it cannot be unpacked is no error of the transport
        raise Unavailable(_("MLflow is not answering. Try again in a moment."), service=SERVICE) from error


def _not_mlflow() -> Unavailable:
    message = _("What answers at MLflow's address is not MLflow: check CONSOLE_MLFLOW_URL.")
    return Unavailable(message, service=SERVICE)


@contextmanager
def _of_mlflow() -> Iterator[None]:
    """For an answer as a whole. One odd item of many is its own fault, and says nothing of the service."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise _not_mlflow() from error


def _part(answer: dict[str, Any], key: str) -> dict[str, Any]:
    found = answer.get(key)
    if not isinstance(found, dict):
        raise _not_mlflow()
    return found


def _listed(answer: dict[str, Any], key: str) -> list[Any]:
    """MLflow leaves out an empty list; an answer that holds other things instead is not MLflow's."""
    found = answer.get(key, None if answer.keys() - {"next_page_token"} else [])
    if not isinstance(found, list):
        raise _not_mlflow()
    return found


def _is_lacking(answer: httpx.Response) -> bool:
    """Whether MLflow itself says so. A 404 alone proves nothing: a proxy gives it while MLflow is away."""
    return error_code(answer.text) == "RESOURCE_DOES_NOT_EXIST"


def _check(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    words = error_message(answer.text)
    if _is_lacking(answer):
        raise NotFound(_("MLflow: %(words)s") % {"words": words}, service=SERVICE)
    if "RESOURCE_ALREADY_EXISTS" in answer.text or answer.status_code == 409:
        raise Conflict(_("MLflow: %(words)s") % {"words": words}, service=SERVICE)
    if answer.status_code == 401:
        message = _(
            "MLflow did not let the console in: check CONSOLE_MLFLOW_USERNAME and CONSOLE_MLFLOW_PASSWORD."
        )
        raise Unauthorized(message, service=SERVICE)
    if answer.status_code == 403:
        raise Unauthorized(_("MLflow refused the console: %(words)s") % {"words": words}, service=SERVICE)
    if answer.status_code in {400, 413, 422}:
        raise InvalidRequest(_("MLflow: %(words)s") % {"words": words}, service=SERVICE)
    raise Unavailable(
        _("MLflow answered with an error (%(status)s). Try again in a moment.")
        % {"status": answer.status_code},
        service=SERVICE,
    )
