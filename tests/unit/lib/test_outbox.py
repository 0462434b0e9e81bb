"""The outbox: claims are exclusive, retries wait, and a sweep sends what was lost."""

import threading
import time
from datetime import timedelta

import pytest
from django.db import connection, models
from django.test.utils import isolate_apps
from django.utils import timezone

from core.lib import outbox, redis

with isolate_apps("core.lib"):

    class Wish(outbox.Deliverable):
        name = models.CharField(max_length=20)

        class Meta:
            app_label = "lib"


class Sent:
    """Stands where a task stands; keeps what it was sent."""

    name = "tests.grant"

    def __init__(self):
        self.ids = []

    def delay(self, pk):
        self.ids.append(int(pk))


@pytest.fixture
def wishes(db):
    with connection.schema_editor() as editor:
        editor.create_model(Wish)
    return Wish.objects


@pytest.fixture
def sent(monkeypatch):
    task = Sent()
    monkeypatch.setattr(outbox, "_registered", [(Wish, task)])
    return task


def in_seconds(row):
    row.refresh_from_db()
    return (row.next_attempt_at - timezone.now()).total_seconds()


def test_a_wish_is_tried_again_whatever_its_error_says(wishes):
    row = wishes.create(name="a")
    row.mark_retry("the service says \x00")
    row.refresh_from_db()
    assert row.delivery_error == "the service says \N{REPLACEMENT CHARACTER}"


def test_claimed_row_is_leased(wishes):
    row = wishes.create(name="a")
    claimed = outbox.claim(Wish, row.pk)
    assert (claimed.pk, claimed.delivery_attempts) == (row.pk, 1)
    assert 25 < in_seconds(row) <= 30


def test_row_that_another_holds_is_not_claimed(wishes):
    row = wishes.create(name="a")
    outbox.claim(Wish, row.pk)
    assert outbox.claim(Wish, row.pk) is None


def test_lease_that_ran_out_frees_the_row(wishes):
    row = wishes.create(name="a")
    outbox.claim(Wish, row.pk)
    wishes.update(next_attempt_at=timezone.now() - timedelta(seconds=1))
    assert outbox.claim(Wish, row.pk).delivery_attempts == 2


@pytest.mark.django_db(transaction=True)
def test_a_row_stays_with_who_works_longer_than_a_lease(monkeypatch):
    with connection.schema_editor() as editor:
        editor.create_model(Wish)
    try:
        monkeypatch.setattr(Wish, "lease_s", 0.3)
        row = Wish.objects.create(name="a")
        claimed = outbox.claim(Wish, row.pk)
        with outbox.kept(claimed):
            for _ in range(10):
                time.sleep(0.1)
                assert outbox.claim(Wish, row.pk) is None
        time.sleep(0.4)
        again = outbox.claim(Wish, row.pk)
        assert again.delivery_attempts == 2
        with outbox.kept(claimed):  # who lost it does not take it back
            time.sleep(0.2)
        row.refresh_from_db()
        assert row.next_attempt_at == again.next_attempt_at
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(Wish)


def test_delivered_row_is_never_claimed_again(wishes):
    row = wishes.create(name="a")
    outbox.claim(Wish, row.pk).mark_delivered()
    assert outbox.claim(Wish, row.pk) is None


@pytest.mark.parametrize(("n_attempts", "wait_s"), [(1, 4), (2, 8), (4, 32), (5, 60), (50, 60)])
def test_retry_waits_twice_as_long_each_time_and_a_minute_at_most(wishes, n_attempts, wait_s):
    row = wishes.create(name="a", delivery_attempts=n_attempts)
    row.mark_retry("Airflow is not answering.")
    assert in_seconds(row) == pytest.approx(wait_s, abs=1)
    assert row.delivery_error == "Airflow is not answering."


def test_row_that_is_gone_is_not_claimed(wishes):
    assert outbox.claim(Wish, 4711) is None


@pytest.mark.usefixtures("real_redis")
def test_sweep_sends_what_is_due_oldest_first(wishes, sent):
    now = timezone.now()
    young = wishes.create(name="young", next_attempt_at=now - timedelta(seconds=1))
    old = wishes.create(name="old", next_attempt_at=now - timedelta(seconds=9))
    wishes.create(name="later", next_attempt_at=now + timedelta(seconds=9))
    wishes.create(name="done", next_attempt_at=None)
    assert outbox.sweep() == 2
    assert sent.ids == [old.pk, young.pk]


@pytest.mark.usefixtures("real_redis")
def test_sweep_does_not_pile_up_messages_behind_a_long_queue(wishes, sent):
    row = wishes.create(name="a")
    outbox.sweep()
    assert outbox.sweep() == 0
    redis.client().flushdb()  # the quarter of a minute is over
    outbox.sweep()
    assert sent.ids == [row.pk, row.pk]


@pytest.mark.usefixtures("real_redis")
def test_sweep_reaches_rows_behind_many_whose_messages_wait(wishes, sent, monkeypatch):
    monkeypatch.setattr(outbox, "SWEEP_BATCH", 3)
    due_at = timezone.now() - timedelta(seconds=100)
    rows = [wishes.create(name="a", next_attempt_at=due_at + timedelta(seconds=i)) for i in range(10)]
    assert [outbox.sweep() for _ in range(5)] == [3, 3, 3, 1, 0]
    assert sent.ids == [row.pk for row in rows]


@pytest.mark.parametrize(("n_due", "young_s"), [(1, 15), (599, 15), (600, 30), (6000, 165)])
def test_messages_stay_young_until_all_due_rows_had_their_turn(n_due, young_s):
    assert outbox._young_s(n_due) == young_s
    sweeps = young_s / outbox.SWEEP_EVERY_S
    assert sweeps * outbox.SWEEP_BATCH >= n_due


@pytest.fixture
def table(transactional_db):
    """The table for real transactions, which several connections see."""
    with connection.schema_editor() as editor:
        editor.create_model(Wish)
    yield Wish.objects
    with connection.schema_editor() as editor:
        editor.delete_model(Wish)


def test_only_one_of_many_workers_gets_the_row(table):
    row = table.create(name="a")
    barrier = threading.Barrier(6)
    claimed = []

    def work():
        barrier.wait()
        claimed.append(outbox.claim(Wish, row.pk))
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([row for row in claimed if row]) == 1
    assert table.get().delivery_attempts == 1
