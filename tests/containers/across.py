"""Two web and three serving behind the proxy: no caller comes back to the same one, and none needs to.

Every claim is held against the containers themselves: which of them answered is told by their logs, by their
metrics and by their open connections.
"""

import asyncio
import json
import re
import ssl
import time
from contextlib import AsyncExitStack

import httpx
import websockets

from tests.containers import project
from tests.containers.project import say

PASSWORD = "lantern-orchard-51-breeze"
ADDRESS = f"https://localhost:{project.PORT}"
MODEL = "titanic"
MANY = 24  # so that one of three gets none in 1 of 5600 runs
SOCKETS = 16
TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the proxy's certificate is its own
TLS.check_hostname = False
TLS.verify_mode = ssl.CERT_NONE


def check() -> None:
    """Sign-in, REST, sockets, predictions and repeated calls, each across all copies."""
    told = new_user("across")
    name = told["username"]
    with httpx.Client(base_url=ADDRESS, verify=TLS, follow_redirects=True, timeout=30) as browser:
        _sign_in(browser, name, told["one_time_password"])
        _require("pages of one session", project.containers("web"), _pages(browser))
        asyncio.run(_hear(browser))
    headers = {"Authorization": f"Bearer {told['token']}"}
    with httpx.Client(base_url=ADDRESS, verify=TLS, headers=headers, timeout=30) as caller:
        _require("rules made once", project.containers("web"), _make_once(caller, name))
        _predict(caller, name)


def new_user(prefix: str) -> dict[str, str]:
    """An administrator with a token, of a name that nobody had."""
    name = f"{prefix}-{time.time():.0f}"
    words = ("create_user", name, "--role", "admin", "--token", "--json")
    return dict(json.loads(project.inside("worker", "python", "manage.py", *words)))


def _sign_in(browser: httpx.Client, name: str, one_time: str) -> None:
    page = _post_form(browser, "/sign-in", {"username": name, "password": one_time})
    assert "Choose your password" in page.text
    fields = {"old_password": one_time, "new_password1": PASSWORD, "new_password2": PASSWORD}
    assert _post_form(browser, "/account/password", fields).status_code == 200


def _post_form(browser: httpx.Client, address: str, fields: dict[str, str]) -> httpx.Response:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', browser.get(address).text)
    assert found, f"no form at {address}"
    fields |= {"csrfmiddlewaretoken": found[1]}
    return browser.post(address, data=fields, headers={"Referer": f"{ADDRESS}{address}"})


def _pages(browser: httpx.Client) -> list[str]:
    """The ids of requests that found the session."""
    answers = [browser.get("/account/tokens") for _ in range(MANY)]
    assert {answer.url.path for answer in answers} == {"/account/tokens"}
    return [answer.headers["X-Request-ID"] for answer in answers]


def _make_once(caller: httpx.Client, name: str) -> list[str]:
    """The ids of requests that all got the first one's answer."""
    body = {"kind": "failed", "pattern": f"{name}*"}
    answers = [
        caller.post("/api/v1/alert-rules", json=body, headers={"Idempotency-Key": name}) for _ in range(MANY)
    ]
    assert {answer.status_code for answer in answers} == {201}, answers[0].text
    assert len({answer.json()["id"] for answer in answers}) == 1
    return [answer.headers["X-Request-ID"] for answer in answers]


def _require(what: str, copies: list[str], request_ids: list[str]) -> None:
    """That every copy answered some of these, and all of them together each."""
    logs = {one: project.log(one) for one in copies}
    shares = {one: sum(wanted in log for wanted in request_ids) for one, log in logs.items()}
    assert all(shares.values()), f"{what}: {shares}"
    say(f"{what}: {_shared(shares)}")


def _shared(shares: dict[str, int]) -> str:
    return ", ".join(f"{count} by {one}" for one, count in shares.items())


async def _hear(browser: httpx.Client) -> None:
    """One piece of news reaches every socket, whichever copy holds it."""
    headers = {
        "Cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items()),
        "Origin": ADDRESS,
    }
    url = f"wss://localhost:{project.PORT}/ws/live"
    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(websockets.connect(url, ssl=TLS, additional_headers=headers))
            for _ in range(SOCKETS)
        ]
        for one in sockets:
            await one.send('{"subscribe": ["runs"]}')
            assert json.loads(await one.recv())["kind"] == "subscribed"
        held = _counted("web", "console_socket_open_count")
        code = "import django; django.setup(); from core.lib import live; live.publish('runs', [4711])"
        project.inside("worker", "python", "-c", code)
        for one in sockets:
            while "4711" not in json.loads(await asyncio.wait_for(one.recv(), 15)).get("ids", []):
                pass
    assert all(held.values()), f"open sockets: {held}"
    say(f"news heard by {SOCKETS} sockets: {_shared(held)}")


def _predict(caller: httpx.Client, name: str) -> None:
    """Every copy scores; a key that any of them has seen gets the first answer from all."""
    code = "import json; from console.demo import inputs; print(json.dumps(inputs.passengers()[0].row))"
    code = f"import django; django.setup(); {code}"
    row = json.loads(project.inside("worker", "python", "-c", code).splitlines()[-1])
    url, body = f"/api/v1/models/{MODEL}/predict", {"rows": [row]}
    before = _counted("serving", "console_predict_score_rows_total")
    answers = [caller.post(url, json=body) for _ in range(MANY)]
    after = _counted("serving", "console_predict_score_rows_total")
    assert {answer.status_code for answer in answers} == {200}, answers[0].text
    scored = {one: after[one] - before[one] for one in after}
    assert all(scored.values()), f"rows scored: {scored}"
    assert sum(scored.values()) == MANY, scored
    say(f"rows scored: {_shared(scored)}")
    repeated = [caller.post(url, json=body, headers={"Idempotency-Key": name}) for _ in range(MANY)]
    assert len({answer.content for answer in repeated}) == 1
    once = sum(_counted("serving", "console_predict_score_rows_total").values()) - sum(after.values())
    assert once == 1, f"{once} rows scored for one key"
    say(f"{MANY} calls with one key: one row scored, one answer")


def _counted(service: str, metric: str) -> dict[str, int]:
    """A metric of each copy, asked for past the proxy; its labels are added up."""
    code = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000/metrics').read().decode())"
    found = {}
    for one in project.containers(service):
        lines = project.run("podman", "exec", one, "python", "-c", code).splitlines()
        values = [line.rpartition(" ")[2] for line in lines if re.match(rf"{metric}[ {{]", line)]
        found[one] = round(sum(float(value) for value in values))
    return found
