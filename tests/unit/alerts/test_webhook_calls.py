"""Which addresses are called, and that a call ends soon, whatever the other side does."""

import ipaddress
import socket
import ssl
import time
from datetime import UTC, datetime, timedelta

import httpcore
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from core.alerts import gateway
from core.lib.errors import InvalidRequest, Unavailable
from tests.unit.alerts.receiver import Receiver

REFUSED = [
    "127.0.0.1",
    "127.9.9.9",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "168.63.129.16",
    "100.100.100.200",
    "169.254.170.2",
    "192.0.0.192",
    "192.0.0.8",
    "192.0.0.10",
    "fec0::1",
    "3fff::1",
    "0.0.0.0",
    "224.0.0.1",
    "239.1.1.1",
    "255.255.255.255",
    "240.0.0.1",
    "198.18.0.1",
    "::1",
    "::",
    "fe80::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "ff0e::1",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "2002:a00:1::",
    "2001:0:4136:e378:8000:63bf:f5ff:fffe",  # Teredo of 10.0.0.1
]


@pytest.fixture
def receiver(settings):
    settings.CONSOLE_WEBHOOK_NETWORKS = ["127.0.0.1"]
    found = Receiver()
    yield found
    found.close()


@pytest.mark.parametrize(
    ("path", "called"),
    [
        ("", "/"),
        ("/hook;token=abc", "/hook;token=abc"),
        ("/a;b/hook;c=1;d?e=f;g", "/a;b/hook;c=1;d?e=f;g"),
        ("/%3B%20x", "/%3B%20x"),
        ("?q=1", "/?q=1"),
    ],
)
def test_an_address_is_called_as_it_is_written(receiver, path, called):
    url = gateway.check_url(f"http://127.0.0.1:{receiver.port}{path}")
    gateway.post(url, b"{}", {})
    assert receiver.requests[0].line.split()[:2] == ["POST", called]
    assert receiver.requests[0].headers["Host"] == f"127.0.0.1:{receiver.port}"


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(gateway, "TIMEOUT_S", 0.7)
    monkeypatch.setattr(gateway, "ANSWER_S", 0.2)


def post(url: str) -> gateway.Answer:
    return gateway.post(url, b"{}", {"Content-Type": "application/json"})


@pytest.mark.parametrize("address", REFUSED)
def test_addresses_that_are_not_public_are_refused(address):
    assert not gateway.is_allowed(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34"])
def test_public_addresses_are_called(address):
    assert gateway.is_allowed(ipaddress.ip_address(address))


def test_a_setting_allows_networks(settings):
    settings.CONSOLE_WEBHOOK_NETWORKS = ["10.1.0.0/16", "fd00::/8"]
    allowed = {text: gateway.is_allowed(ipaddress.ip_address(text)) for text in
               ("10.1.2.3", "::ffff:10.1.2.3", "10.2.0.1", "fd00::1", "fd00:ec2::254")}  # fmt: skip
    assert allowed == {
        "10.1.2.3": True,
        "::ffff:10.1.2.3": True,
        "10.2.0.1": False,
        "fd00::1": True,
        "fd00:ec2::254": False,  # metadata: only where it is named itself
    }


@pytest.mark.parametrize("text", ["169.254.169.254", "169.254.170.2", "192.0.0.192", "100.100.100.200"])
def test_metadata_is_called_only_where_it_is_named_itself(settings, text):
    metadata = ipaddress.ip_address(text)
    settings.CONSOLE_WEBHOOK_NETWORKS = ["0.0.0.0/0"]
    assert not gateway.is_allowed(metadata)
    settings.CONSOLE_WEBHOOK_NETWORKS = [text]
    assert gateway.is_allowed(metadata)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host.example/hook",
        "ftp://host.example",
        "file:///etc/passwd",
        "https://",
        "https://host.example:x/",
        "https://host.example/a b",
        "https://höst.example/",
        "http://[bad",
        "https://host.example/\x00",
        "https://host.example/" + "x" * 2000,
        "https://ana:geheim@host.example/",
        "http://10.0.0.1/hook",
        "http://[::1]/hook",
        "http://localhost:8000/",
    ],
)
def test_an_address_that_is_never_called_is_refused_at_once(url):
    with pytest.raises(InvalidRequest) as refused:
        gateway.check_url(url)
    assert refused.value.errors[0]["field"] == "url"
    assert "geheim" not in refused.value.message


def test_an_address_is_kept_without_what_no_server_sees():
    assert gateway.check_url(" https://host.example/a?b=1#c ") == "https://host.example/a?b=1"


def test_a_call_brings_status_and_the_beginning_of_the_answer(receiver):
    assert post(receiver.url) == gateway.Answer(200, "taken")
    (request,) = receiver.requests
    assert request.line == "POST /hook?token=geheim HTTP/1.1"
    assert request.headers["Host"] == f"127.0.0.1:{receiver.port}"
    assert request.body == b"{}"


def names_of(monkeypatch, *answers: list[str]) -> list[str]:
    """What looking any name up gives, one list after the other; numbers stay what they are."""
    asked = []

    def getaddrinfo(host, port, *_rest, **_more):
        is_number = host[0].isdigit()
        found = [host] if is_number else answers[sum(not one[0].isdigit() for one in asked)]
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_a_name_that_leads_to_a_private_address_is_not_called(monkeypatch):
    asked = names_of(monkeypatch, ["10.0.0.1", "169.254.169.254"])
    with pytest.raises(InvalidRequest, match=r"host\.example is no public address"):
        post("http://host.example/")
    assert asked == ["host.example"]


def test_a_name_that_answers_otherwise_the_second_time_gains_nothing(monkeypatch, receiver):
    """It is looked up once, and connected to is what was checked. The host stays what the address says."""
    asked = names_of(monkeypatch, ["127.0.0.1"], ["10.0.0.1"])
    assert post(f"http://host.example:{receiver.port}/").status == 200
    assert asked == [
        "host.example",
        "127.0.0.1",
    ]  # the second is the socket's look at the number it was given
    assert receiver.requests[0].headers["Host"] == f"host.example:{receiver.port}"


def test_an_address_of_ipv6_is_called_by_its_name_in_brackets(monkeypatch, receiver):
    names_of(monkeypatch, ["127.0.0.1"])
    post(f"http://[fd00::1]:{receiver.port}/hook")
    assert receiver.requests[0].headers["Host"] == f"[fd00::1]:{receiver.port}"


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://[2606:4700::1]/", "[2606:4700::1]"),
        ("https://a.example:443/", "a.example"),
        ("http://a.example:443/", "a.example:443"),
        ("http://A.example", "a.example"),
    ],
)
def test_the_header_names_the_port_where_it_is_another_than_usual(url, host):
    assert gateway._host(url) == host


def test_of_several_addresses_only_allowed_ones_are_tried(monkeypatch, receiver):
    asked = names_of(monkeypatch, ["10.0.0.1", "127.0.0.1"])
    assert post(f"http://host.example:{receiver.port}/").status == 200
    assert asked == ["host.example", "127.0.0.1"]


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 70 + ".example"])
def test_a_name_that_nobody_knows_is_away(host):
    with pytest.raises(Unavailable, match="the name is not known"):
        post(f"http://{host}/")


def test_a_server_that_is_away_is_named_without_path(receiver):
    receiver.close()
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1 could not be called") as away:
        post(receiver.url)
    assert "geheim" not in away.value.message


def test_a_redirect_is_not_followed(receiver):
    other = Receiver()
    receiver.answer = f"HTTP/1.1 307 x\r\nLocation: {other.url}\r\nContent-Length: 0\r\n\r\n".encode()
    assert post(receiver.url).status == 307
    other.close()
    assert other.requests == []


def drips(piece: bytes, *, first: bytes = b""):
    def act(connection):
        connection.sendall(first)
        for _number in range(1000):
            connection.sendall(piece)
            time.sleep(0.02)

    return act


@pytest.mark.parametrize(
    "act",
    [lambda _connection: time.sleep(20), drips(b"H"), drips(b"X: y\r\n", first=b"HTTP/1.1 200 OK\r\n")],
    ids=["silent", "drips a status", "drips headers"],
)
def test_a_server_that_takes_its_time_is_left(receiver, hasty, act):
    receiver.act = act
    began_at = time.monotonic()
    with pytest.raises(Unavailable, match="did not answer within"):
        post(receiver.url)
    assert time.monotonic() - began_at < 8


def test_an_answer_that_drips_or_never_ends_counts_by_its_status(receiver, hasty):
    head = b"HTTP/1.1 201 Created\r\nContent-Length: 99999999\r\n\r\n"
    for act in (drips(b"a", first=head), drips(b"a" * 100_000, first=head)):
        receiver.act = act
        began_at = time.monotonic()
        found = post(receiver.url)
        assert found.status == 201
        assert 0 < len(found.text) <= gateway.ANSWER_BYTES
        assert time.monotonic() - began_at < 8


def test_an_address_that_swallows_everything_leaves_time_for_the_next(monkeypatch, receiver):
    names_of(monkeypatch, ["127.0.0.1", "127.0.0.1", "127.0.0.1"])
    connect, waits = httpcore.SyncBackend.connect_tcp, []

    def black_hole(self, host, port, timeout=None, *rest):
        waits.append(round(timeout))
        if len(waits) < 3:
            raise httpcore.ConnectTimeout("swallowed")
        return connect(self, host, port, timeout, *rest)

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", black_hole)
    assert post(f"http://host.example:{receiver.port}/").status == 200
    assert waits == [3, 5, 10]  # each time a share of what is left; no time went by here


def test_a_name_that_takes_long_to_look_up_ends_with_the_clock(monkeypatch, hasty):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_all, **_more: time.sleep(5) or [])
    began_at = time.monotonic()
    with pytest.raises(Unavailable, match="did not answer within"):
        post("http://host.example/")
    assert time.monotonic() - began_at < 3


def test_a_server_that_reads_slowly_is_left(monkeypatch, hasty):
    """Each piece that it takes does not begin its time anew."""
    clock, written = gateway.Clock(0.5), []

    class Slow:
        def write(self, buffer, timeout):
            time.sleep(0.1)
            written.append((len(buffer), timeout))

    with pytest.raises(httpcore.TimeoutException):
        gateway._Timed(Slow(), clock).write(b"x" * 1_000_000)
    assert 1 < len(written) < 10
    assert written[-1][1] < 0.3


def test_headers_without_end_are_no_answer(receiver):
    receiver.act = lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_000_000)
    with pytest.raises(Unavailable, match="could not be called"):
        post(receiver.url)


@pytest.mark.parametrize("answer", [b"", b"hello", b"HTTP/1.1 x OK\r\n\r\n", b"\x16\x03\x01\x00"])
def test_what_is_no_http_is_no_answer(receiver, answer):
    receiver.answer = answer
    with pytest.raises(Unavailable):
        post(receiver.url)


def test_an_answer_of_any_bytes_is_text(receiver):
    receiver.answer = b"HTTP/1.1 500 x\r\nContent-Length: 3\r\n\r\n\x00\xff\xfe"
    found = post(receiver.url)
    assert (found.status, "\x00" in found.text) == (500, False)


@pytest.mark.parametrize("is_trusted", [True, False])
def test_certificates_are_checked_by_name(monkeypatch, settings, tmp_path, is_trusted):
    """A server with a certificate for host.example, whose issuer is known or not."""
    settings.CONSOLE_WEBHOOK_NETWORKS = ["127.0.0.1"]
    path = certificate(tmp_path)
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(path)
    secure = Receiver(tls=theirs)
    ours = ssl.create_default_context(cafile=path if is_trusted else None)
    monkeypatch.setattr(gateway, "_tls", lambda: ours)
    names_of(monkeypatch, ["127.0.0.1"], ["127.0.0.1"])
    if is_trusted:
        assert post(f"https://host.example:{secure.port}/").status == 200
        with pytest.raises(Unavailable, match="could not be called"):
            post(f"https://other.example:{secure.port}/")
    else:
        with pytest.raises(Unavailable, match="could not be called"):
            post(f"https://host.example:{secure.port}/")
    secure.close()


def certificate(folder) -> str:
    """A key and a certificate that it signed itself, for host.example, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "host.example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("host.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "host.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return str(path)
