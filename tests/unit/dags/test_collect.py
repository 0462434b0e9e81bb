"""The polite client, against a service that misbehaves."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from dags.recipes.common import collect
from dags.recipes.common.collect import Away, Broken, CollectError, Refused, Service

GOOD = httpx.Response(200, json={"batch_number": 1})


@pytest.fixture
def pauses(monkeypatch) -> list[float]:
    taken: list[float] = []
    monkeypatch.setattr(collect.time, "sleep", taken.append)
    return taken


def service(*answers: httpx.Response | Exception, asked: list[httpx.Request] | None = None) -> Service:
    """One answer after the other, the last one for ever."""
    waiting = list(answers)

    def handle(request: httpx.Request) -> httpx.Response:
        if asked is not None:
            asked.append(request)
        answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    return Service("http://service", transport=httpx.MockTransport(handle))


def test_answer_comes_with_its_hash_and_address():
    asked: list[httpx.Request] = []
    answer = service(httpx.Response(200, json={"a": 1}), asked=asked).ask("/data", group_number=3)
    assert (answer.content, answer.address) == ({"a": 1}, "http://service/data")
    # of {"a":1}, worked out with sha256sum
    assert answer.sha256 == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
    assert str(asked[0].url) == "http://service/data?group_number=3"


@pytest.mark.parametrize(
    ("trouble", "pause_s"),
    [
        (httpx.Response(429, headers={"Retry-After": "7"}), 7),
        (httpx.Response(503, headers={"Retry-After": "3"}), 3),
        (httpx.Response(429, headers={"Retry-After": "86400"}), 60),
        (httpx.Response(429, headers={"Retry-After": "soon"}), 1),
        (httpx.Response(429), 1),
        (httpx.Response(500, text="Internal Server Error"), 1),
        (httpx.ConnectError("refused"), 1),
        (httpx.ReadTimeout("slow"), 1),
        (httpx.DecodingError("Error -3 while decompressing data"), 1),
    ],
)
def test_trouble_that_passes_is_waited_for(pauses, trouble, pause_s: float):
    assert service(trouble, GOOD).ask("/data").content == {"batch_number": 1}
    assert pauses == [pause_s]


def test_retry_after_may_be_a_date(pauses):
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    service(httpx.Response(503, headers={"Retry-After": at}), GOOD).ask("/data")
    assert 25 <= pauses[0] <= 30  # the date has whole seconds, and the test takes some


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        (httpx.ConnectError("[Errno 111] Connection refused"), "does not answer: .*Connection refused"),
        (httpx.ReadTimeout("x"), "did not answer within 45 s"),
        (httpx.Response(500, text="Internal Server Error"), "answered 500: Internal Server Error"),
        (httpx.Response(502), "answered 502: nothing"),
        (httpx.Response(502, text="[" * 200_000), r"answered 502: \[\["),
        (httpx.DecodingError("Error -3"), "answered with what cannot be read: Error -3"),
        (httpx.Response(429, json={"detail": "Demasiadas"}), "answered 429: Demasiadas"),
    ],
)
def test_trouble_that_stays_ends_after_four_tries_in_clear_words(pauses, trouble, message: str):
    with pytest.raises(Away, match=f"service gave nothing in 4 tries. It {message}"):
        service(trouble).ask("/data")
    assert pauses == [1, 2, 4]


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.ReadTimeout("slow"), httpx.ReadError("reset"), httpx.RemoteProtocolError("cut"),
        httpx.DecodingError("x"),
        httpx.WriteError("reset"), httpx.Response(500), httpx.Response(502), httpx.Response(504),
    ],
)  # fmt: skip
def test_a_service_that_may_have_moved_on_is_not_asked_again(pauses, trouble):
    asked: list[httpx.Request] = []
    with pytest.raises(Away, match="may have moved on"):
        service(trouble, GOOD, asked=asked).take("/data")
    assert (len(asked), pauses) == (1, [])


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.ConnectError("refused"), httpx.ConnectTimeout("slow"), httpx.Response(429), httpx.Response(503),
    ],
)  # fmt: skip
def test_a_service_that_surely_gave_nothing_is_asked_again(pauses, trouble):
    assert service(trouble, GOOD).take("/data").content == {"batch_number": 1}
    assert pauses == [1]


@pytest.mark.parametrize("status", [400, 404, 422])
def test_refusal_is_told_by_its_status_and_not_repeated(pauses, status: int):
    asked: list[httpx.Request] = []
    with pytest.raises(Refused, match=f"refused \\({status}\\): Ya se") as error:
        service(httpx.Response(status, json={"detail": "Ya se …"}), asked=asked).ask("/data")
    assert (error.value.status, len(asked), pauses) == (status, 1, [])


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (httpx.Response(200, text='{"data": [["1", "2"'), "broken JSON"),
        (httpx.Response(200, text=""), "broken JSON"),
        (httpx.Response(200, text="[" * 200_000), "broken JSON"),
        (httpx.Response(200, content=b"\xff\xfe{"), "broken JSON"),
        (httpx.Response(200, json=[1]), "list where an object belongs"),
        (httpx.Response(302, headers={"Location": "http://elsewhere"}), r"refused \(302\)"),
    ],
)
def test_answer_of_another_kind_is_named(pauses, answer, message: str):
    with pytest.raises((Broken, Refused), match=message):
        service(answer).ask("/data")


def test_answer_without_end_is_cut(monkeypatch):
    monkeypatch.setattr(collect, "MAX_BYTES", 10)
    with pytest.raises(Broken, match="more than 10 bytes"):
        service(httpx.Response(200, json={"data": "x" * 100})).ask("/data")


def test_slow_answer_is_taken_with_a_line_in_the_log(monkeypatch, capsys):
    ticks = iter([0.0, 30.0, 30.0, 30.0])
    monkeypatch.setattr(collect.time, "monotonic", lambda: next(ticks))
    assert service(GOOD).ask("/data").content == {"batch_number": 1}
    assert "took 30 s to answer" in capsys.readouterr().out


def test_answer_that_trickles_is_given_up(monkeypatch, pauses):
    now = iter(range(0, 10_000, 50))
    monkeypatch.setattr(collect.time, "monotonic", lambda: float(next(now)))
    with pytest.raises(Away, match="within 45 s"):
        service(GOOD).ask("/data")


@pytest.mark.parametrize("address", ["", "ftp://x", "127.0.0.1:8017", "file:///etc/passwd"])
def test_what_is_no_address_is_refused(address: str):
    with pytest.raises(CollectError, match="no http or https address"):
        collect.connect(address)
