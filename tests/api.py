"""The console's REST API as a test's own user would call it."""

import time
from collections.abc import Callable
from typing import Any

import httpx

from tests.running_stack import RunningStack


class Caller:
    """One user's token on a running console. Every answer is returned; `ok` asserts that it is a good one."""

    def __init__(self, stack: RunningStack, name: str, *roles: str) -> None:
        self.name = name
        self.token = self.new_token(stack, roles)
        self._base = f"{stack.url}/api/v1"

    def new_token(self, stack: RunningStack, roles: tuple[str, ...]) -> str:
        """Of a user who is made for it."""
        made = stack.manage("create_user", self.name, "--token", "--role", *roles)
        return made.strip().splitlines()[-1]

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
