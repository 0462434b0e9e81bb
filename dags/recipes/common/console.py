"""The console, as a pipeline meets it: with the token of its own system account."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx

from dags.recipes.common.log import say

TIMEOUT_S = 10.0
MIRROR_S = 60.0  # how long the console may take to notice a version that was just registered
VERDICT_S = 300.0
# A console that was killed while it worked holds the key of that call for 330 s.
AT_WORK_S = 360.0
LOOKS_EVERY_S = 0.5  # for a verdict
POLL_S = 1.0  # before the same is asked for again
PAGE_ROWS = 200
LONGEST_REASON = 1_000
SETTLED = frozenset({"passed", "failed", "error"})
ENDED_BADLY = frozenset({"failed", "cancelled", "lost"})
LONGEST_KEY = 200
MOST_JOBS = 20  # of one wish of one run, each after the one before ended badly


class ConsoleRefused(Exception):
    """The console did not do what was asked; the message holds its words."""


def connect(dag_id: str) -> httpx.Client:
    """Raises ConsoleRefused when this pipeline was given no token."""
    path = Path(_environment("ATALAYA_TOKENS"))
    tokens: dict[str, str] = json.loads(path.read_text()) if path.is_file() else {}
    if dag_id not in tokens:
        raise ConsoleRefused(
            f"{path} holds no token for {dag_id}: `manage.py issue_pipeline_tokens` writes them."
        )
    return httpx.Client(
        base_url=_environment("ATALAYA_URL"),
        headers={"Authorization": f"Bearer {tokens[dag_id]}", "Accept": "application/json"},
        timeout=TIMEOUT_S,
    )


def gate(client: httpx.Client, model: str, version: str, *, key: str) -> dict[str, Any]:
    """Ask for the gate and wait for its verdict: {"state": …, "checks": […]}.

    key: names this wish, so that a task that is retried does not ask twice; after an error it asks anew.
    Raises ConsoleRefused when it is refused, does not end in time, or ends in an error.
    """
    path = f"/api/v1/models/{model}/versions/{version}"
    last = _last_gate(client, path)
    again = f":after {last.get('id')}" if last.get("state") == "error" else ""
    _request(client, f"{path}/gate", _short(f"{key}{again}"))
    give_up_at = time.monotonic() + VERDICT_S
    while time.monotonic() < give_up_at:
        found = _answer(client, "GET", path).json().get("gate") or {}
        if found.get("state") in SETTLED:
            return _told(found)
        time.sleep(LOOKS_EVERY_S)
    raise ConsoleRefused(f"The gate gave no verdict within {VERDICT_S:g} s; its page shows how far it is.")


def submit_job(
    client: httpx.Client,
    app: str,
    params: Mapping[str, Any],
    *,
    key: str,
    is_there: Callable[[Mapping[str, Any]], bool] = lambda _result: True,
) -> str:
    """Ask for a Spark job; its id. key: names this wish, so that a task that is retried does not ask twice.

    One that ended badly before is asked for anew, and so is one of whose result `is_there` says that it is
    there no more. Raises ConsoleRefused.
    """
    body = {"app": app, "params": dict(params)}
    for attempt in range(MOST_JOBS):
        named = {"Idempotency-Key": _short(f"{key}:{attempt}")}
        answer = _answer(client, "POST", "/api/v1/jobs", headers=named, body=body)
        if answer.is_error:
            raise ConsoleRefused(
                f"The console refused the job {app} ({answer.status_code}): {_words(answer)}"
            )
        job_id: str = answer.json()["id"]
        now = _answer(client, "GET", f"/api/v1/jobs/{job_id}")
        job = {} if now.is_error else now.json()
        if job.get("state") in ENDED_BADLY:
            say(f"Job {job_id} of an earlier try ended badly; asking for another.")
        elif job.get("state") == "succeeded" and not is_there(job["result"] or {}):
            say(f"What job {job_id} of an earlier try wrote is there no more; asking for another.")
        else:
            say(f"Job {job_id} of {app} is asked for.")
            return job_id
    raise ConsoleRefused(
        f"{MOST_JOBS} jobs of {app} that this run asked for ended badly, or what they wrote is gone."
    )


def job_result(client: httpx.Client, job_id: str) -> dict[str, Any]:
    """What a job that ended well wrote. Raises ConsoleRefused, with the job's words, for any other."""
    answer = _answer(client, "GET", f"/api/v1/jobs/{job_id}")
    if answer.is_error:
        raise ConsoleRefused(f"The console does not show job {job_id}: {_words(answer)}")
    job = answer.json()
    if job["state"] != "succeeded":
        why = job["error"] or "no reason told"
        raise ConsoleRefused(f"Job {job_id} of {job['app']} is {job['state']}: {why}")
    result: dict[str, Any] = job["result"]
    return result


def _last_gate(client: httpx.Client, path: str) -> dict[str, Any]:
    answer = _answer(client, "GET", path)
    return (answer.json().get("gate") or {}) if answer.is_success else {}


def _short(key: str) -> str:
    """An Idempotency-Key has 200 characters at most, and those of ASCII; a run's id may have others."""
    return key if len(key) <= LONGEST_KEY and key.isascii() else sha256(key.encode()).hexdigest()


def champion(client: httpx.Client, model: str) -> int | None:
    """The version that the console's ledger names; None while there is none. Raises ConsoleRefused."""
    answer = _answer(client, "GET", f"/api/v1/models/{model}")
    if answer.status_code == httpx.codes.NOT_FOUND:  # nothing of this name was ever registered
        return None
    found = _checked(answer, "say who is champion").json()["champion"]
    return None if found is None else int(found)


def version(client: httpx.Client, model: str, number: str) -> dict[str, Any]:
    """A version, as REST tells it. Raises ConsoleRefused."""
    answer = _answer(client, "GET", f"/api/v1/models/{model}/versions/{number}")
    told: dict[str, Any] = _checked(answer, "tell of the version").json()
    return told


def request_promotion(client: httpx.Client, model: str, number: str, *, reason: str, key: str) -> bool:
    """Ask a person to let the version go live; False when that was asked for already."""
    path = f"/api/v1/models/{model}/versions/{number}/promotions"
    named = {"Idempotency-Key": _short(key)}
    answer = _answer(client, "POST", path, named, {"reason": reason[:LONGEST_REASON]})
    if answer.status_code == httpx.codes.CONFLICT:
        say(f"The promotion is not asked for: {_words(answer)}")
        return False
    _checked(answer, "take the wish for a promotion")
    say("The promotion is asked for; a person decides.")
    return True


def predictions(client: httpx.Client, model: str) -> Iterator[dict[str, Any]]:
    """Everybody's recorded predictions of a model, newest first. Raises ConsoleRefused."""
    path = f"/api/v1/predictions?model={model}&all=true&limit={PAGE_ROWS}"
    while path:
        page = _checked(_answer(client, "GET", path), "list predictions").json()
        yield from page["results"]
        path = page["next"] or ""


def personal_fields(client: httpx.Client, model: str, number: str) -> set[str]:
    """Names of the fields of a version that tell of a person. Raises ConsoleRefused."""
    answer = _answer(client, "GET", f"/api/v1/models/{model}/spec?version={number}")
    spec = _checked(answer, "show the spec").json()
    return {field["name"] for field in spec["fields"] if field.get("personal")}


def _checked(answer: httpx.Response, what: str) -> httpx.Response:
    if answer.is_error:
        raise ConsoleRefused(f"The console did not {what} ({answer.status_code}): {_words(answer)}")
    return answer


def _request(client: httpx.Client, path: str, key: str) -> None:
    """The console mirrors MLflow every few seconds: until then the version is not known there."""
    give_up_at = time.monotonic() + MIRROR_S
    while True:
        answer = _answer(client, "POST", path, headers={"Idempotency-Key": key})
        if answer.status_code == httpx.codes.NOT_FOUND and time.monotonic() < give_up_at:
            say("The console does not know the version yet; asking again.")
            time.sleep(POLL_S)
            continue
        if answer.status_code == httpx.codes.CONFLICT:
            say(f"The gate was asked for before: {_words(answer)}")
            return
        if answer.is_error:
            raise ConsoleRefused(f"The console refused the gate ({answer.status_code}): {_words(answer)}")
        say("The gate is asked for; waiting for its verdict.")
        return


def _answer(
    client: httpx.Client,
    method: str,
    path: str,
    headers: dict[str, str] | None = None,
    body: dict[str, Any] | None = None,
) -> httpx.Response:
    """One call; a console that is restarting is waited for. Raises ConsoleRefused."""
    began_at = time.monotonic()
    give_up_at = began_at + MIRROR_S
    while True:
        try:
            answer = client.request(method, path, headers=headers, json=body)
            if answer.has_redirect_location:  # a POST that is sent elsewhere was not done
                raise ConsoleRefused(
                    f"{answer.url} sends its callers to {answer.headers['Location']}: set ATALAYA_URL to the"
                    " address of the console at which it answers itself."
                )
            until = began_at + AT_WORK_S if _is_at_work(answer) else give_up_at
            if not _is_for_later(answer) or time.monotonic() > until:
                return answer
            say(f"The console answered {answer.status_code}; asking again.")
        except httpx.TransportError as error:
            if time.monotonic() > give_up_at:
                raise ConsoleRefused(f"The console at {client.base_url} does not answer: {error}") from error
            say(f"The console does not answer ({error}); asking again.")
        time.sleep(POLL_S)


def _is_for_later(answer: httpx.Response) -> bool:
    """Too many calls, a console in trouble, or the first call with this key still at work."""
    return (
        _is_at_work(answer)
        or answer.status_code == httpx.codes.TOO_MANY_REQUESTS
        or answer.status_code >= 500
    )


def _is_at_work(answer: httpx.Response) -> bool:
    return answer.status_code == httpx.codes.CONFLICT and "Retry-After" in answer.headers


def _told(found: dict[str, Any]) -> dict[str, Any]:
    say(f"The gate's verdict: {found['state']}.")
    for check in found.get("checks") or []:
        say(f"  {check.get('name')}: {check.get('verdict')}. {check.get('sentence')}")
    if found["state"] == "error":
        raise ConsoleRefused(f"The gate could not judge: {found.get('reason') or 'no reason was given'}")
    return found


def _words(answer: httpx.Response) -> str:
    """The detail of a problem document, else the first of the text."""
    try:
        problem = answer.json()
    except ValueError:
        return answer.text[:300]
    return str(problem.get("detail") or problem) if isinstance(problem, dict) else str(problem)


def _environment(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise ConsoleRefused(f"The environment of Airflow's tasks lacks {name}; `make up` sets it.")
    return value
