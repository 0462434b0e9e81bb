"""Every route, every method, every role, and nobody: what happens is what the table of `policy` says.

Routes are found, not listed: a new one that is not in the table fails here, as does an entry without one.
"""

import uuid
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import Group
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from console import doctor, health
from core.access import policy
from core.access.models import User
from streaming import gateway, topic_admin

SAMPLES = {"int": 999999, "str": "sample", "slug": "sample", "path": "sample/file", "uuid": uuid.UUID(int=7)}
NOBODY = "nobody"
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}


def routes(patterns: list, namespace: str = "", converters: dict | None = None) -> Iterator[tuple]:
    """(view name, arguments by name with a sample each, callback) of every URL."""
    for pattern in patterns:
        found = {**(converters or {}), **pattern.pattern.converters}
        if isinstance(pattern, URLResolver):
            inner = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            yield from routes(pattern.url_patterns, inner, found)
        elif isinstance(pattern, URLPattern):
            yield f"{namespace}{pattern.name}", samples(found), pattern.callback


def samples(converters: dict) -> dict:
    return {name: sample(type(converter).__name__) for name, converter in converters.items()}


def sample(converter: str) -> object:
    kind = converter.removesuffix("Converter").lower()
    return SAMPLES.get("str" if kind == "string" else kind, "sample")


ROUTES = sorted(routes(get_resolver().url_patterns), key=lambda route: route[0])


def methods_of(view_name: str, callback: object) -> list[str]:
    """The methods that the table names; where one rule holds for all, GET and POST or what the view takes."""
    rule = policy.ROUTES[view_name]
    if isinstance(rule, dict):
        return list(rule)
    view = getattr(callback, "view_class", None) or getattr(callback, "cls", None)
    if view is None:
        return ["GET", "POST"]
    return [name.upper() for name in view.http_method_names if hasattr(view, name) and name != "options"]


def expected(view_name: str, method: str, role: str) -> str:
    rule = policy.needed(view_name, method)
    if rule == policy.PUBLIC:
        return "answered"
    if role == NOBODY:
        return "sign in"
    return "answered" if rule == policy.SIGNED_IN or role in policy.SCOPES[rule] else "refused"


def seen(response) -> str:
    sign_in = reverse("access:sign-in") + "?next="
    is_to_sign_in = response.status_code == 302 and response["Location"].startswith(sign_in)
    if response.status_code == 401 or is_to_sign_in:
        return "sign in"
    return "refused" if response.status_code == 403 else "answered"


@pytest.fixture(autouse=True)
def _nobody_is_waited_for(monkeypatch):
    """No server runs here, so nothing is gained by waiting for an answer; health is asked once."""
    monkeypatch.setattr(health, "REMEMBERED_S", 600)
    monkeypatch.setattr(doctor, "TIMEOUT_S", 0.05)
    monkeypatch.setattr(gateway, "TIMEOUT_S", 0.05)
    monkeypatch.setattr(topic_admin, "TIMEOUT_S", 0.05)


def test_every_route_is_in_the_table():
    assert {name for name, _arguments, _callback in ROUTES} - policy.ROUTES.keys() == set()


def test_every_entry_of_the_table_has_a_route():
    assert policy.ROUTES.keys() - {name for name, _arguments, _callback in ROUTES} == set()


def test_every_rule_is_a_scope_or_a_word_of_the_table():
    entries = policy.ROUTES.values()
    rules = {rule for entry in entries for rule in (entry.values() if isinstance(entry, dict) else [entry])}
    assert rules <= policy.SCOPES.keys() | {policy.PUBLIC, policy.SIGNED_IN}


def test_every_topic_asks_for_a_scope():
    assert set(policy.LIVE_TOPICS.values()) <= policy.SCOPES.keys()


def user_of(role: str) -> User | None:
    if role == NOBODY:
        return None
    user = User.objects.create_user(username=f"matrix_{role}", password=None)
    user.groups.add(Group.objects.get(name=role))
    return user


class Caller:
    """Sends requests as one user, signed in once: what a request does is undone, since some sign out."""

    def __init__(self, role: str) -> None:
        self.client = Client(raise_request_exception=False)
        user = user_of(role)
        if user is not None:
            self.client.force_login(user)
        self.cookies = self.client.cookies.copy()

    def call(self, method: str, view_name: str, arguments: dict) -> HttpResponse:
        self.client.cookies = self.cookies.copy()
        body = {} if method == "GET" else {"data": b"{}", "content_type": "application/json"}
        with transaction.atomic():
            response = self.client.generic(method, reverse(view_name, kwargs=arguments), **body)
            transaction.set_rollback(True)
        return response


IN_TABLE = [route for route in ROUTES if route[0] in policy.ROUTES]
ROLES = pytest.mark.parametrize("role", [*policy.ROLES, NOBODY])


@pytest.mark.django_db
@ROLES
def test_each_role_gets_what_the_table_says(role):
    """An allowed call may find nothing (404) or a service away (503); it is not refused, and no 500."""
    caller = Caller(role)
    differences = []
    for view_name, arguments, callback in IN_TABLE:
        for method in methods_of(view_name, callback):
            response = caller.call(method, view_name, arguments)
            wanted = expected(view_name, method, role)
            if seen(response) != wanted or response.status_code == 500:
                differences.append(f"{method} {view_name}: {response.status_code}, wanted: {wanted}")
    assert differences == []


@pytest.mark.django_db
@pytest.mark.parametrize("role", [policy.ADMIN, NOBODY])
def test_a_method_that_the_table_does_not_name_is_closed(role):
    """To those who may everything too."""
    caller = Caller(role)
    answered = []
    for view_name, arguments, _callback in IN_TABLE:
        rule = policy.ROUTES[view_name]
        named = rule.keys() if isinstance(rule, dict) else METHODS
        for method in METHODS - named:
            response = caller.call(method, view_name, arguments)
            if response.status_code != 405 and seen(response) == "answered":
                answered.append(f"{method} {view_name}: {response.status_code}")
    assert answered == []
