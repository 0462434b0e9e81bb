"""The console's REST API as a test's own user would call it, and how that user comes to be."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.running_stack import RunningStack

PASSWORD = "seven-lanterns-on-the-quay"


class Caller:
    """One user's token on a running console. Every answer is returned; `ok` asserts that it is a good one."""

    def __init__(self, stack: RunningStack, name: str, *roles: str) -> None:
        self.name = name
        self.token = self.new_token(stack, roles)
        self._base = f"{stack.url}/api/v1"

    def new_token(self, stack: RunningStack, roles: tuple[str, ...]) -> str:
        """Of a user who is made for it."""
        with signed_in(stack, self.name, *roles) as session:
            made = session.post("/api/v1/tokens", json={"name": "tests"}, headers=csrf(session))
            return str(ok(made, 201)["key"])

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self._call("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return self._call("POST", path, json=body if body is not None else {}, **options)

    def patch(self, path: str, body: Any) -> httpx.Response:
        return self._call("PATCH", path, json=body)

    def _call(self, method: str, path: str, *, key: str = "", **options: Any) -> httpx.Response:
        """key: of a call that may be repeated."""
        headers = {"Authorization": f"Bearer {self.token}", **({"Idempotency-Key": key} if key else {})}
        return httpx.request(method, self._base + path, headers=headers, timeout=30, **options)


def new_person(stack: RunningStack, name: str, *roles: str) -> str:
    """The one-time password of somebody who is made now."""
    made = httpx.post(
        f"{stack.url}/api/v1/users",
        json={"username": name, "roles": roles},
        headers={"Authorization": f"Bearer {stack.admin_token}"},
        timeout=30,
    )
    return str(ok(made, 201)["one_time_password"])


@contextmanager
def signed_in(stack: RunningStack, name: str, *roles: str) -> Iterator[httpx.Client]:
    """A browser without scripts, of somebody who is made now and has chosen `PASSWORD`."""
    one_time = new_person(stack, name, *roles)
    choice = {"old_password": one_time, "new_password1": PASSWORD, "new_password2": PASSWORD}
    with httpx.Client(base_url=stack.url, timeout=30) as session:
        session.get("/sign-in")  # sets the cookie that goes with every form
        for address, fields in (
            ("/sign-in", {"username": name, "password": one_time}),
            ("/account/password", choice),
        ):
            answer = session.post(address, data=fields, headers=csrf(session))
            assert answer.status_code == 302, f"{name} at {address}: {answer.status_code} {answer.text}"
        yield session


def csrf(session: httpx.Client) -> dict[str, str]:
    """The header that proves that a change comes from the session itself."""
    return {"X-CSRFToken": session.cookies["atalaya_csrf"]}


def ok(answer: httpx.Response, status: int | None = None) -> Any:
    """The JSON of a good answer."""
    expected = {200, 201, 202} if status is None else {status}
    assert answer.status_code in expected, f"{answer.request.url}: {answer.status_code} {answer.text}"
    return answer.json()


def wait_for(what: str, look: Callable[[], Any], *, timeout_s: float) -> Any:
    """The first answer of `look` that is true; AssertionError names `what` when none comes in time."""
    deadline = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s} s"
        time.sleep(0.2)
    return found
