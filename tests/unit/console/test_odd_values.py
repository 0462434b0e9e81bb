"""Odd values in each parameter of each route and page: answered by what the caller did wrong, never by a 500.

Routes come from the URL configuration, names of parameters from what the views look up and the pages' forms,
bodies from the OpenAPI schema: a new one is tried without being listed.

Every parameter meets each kind of value: those of a list are shared out (`share`), so that what one route is
spared another one tries. What one function reads for many routes meets them all, in each namespace once.
"""

import contextlib
import json
import re
from collections.abc import Iterator
from itertools import count
from typing import Any
from urllib.parse import quote, urlencode

import django.core.handlers.wsgi
import django.http.request
import pytest
from django.db import transaction
from django.http import QueryDict
from django.urls import NoReverseMatch, reverse

from console import openapi
from tests import populated
from tests.people import PASSWORD
from tests.unit.console.test_role_matrix import IN_TABLE, methods_of

pytestmark = [pytest.mark.django_db(databases=["default", "usecases"]), pytest.mark.thorough]

# In an order of which every other one still holds a number, a time and a text.
TEXTS = [
    "",
    "²",
    "1e999",
    "a\x00b",
    "2026-03-01T12:00:00+23:59",
    "0001-01-01T00:00:00-16:28",
    "params.a",
    "9" * 5000,
    "NaN",
    str(2**63),
    "http://[bad{(%s'; --",
    "x" * 500 + "\N{PILE OF POO}\u202e",
]
READ_BY_ALL = {"page", "cursor", "limit", "q", "order", "state", "next", "since", "until"}
PLACES = ["²", "9" * 5000, "x" * 500, str(2**63), "\N{PILE OF POO}", "../etc", "-1", "{[(%s'; --"]
RAW_PLACES = ["%00", "%ED%A0%80", "%FF", "a%2Fb"]
# Of these every fourth one: numbers, texts, and what has a form.
JSON_VALUES = [
    "1e999",
    r'"\ud800"',
    "null",
    "9" * 5000,
    "-Infinity",
    "NaN",
    r'"\u0000"',
    "true",
    "1" + "0" * 400,
    '"2026-03-01T12:00:00+23:59"',
    "[[]]",
    "1e300",
    str(2**63),
    '"0001-01-01T00:00:00-16:28"',
    '{"a": 1e999}',
    "-1.5",
    json.dumps("x" * 70_000),
    r'{"\ud800": 1}',
    r'{"": {"\u0000": []}}',
    "[" * 5000 + "]" * 5000,
]
HEADERS = {
    "HX-Request": ["true"],
    "HX-Current-URL": ["http://[bad", "http://a:b/", "//", "x" * 5000],
    "HX-Target": ["[", "x" * 5000],
    "Accept": ["application/xml", "a/b;q=²", ";", "application/json; indent=9999999999"],
    "Accept-Language": ["xx-²", "q=1e999", "," * 5000],
    "Idempotency-Key": ["", "é", "x" * 5000],
    "X-Request-ID": ["²", "x" * 5000],
    "Authorization": ["Bearer", "Bearer ²", "Basic x", "Bearer " + "x" * 5000],
    "Content-Type": [
        "application/json; charset=nope",
        "application/json; charset=hex",
        "application/json; charset=utf-16",
        "multipart/form-data",
        "multipart/form-data; boundary=a; charset=unicode_escape",
        "multipart/form-data; boundary=²",
        "text/plain",
        "²",
    ],
    "Content-Length": ["²", "-1", "x", "9" * 5000],
    "Cookie": ["atalaya_session=²", "=;=", "x" * 5000],
    "Origin": ["http://[bad", "null"],
    "Referer": ["http://[bad"],
    "If-None-Match": ["²", '"'],
    "If-Modified-Since": ["²", "Sun, 99 Foo 2026"],
    "Range": ["bytes=9-1", "bytes=²"],
}
# What no URL says in words: the form behind each page is found by sending one.
NO_NAMES = {"csrfmiddlewaretoken", "page-size"}


def share(values: list[str], n: int, turn: int) -> list[str]:
    """Every n-th of the values; n turns come round to all of them."""
    return values[turn % n :: n]


class Asked:
    """Names that views looked up in an address or a form since `forget`."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def spy(self) -> type[QueryDict]:
        names = self.names

        class Spy(QueryDict):
            """Notes the names; pickling and copying go on as before."""

            def __getitem__(self, key):
                names.add(key)
                return super().__getitem__(key)

            def get(self, key, default=None):
                names.add(key)
                return super().get(key, default)

            def getlist(self, key, default=None):
                names.add(key)
                return super().getlist(key, default)

            def __contains__(self, key):
                names.add(key)
                return super().__contains__(key)

        return Spy


@pytest.fixture
def asked(monkeypatch):
    found = Asked()
    spy = found.spy()
    monkeypatch.setattr(django.core.handlers.wsgi, "QueryDict", spy)
    monkeypatch.setattr(django.http.request, "QueryDict", spy)
    return found


@pytest.fixture
def world(db, monkeypatch, settings, tmp_path):
    mlflow = populated.fakes(monkeypatch, settings, tmp_path)
    return populated.rows(mlflow)


class Caller:
    """Sends requests that leave nothing behind, and remembers those that were answered with a fault."""

    def __init__(self, world: Any) -> None:
        self.client = populated.client_of(world.user)
        self.cookies = self.client.cookies.copy()
        self.faults: list[str] = []
        self.n = 0

    def call(self, method: str, url: str, **options: Any) -> Any:
        self.client.cookies = self.cookies.copy()
        self.n += 1
        with undone():
            response = self.client.generic(method, url, **options)
            if response.streaming:
                b"".join(response.streaming_content)
        if response.status_code >= 500:
            shown = {**options, "url": url}
            self.faults.append(f"{response.status_code} {method} {str(shown)[:300]}")
        return response


@contextlib.contextmanager
def undone() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def path_of(world: Any, view_name: str, arguments: dict, **changed: Any) -> str | None:
    """The address of a route, led by rows that there are; None when a value cannot stand in it."""
    namespace, _colon, local = view_name.partition(":")
    pk = next((pk for word, pk in world.pks.items() if local.startswith(word)), world.pks.get(namespace, 1))
    values = {**world.arguments, "pk": pk}
    values["run_id"] = world.run.pk if isinstance(arguments.get("run_id"), int) else world.mlflow_run
    try:
        return reverse(view_name, kwargs={name: values[name] for name in arguments} | changed)
    except NoReverseMatch:
        return None


# Signing out needs no test of values; the two others tell of a process.
LEFT_OUT = {"access:sign-out", "console:metrics", "console:readyz"}
ROUTES = [
    (name, arguments, method)
    for name, arguments, callback in IN_TABLE
    if name not in LEFT_OUT
    for method in methods_of(name, callback)
]
NAMESPACES = sorted({name.partition(":")[0] for name, _arguments, _method in ROUTES})
FORM = "application/x-www-form-urlencoded"


def routes_of(world: Any, namespace: str) -> Iterator[tuple[str, str, dict, str]]:
    """(method, view name, arguments, address) of each route that takes the method."""
    for view_name, arguments, method in ROUTES:
        if view_name.partition(":")[0] == namespace:
            url = path_of(world, view_name, arguments)
            assert url is not None
            yield method, view_name, arguments, url


def names_of(caller: Caller, asked: Asked, method: str, url: str) -> list[str]:
    """What the view looks up when nothing, and when everything, is given; what its page asks for."""
    asked.names.clear()
    if send(caller, method, url, {}).status_code == 405:
        return []
    page = caller.call("GET", url).getvalue().decode(errors="replace") if method == "POST" else ""
    main = page.partition("<main")[2]  # the search above it is a page of its own
    asked.names.update(re.findall(r'<(?:input|select|textarea)[^>]*? name="([^"]+)"', main))
    send(caller, method, url, dict.fromkeys([*asked.names, "any"], "1"))
    return sorted(name for name in asked.names if isinstance(name, str) and name not in NO_NAMES)


def send(caller: Caller, method: str, url: str, values: dict[str, str]) -> Any:
    if method == "GET":
        return caller.call("GET", f"{url}?{urlencode(values)}")
    return caller.call(method, url, data=urlencode(values).encode(), content_type=FORM)


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_odd_values_in_addresses_and_forms(world, asked, namespace):
    """In all parameters at once, and in each alone, where no fault of another hides it."""
    caller, turns, tried_in_full = Caller(world), count(), set()
    for turn, (method, _view_name, _arguments, url) in enumerate(routes_of(world, namespace)):
        names = names_of(caller, asked, method, url)
        for value in share(TEXTS, 2, turn) if len(names) > 1 else []:
            send(caller, method, url, dict.fromkeys(names, value))
        for name in names:
            in_full = len(names) == 1 or (name in READ_BY_ALL and (name, method) not in tried_in_full)
            tried_in_full.add((name, method))
            for value in TEXTS if in_full else share(TEXTS, 6, next(turns)):
                send(caller, method, url, {name: value})
        if names:
            raw = names if turn % 2 else names[-1:]
            caller.call("GET", f"{url}?{'&'.join(f'{quote(name)}=%ED%A0%80%FF' for name in raw)}")
    assert caller.faults == []


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_odd_values_in_paths(world, namespace):
    caller, turns, met = Caller(world), count(), set()
    for method, view_name, arguments, url in routes_of(world, namespace):
        for name in arguments:
            turn = next(turns)
            of_all = 4 if name in met else 1
            met.add(name)
            for value in share(PLACES, of_all, turn):
                if (odd := path_of(world, view_name, arguments, **{name: value})) is not None:
                    caller.call(method, odd)
            place = path_of(world, view_name, arguments, **{name: "PLACE"}) or ""
            for raw in share(RAW_PLACES, of_all, turn) if "PLACE" in place else []:
                caller.call(method, place.replace("PLACE", raw))
        caller.call(method, f"{url}/%ED%A0%80")
    assert caller.faults == []


def operations() -> list[tuple[str, str, list[str]]]:
    """(method, path, fields of its body) of every REST operation that takes one."""
    document = openapi.document()
    found = []
    for path, item in document["paths"].items():
        for method in set(item) & {"post", "patch", "put"}:
            content = item[method].get("requestBody", {}).get("content", {})
            reference = content.get("application/json", {}).get("schema", {}).get("$ref", "")
            schema = document["components"]["schemas"].get(reference.rpartition("/")[2], {})
            found.append((method.upper(), path, sorted(schema.get("properties", {}))))
    return found


def test_odd_values_in_bodies(world):
    caller = Caller(world)
    by_path = {re.sub(r"\{[^}]+\}", "X", path): (method, fields) for method, path, fields in operations()}
    assert len(by_path) > 25
    known, turns = operations(), count()
    routes = [route for route in ROUTES if route[2] != "GET" and route[0].startswith("api:")]
    for turn, (view_name, arguments, method) in enumerate(routes):
        url = path_of(world, view_name, arguments)
        fields = next((names for way, path, names in known if way == method and fits(path, url)), [])
        bodies = share(JSON_VALUES, 4 if turn > 2 else 1, turn)
        for value in JSON_VALUES if len(fields) > 1 else []:
            members = ", ".join(f'"{name}": {value}' for name in fields)
            bodies.append(f"{{{members}}}")
        for name in fields:
            values = share(JSON_VALUES, 6, next(turns)) if len(fields) > 1 else JSON_VALUES
            bodies += [f'{{"{name}": {value}}}' for value in values]
        broken = [b"", b"{", b"\xff", b"\xef\xbb\xbf{}", "{}".encode("utf-16")]
        for body in [*(body.encode() for body in bodies), *broken]:
            caller.call(method, url, data=body, content_type="application/json")
    assert caller.faults == []


def fits(path: str, url: str) -> bool:
    """Whether the address is one of the schema's path."""
    return re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", path), url) is not None


@pytest.mark.parametrize("is_signed_in", [True, False])
def test_odd_headers(world, is_signed_in):
    caller = Caller(world)
    if not is_signed_in:
        caller.cookies.clear()
    addresses = [
        ("GET", "/pipelines"),
        ("POST", "/sign-in"),
        ("POST", f"/api/v1/pipelines/{populated.NAME}/runs"),
        ("POST", f"/api/v1/models/{populated.NAME}/predict"),
        ("GET", "/api/v1/runs"),
        ("GET", "/sign-in"),
        ("GET", "/"),
        ("POST", "/csp-report"),
        ("GET", "/api/schema"),
    ]
    for turn, (method, url) in enumerate(addresses):
        for header, values in HEADERS.items():
            for value in share(values, 1 if turn < 4 else 2, turn):
                caller.call(method, url, data=b"{}", content_type="application/json", headers={header: value})
    caller.call("GET", "/pipelines", headers={"HX-Request": "true", "HX-Current-URL": "http://[bad"})
    assert caller.faults == []


@pytest.mark.parametrize("body", [{"username": "a" * 256, "password": "x"}, {"username": "a", "next": "abc"}])
def test_odd_sign_in(world, body):
    caller = Caller(world)
    caller.cookies.clear()
    answer = send(caller, "POST", "/sign-in", body)
    assert (answer.status_code, caller.faults) == (422, [])


@pytest.mark.parametrize(
    "wanted", ["abc", "//elsewhere.example", "http://elsewhere.example/", "\\\\a", "http://[bad"]
)
def test_sign_in_goes_on_to_pages_of_the_console_alone(world, wanted):
    caller = Caller(world)
    values = {"username": world.user.username, "password": PASSWORD, "next": wanted}
    caller.cookies.clear()
    assert send(caller, "POST", "/sign-in", values)["Location"] == "/"
