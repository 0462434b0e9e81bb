"""`core.lib.idempotency` on a real Redis: first, running, again, another body, and Redis away."""

import threading

import pytest

from core.lib import idempotency, redis
from core.lib.errors import Conflict, InvalidRequest, Unavailable
from core.lib.idempotency import Claim, Replay

pytestmark = pytest.mark.usefixtures("real_redis")

CALL = (7, "/api/v1/pipelines/titanic_training/runs", "key-1")


def test_first_call_is_a_claim():
    assert isinstance(idempotency.begin(*CALL, b"{}"), Claim)


def test_same_call_again_gets_the_first_answer():
    idempotency.begin(*CALL, b"{}").keep(202, "application/json", b'{"id": 1}', {"Location": "/x"})
    assert idempotency.begin(*CALL, b"{}") == Replay(
        202, "application/json", b'{"id": 1}', {"Location": "/x"}
    )


def test_answer_is_kept_for_a_day():
    claim = idempotency.begin(*CALL, b"{}")
    claim.keep(200, "application/json", b"{}")
    assert 24 * 3600 - 5 < redis.client().ttl(claim.name) <= 24 * 3600


def test_call_while_the_first_is_running_is_a_conflict():
    idempotency.begin(*CALL, b"{}")
    with pytest.raises(Conflict, match="still running"):
        idempotency.begin(*CALL, b"{}")


def test_claim_of_a_process_that_died_frees_itself():
    claim = idempotency.begin(*CALL, b"{}")
    assert 0 < redis.client().ttl(claim.name) <= idempotency.CLAIMED_BY_DJANGO_S


@pytest.mark.parametrize("is_answered", [True, False])
def test_same_key_with_another_body_is_refused(is_answered):
    claim = idempotency.begin(*CALL, b"{}")
    if is_answered:
        claim.keep(202, "application/json", b"{}")
    with pytest.raises(InvalidRequest, match="another call"):
        idempotency.begin(*CALL, b'{"conf": 1}')


def test_dropped_claim_makes_the_next_call_the_first():
    idempotency.begin(*CALL, b"{}").drop()
    assert isinstance(idempotency.begin(*CALL, b"{}"), Claim)


def test_key_counts_for_one_user_and_one_path():
    user_id, path, key = CALL
    idempotency.begin(user_id, path, key, b"{}")
    assert isinstance(idempotency.begin(8, path, key, b"{}"), Claim)
    assert isinstance(idempotency.begin(user_id, path + "x", key, b"{}"), Claim)


@pytest.mark.parametrize("key", ["", "x" * 201, "two words", "é", "a\nb"])
def test_key_that_is_none_is_refused(key):
    with pytest.raises(InvalidRequest, match="1 to 200"):
        idempotency.begin(7, "/x", key, b"")


@pytest.mark.parametrize("key", ["x", "x" * 200, "~!{}"])
def test_odd_but_sound_key_is_taken(key):
    assert isinstance(idempotency.begin(7, "/x", key, b""), Claim)


def test_late_claim_does_not_overwrite_its_successor():
    late = idempotency.begin(*CALL, b"{}")
    redis.client().delete(late.name)  # its minute is over
    idempotency.begin(*CALL, b"{}").keep(202, "application/json", b"second")
    late.keep(202, "application/json", b"late")
    assert idempotency.begin(*CALL, b"{}").body == b"second"


def test_only_one_of_many_at_once_is_the_first():
    outcomes: list[str] = []
    barrier = threading.Barrier(8)

    def run() -> None:
        barrier.wait()
        try:
            outcomes.append(type(idempotency.begin(*CALL, b"{}")).__name__)
        except Conflict:
            outcomes.append("Conflict")

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["Claim"] + ["Conflict"] * 7


def test_redis_away_is_said(real_redis):
    real_redis.stop()
    with pytest.raises(Unavailable, match="Idempotency"):
        idempotency.begin(*CALL, b"{}")


def test_redis_gone_meanwhile_is_said(real_redis):
    claim = idempotency.begin(*CALL, b"{}")
    real_redis.stop()
    with pytest.raises(Unavailable):
        claim.keep(200, "application/json", b"{}")


async def test_coroutines_see_the_same_keys():
    client = redis.async_client()
    claim = await idempotency.abegin(client, *CALL, b"{}")
    await claim.akeep(200, "application/json", b"[1]")
    assert (await idempotency.abegin(client, *CALL, b"{}")).body == b"[1]"
    other = await idempotency.abegin(client, *CALL[:2], "key-2", b"{}")
    await other.adrop()
    assert isinstance(await idempotency.abegin(client, *CALL[:2], "key-2", b"{}"), Claim)
    await client.aclose()


@pytest.mark.parametrize(
    ("status", "is_kept"),
    [
        *((status, True) for status in (200, 201, 202, 204)),
        *((status, False) for status in (400, 403, 404, 409, 413, 422, 429, 500, 503)),
    ],
)
def test_what_did_nothing_is_not_kept(status, is_kept):
    assert idempotency.is_kept(status) is is_kept
