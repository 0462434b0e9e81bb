"""Where a request comes from, with proxies in front and without."""

import pytest

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
