"""Where a request comes from, with proxies in front and without."""

import pytest

from console.asgi import Console
from core.lib import addresses

CONNECTED = "10.0.0.1"


@pytest.mark.parametrize(
    ("n_proxies", "forwarded", "address"),
    [
        (0, "203.0.113.5", CONNECTED),
        (0, None, CONNECTED),
        (1, "203.0.113.5", "203.0.113.5"),
        (1, "6.6.6.6, 203.0.113.5", "203.0.113.5"),
        (2, "6.6.6.6, 203.0.113.5, 10.0.0.2", "203.0.113.5"),
        (2, "203.0.113.5", CONNECTED),  # did not come through both
        (1, None, CONNECTED),
        (1, "", CONNECTED),
        (1, "unknown", CONNECTED),
        (1, "' OR 1=1", CONNECTED),
        (1, " 203.0.113.5:4711 ", "203.0.113.5"),
        (1, "[2001:db8::1]:4711", "2001:db8::1"),
        (1, "[2001:db8::1]", "2001:db8::1"),
        (1, "2001:db8::1", "2001:db8::1"),
        (1, "999.1.1.1:80", CONNECTED),
    ],
)
def test_the_address_is_what_the_outermost_proxy_of_ours_wrote(rf, settings, n_proxies, forwarded, address):
    settings.CONSOLE_PROXY_COUNT = n_proxies
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    assert addresses.of(rf.get("/", headers=headers, REMOTE_ADDR=CONNECTED)) == address


CLAIMS = [
    (b"host", b"console"),
    (b"x-forwarded-for", b"6.6.6.6"),
    (b"X-Forwarded-Proto", b"https"),
    (b"x-forwarded-host", b"evil"),
]


@pytest.mark.parametrize(
    ("networks", "client", "is_believed"),
    [
        ([], ("10.9.9.9", 1), True),
        (["10.0.0.2"], ("10.0.0.2", 1), True),
        (["10.0.0.2"], ("10.0.0.3", 1), False),
        (["192.168.0.0/24", "10.0.0.0/28"], ("10.0.0.15", 1), True),
        (["10.0.0.0/28"], ("10.0.0.16", 1), False),
        (["10.0.0.2"], ("::ffff:10.0.0.2", 1), True),
        (["2001:db8::/64"], ("2001:db8::7", 1), True),
        (["10.0.0.2"], ("2001:db8::7", 1), False),
        (["10.0.0.2"], None, False),
        (["10.0.0.2"], ("a socket file", None), False),
    ],
)
def test_only_proxies_that_are_known_forward(settings, networks, client, is_believed: bool):
    settings.CONSOLE_PROXY_NETWORKS = networks
    scope = {"type": "http", "client": client, "headers": list(CLAIMS)}
    found = addresses.without_claims(scope)
    assert found["headers"] == (CLAIMS if is_believed else CLAIMS[:1])
    assert scope["headers"] == CLAIMS


class Noted:
    """Stands for the four applications behind the console's: keeps what it was asked with."""

    def __init__(self) -> None:
        self.headers: dict[bytes, bytes] = {}

    def matches(self, _scope) -> bool:
        return self.is_asked

    is_asked = False

    async def __call__(self, scope, _receive, _send) -> None:
        self.headers = dict(scope["headers"])


async def whole() -> dict:
    return {"type": "http.request", "body": b"", "more_body": False}


@pytest.mark.parametrize("kind", ["page", "predict", "inference", "live"])
async def test_web_asked_past_its_proxy_sees_neither_address_nor_https(settings, kind: str):
    settings.CONSOLE_PROXY_NETWORKS = ["10.0.0.2"]
    apps = {"page": Noted(), "predict": Noted(), "inference": Noted(), "live": Noted()}
    asked = apps[kind]
    asked.is_asked = True
    console = Console(
        predict=apps["predict"], inference=apps["inference"], django=apps["page"], live=apps["live"]
    )
    scope = {"type": "websocket" if kind == "live" else "http", "path": "/ws/live", "headers": CLAIMS}
    scope["method"] = "GET"
    await console({**scope, "client": ("10.0.0.3", 1)}, whole, whole)
    assert asked.headers == {b"host": b"console"}
    await console({**scope, "client": ("10.0.0.2", 1)}, whole, whole)
    assert asked.headers == dict(CLAIMS)
