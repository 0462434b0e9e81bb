"""Who may do what: roles, scopes, what pipelines may, and what each page and each live topic needs."""

from collections.abc import Iterator

from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import translation

from core.access import policy, words
from stack.reference.markdown import code, notice, table

HEAD = f"""{notice("`core/access/policy.py` and `core/access/words.py`")}

# Roles and scopes

Denied is the default: a route that the table lacks is refused to everybody, and a test calls every route
with every role and with nobody. A user holds one role or more; what they allow is added up. Nobody decides
on a promotion that they asked for, whatever roles they hold.
"""
SCOPES_HEAD = """## Scopes

A token carries some of its owner's scopes, and never more than the owner holds at that moment.
"""
PRINCIPALS_HEAD = """## Pipelines

Pipelines, and some loops, call the console under names of their own. They cannot sign in, and their tokens
open no more than this.
"""
PAGES_HEAD = """## Pages

What an address needs. "signed in" asks for nothing more, "public" not even for that. Calls of the
[REST API](rest.md) are on their own page.
"""
TOPICS_HEAD = """## Live topics

What a subscription on `/ws/live` needs, by the part of its topic before the first colon.
"""


def page() -> str:
    with translation.override("en"):
        lines = [HEAD, "## Roles", ""]
        lines += table(("role", "in short"), ((code(role), str(words.ROLES[role])) for role in policy.ROLES))
        lines += [SCOPES_HEAD, *table(("scope", "allows", *policy.ROLES), _scopes())]
        lines += [PRINCIPALS_HEAD, *table(("name", "scopes"), _principals())]
        lines += [PAGES_HEAD, *table(("address", "to look", "to change"), sorted(_pages()))]
        topics = ((code(topic), code(scope)) for topic, scope in policy.LIVE_TOPICS.items())
        lines += [TOPICS_HEAD, *table(("topic", "scope"), topics)]
    return "\n".join(lines).rstrip() + "\n"


def _scopes() -> Iterator[list[str]]:
    for scope, holders in policy.SCOPES.items():
        marks = ["x" if role in holders else "" for role in policy.ROLES]
        yield [code(scope), str(words.SCOPES[scope]), *marks]


def _principals() -> Iterator[tuple[str, str]]:
    for name, scopes in policy.PRINCIPALS.items():
        yield code(name), ", ".join(code(scope) for scope in policy.SCOPES if scope in scopes)


def _pages() -> Iterator[tuple[str, str, str]]:
    for path, view_name in _routes(get_resolver().url_patterns):
        if not view_name.startswith(("api:", "v2:")):
            yield code(path), _rule(view_name, "GET"), _rule(view_name, "POST")


def _rule(view_name: str, method: str) -> str:
    rule = policy.needed(view_name, method)
    if rule in (policy.PUBLIC, policy.SIGNED_IN):
        return str(rule)
    return code(rule or "")


def _routes(
    patterns: list[URLPattern | URLResolver], before: str = "/", namespace: str = ""
) -> Iterator[tuple[str, str]]:
    """(address, view name) of every route."""
    for pattern in patterns:
        path = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            inner = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            yield from _routes(pattern.url_patterns, path, inner)
        else:
            yield path, f"{namespace}{pattern.name}"
