"""Data from a public address: what is no address, what leads elsewhere, what never ends."""

import httpx
import pytest

from dags.recipes.common import sources
from dags.recipes.common.sources import SourceError

ADDRESS = "https://data.example/list.csv"


def answering(monkeypatch, answer) -> list[str]:
    """Every address is answered by `answer`; those that were asked."""
    asked: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return answer(request)

    client = sources._client
    monkeypatch.setattr(sources, "_client", lambda: client(httpx.MockTransport(handle)))
    return asked


def load(url: str) -> sources.Loaded:
    return sources.load("url", file_name="x", url=url, generate=bytes)


@pytest.mark.parametrize(
    "url",
    [
        "https://a:99999999/x",
        "https://[::1",
        "https://a:b/x",
        "https://\x00/x",
        "https://a\nb/x",
        "https://",
        "x",
        "",
    ],
)
def test_what_is_no_address_is_said_and_auto_goes_on_without_it(monkeypatch, url):
    answering(monkeypatch, lambda request: httpx.Response(404))
    with pytest.raises(SourceError):
        load(url)
    loaded = sources.load("auto", file_name="x", url=url, generate=lambda: b"made")
    assert (loaded.data, loaded.data_source) == (b"made", "synthetic")


def test_nothing_is_taken_from_where_https_leads_without_tls(monkeypatch):
    there = {"Location": "http://data.example/list.csv"}
    asked = answering(monkeypatch, lambda request: httpx.Response(302, headers=there))
    with pytest.raises(SourceError, match=r"http://data\.example/list\.csv is no https address"):
        load(ADDRESS)
    assert asked == [ADDRESS]


def test_another_place_with_tls_is_followed(monkeypatch):
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "data.example":
            return httpx.Response(302, headers={"Location": "https://mirror.example/list.csv"})
        return httpx.Response(200, content=b"a,b")

    answering(monkeypatch, answer)
    assert (load(ADDRESS).data, load(ADDRESS).origin) == (b"a,b", ADDRESS)


def test_an_answer_that_trickles_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(sources, "WHOLE_S", 60.0)
    ticks = iter(range(0, 10_000, 20))
    monkeypatch.setattr(sources.time, "monotonic", lambda: float(next(ticks)))
    sent: list[int] = []

    class Trickle(httpx.SyncByteStream):
        def __iter__(self):
            for n in range(1_000):
                sent.append(n)
                yield b"x"

    answering(monkeypatch, lambda request: httpx.Response(200, stream=Trickle()))
    with pytest.raises(SourceError, match="gave 4 bytes in 60 s: too slow"):
        load(ADDRESS)
    assert len(sent) < 10
