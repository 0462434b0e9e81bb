"""Windows of recorded predictions: each prediction in one of them, one alert an episode."""

import hashlib
import threading
import uuid
from datetime import timedelta

import numpy as np
import pytest
from django.db import connection, transaction
from django.utils import timezone

from core.alerts import actions as alerts
from core.alerts.models import Alert
from predictions import actions, tasks
from predictions.drift import watches, windows
from predictions.drift.actions import change_rules, remove_demo
from predictions.models import DriftRules, DriftWatch, DriftWindow, Prediction
from scoring.drift import reference as references
from tests.people import make_user
from tests.unit.predictions.drift.recorded import back, champion, ended, judge, record, watch
from tests.unit.predictions.test_ingestion import handle, marker
from tests.unit.scoring.drift.made import SCORE, SPEC, drawn, parquet, scored, window

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("files", "sent")]


def shifted(n_rows: int, *, seed: int = 0):
    """Older people who paid more."""
    table = drawn(n_rows, seed=seed)
    return table.assign(Age=table["Age"] + 15, Fare=table["Fare"] * 2)


def test_rows_of_the_reference_are_a_quiet_window():
    champion()
    record(drawn(500, seed=1))
    judge()
    found = DriftWindow.objects.get()
    assert (found.n, found.verdict, found.version) == (500, "stable", "1")
    assert not Alert.objects.exists()


def test_shifted_rows_make_one_alert_with_numbers():
    champion()
    record(shifted(500))
    judge()
    judge()
    found, alert = DriftWindow.objects.get(), Alert.objects.get()
    assert found.is_drifted
    assert {"Age", "Fare"} <= {column["name"] for column in found.drifted_columns}
    assert (alert.rule, alert.subject, alert.n_findings) == ("drift", "titanic", 1)
    assert "Fare" in alert.title
    assert alert.evidence_url == f"/monitoring/drift/titanic/{found.pk}/evidence"
    facts = {fact["name"]: fact for fact in alert.facts}
    assert facts["Fare, standard deviations (Wasserstein)"]["threshold"] == 0.1


def test_odd_text_of_the_reference_stops_no_window(files):
    table = scored(drawn(500, seed=2)).assign(Title=["a\x00b", *["Mr"] * 499])
    files.content = parquet(table)
    champion(reference_sha256=hashlib.sha256(files.content).hexdigest())
    record(drawn(500, seed=1))
    judge()
    assert (watch().error, DriftWindow.objects.get().n) == ("", 500)


def test_a_reference_that_no_row_holds_is_told_and_asked_for_again(monkeypatch):
    def unfit(*_about):
        found = references.summary(SPEC, window(drawn(40, seed=1)), 40)
        found.columns[0].spread = float("inf")
        return found

    monkeypatch.setattr(windows.references, "read", unfit)
    champion()
    record(drawn(500, seed=1))
    judge()
    assert watch().summary is None
    assert watch().error.startswith("DataError: invalid input")
    assert watch().next_attempt_at > timezone.now()


def test_a_drift_that_goes_on_is_the_same_alert():
    champion()
    record(shifted(500))
    judge()
    record(shifted(500, seed=2))
    judge()
    assert [row.is_drifted for row in DriftWindow.objects.all()] == [True, True]
    assert Alert.objects.get().n_findings == 2


def windows_of(*rows) -> None:
    for seed, drawn_rows in enumerate(rows):
        record(drawn_rows(500, seed=seed))
        judge()


def test_two_quiet_windows_in_a_row_settle_the_alert():
    champion()
    windows_of(shifted, drawn)
    assert Alert.objects.get().state == "open"
    windows_of(drawn)
    assert Alert.objects.get().state == "resolved"


def test_a_column_at_its_limit_is_one_alert():
    """Each other window passes the limit."""
    champion()
    windows_of(shifted, drawn, shifted, drawn, shifted, drawn)
    assert (Alert.objects.get().state, Alert.objects.get().n_findings) == ("open", 3)


def test_a_window_that_is_too_small_to_tell_is_none_of_the_two():
    champion()
    windows_of(shifted, drawn)
    DriftRules.objects.update_or_create(model="titanic", defaults={"window_size": 20, "min_n": 20})
    record(drawn(20, seed=3))
    judge()
    assert (DriftWindow.objects.first().verdict, Alert.objects.get().state) == ("not_enough", "open")
    DriftRules.objects.update(window_size=500)
    windows_of(drawn)
    assert Alert.objects.get().state == "resolved"


def test_drift_that_comes_back_within_the_hour_is_told_again():
    champion()
    windows_of(shifted, drawn, drawn, shifted)
    assert [alert.state for alert in Alert.objects.order_by("pk")] == ["resolved", "open"]
    assert {alert.n_findings for alert in Alert.objects.all()} == {1}


@pytest.mark.parametrize("quiet", [[], [drawn]])
def test_what_somebody_resolved_stays_quiet_for_a_while(quiet):
    champion()
    windows_of(shifted)
    alerts.resolve(Alert.objects.get().pk, by=make_user("eve", "engineer"), reason="Known.")
    windows_of(*quiet, shifted)
    assert (Alert.objects.get().state, Alert.objects.get().n_findings) == ("resolved", 2)


def test_drift_after_two_quiet_windows_is_told_though_somebody_resolved_the_one_before():
    champion()
    windows_of(shifted)
    alerts.resolve(Alert.objects.get().pk, by=make_user("eve", "engineer"), reason="Known.")
    windows_of(drawn, drawn, shifted)
    assert [alert.state for alert in Alert.objects.order_by("pk")] == ["resolved", "open"]


def test_quiet_windows_of_before_somebody_resolved_it_do_not_count():
    """They ended another episode."""
    champion()
    windows_of(drawn, drawn, shifted)
    alerts.resolve(Alert.objects.get().pk, by=make_user("eve", "engineer"), reason="Known.")
    windows_of(shifted)
    assert Alert.objects.count() == 1


def test_less_than_a_window_waits():
    champion()
    record(drawn(499, seed=4))
    judge()
    assert not DriftWindow.objects.exists()
    record(drawn(1, seed=5))
    judge()
    assert DriftWindow.objects.get().n == 500


def test_a_day_closes_a_window_that_holds_enough():
    champion()
    record(drawn(120, seed=6))
    Prediction.objects.update(recorded_at=timezone.now() - timedelta(hours=25))
    judge()
    assert DriftWindow.objects.get().n == 120


def test_a_day_does_not_close_a_window_that_holds_too_little():
    champion()
    record(drawn(99, seed=7))
    Prediction.objects.update(recorded_at=timezone.now() - timedelta(days=9))
    judge()
    assert not DriftWindow.objects.exists()


def test_every_prediction_is_in_one_window():
    champion()
    ids = [id_ for n in (700, 450, 850) for id_ in record(drawn(n, seed=n))]
    judge()
    covered = [
        set(
            Prediction.objects.filter(arrival__gt=row.after, arrival__lte=row.upto).values_list(
                "pk", flat=True
            )
        )
        for row in DriftWindow.objects.all()
    ]
    assert [len(one) for one in covered] == [500, 500, 500, 500]
    assert {str(pk) for one in covered for pk in one} == set(ids)


def test_rows_that_come_late_are_in_the_next_window():
    """Their ids are of yesterday: older than any in the window before."""
    champion()
    record(drawn(500, seed=8))
    judge()
    yesterday = int((timezone.now() - timedelta(days=1)).timestamp() * 1000)
    late = record(drawn(300, seed=9))
    for pk in late:
        old = uuid.UUID(int=(yesterday << 80) | (uuid.UUID(pk).int & ((1 << 80) - 1)))
        Prediction.objects.filter(pk=pk).update(id=old)
    record(drawn(200, seed=10))
    judge()
    assert [row.n for row in DriftWindow.objects.all()] == [500, 500]


def test_messages_that_come_again_are_not_counted_again():
    champion()
    batch = record(drawn(400, seed=11))
    before = Prediction.objects.count()
    handle([marker(uuid.UUID(batch[0]))])
    judge()
    assert Prediction.objects.count() == before
    assert not DriftWindow.objects.exists()


def test_unanswered_and_erased_predictions_are_left_out():
    ana = make_user("ana", "predictor")
    champion()
    ids = record(drawn(501, seed=12), user_id=ana.pk)
    handle([marker(uuid.UUID(ids[0]))])
    actions.erase_prediction(uuid.UUID(ids[1]), by=ana)
    judge()
    assert not DriftWindow.objects.exists()
    record(drawn(1, seed=13))
    judge()
    assert DriftWindow.objects.get().n == 500


def test_another_version_begins_anew():
    champion()
    record(drawn(300, seed=14), version="1")
    record(drawn(300, seed=15), version="2")
    judge()
    assert not DriftWindow.objects.exists()


def test_a_champion_that_comes_back_begins_anew():
    """Of its first reign 300 shifted rows are in no window; weeks later they are old enough to close one."""
    champion()
    record(shifted(300))
    judge()
    Prediction.objects.update(recorded_at=timezone.now() - timedelta(days=20))
    ended()
    back()
    judge()
    assert not DriftWindow.objects.exists()
    record(drawn(500, seed=26))
    judge()
    found = DriftWindow.objects.get()
    assert (found.n, found.verdict) == (500, "stable")
    assert Prediction.objects.filter(arrival__gt=found.after, arrival__lte=found.upto).count() == 500


def test_what_a_version_answered_before_it_was_champion_is_in_no_window():
    record(shifted(600))
    Prediction.objects.update(recorded_at=timezone.now() - timedelta(hours=1))
    champion(since=timezone.now())
    judge()
    assert not DriftWindow.objects.exists()


def test_a_window_of_a_former_champion_leaves_the_alert_of_the_next_alone():
    """Sent to be judged before the change."""
    champion()
    record(drawn(500, seed=27))
    tasks.look_for_drift()
    windows.fetch_reference(watch())
    ended()
    champion(2)
    record(shifted(500), version="2")
    tasks.look_for_drift()
    windows.judge_waiting(watch(version="2").pk)
    assert windows.next_window(watch().pk).verdict == "stable"
    assert Alert.objects.get().state == "open"


def test_a_worker_that_dies_on_the_way_leaves_nothing_behind(monkeypatch):
    champion()
    record(shifted(500))
    monkeypatch.setattr(windows.alarms, "tell", _die)
    with pytest.raises(KeyboardInterrupt):
        judge()
    assert not DriftWindow.objects.exists()
    assert watch().bookmark == 0
    monkeypatch.undo()


def _die(_window):
    raise KeyboardInterrupt


def test_a_task_that_was_killed_runs_again(monkeypatch):
    champion()
    record(shifted(500))
    with monkeypatch.context() as patch:
        patch.setattr(windows.alarms, "tell", _die)
        with pytest.raises(KeyboardInterrupt):
            judge()
    judge()
    assert (DriftWindow.objects.count(), Alert.objects.count()) == (1, 1)


def test_mlflow_away_is_said_and_tried_again_later(files, sent):
    champion()
    files.is_away = True
    record(drawn(500, seed=16))
    judge()
    row = watch()
    assert row.error == "MLflow does not answer."
    assert row.next_attempt_at > timezone.now()
    sent.clear()
    tasks.look_for_drift()
    assert sent == []  # not before its time
    files.is_away = False
    DriftWatch.objects.update(next_attempt_at=timezone.now())
    judge()
    assert (watch().error, DriftWindow.objects.count()) == ("", 1)


def test_a_reference_that_cannot_be_read_is_said(files):
    champion()
    files.content = b"surprise"
    judge()
    assert "cannot be read" in watch().error


def test_the_reference_is_read_once(files):
    champion()
    record(drawn(1_000, seed=17))
    judge()
    judge()
    assert files.n_read <= 2  # one for the demonstration's watch


def test_a_summary_of_before_an_upgrade_is_made_anew_and_no_prediction_is_lost(files):
    """What format 1 kept cannot be compared any more; the file that it was made from is still there."""
    champion()
    judge()
    DriftWatch.objects.update(summary={"n": 1, "columns": [], "format": 1})
    record(drawn(500, seed=17))
    files.is_away = True
    judge()
    assert (watch().error, DriftWindow.objects.count()) == ("MLflow does not answer.", 0)
    files.is_away = False
    DriftWatch.objects.update(next_attempt_at=timezone.now())
    judge()
    found = DriftWindow.objects.get()
    assert (found.n, found.verdict, watch().summary["format"]) == (500, "stable", 2)


def test_a_look_sends_only_what_has_work(sent):
    champion()
    tasks.look_for_drift()
    assert sent == [watch().pk]  # the reference
    windows.fetch_reference(watch())
    sent.clear()
    record(drawn(499, seed=18))
    tasks.look_for_drift()
    assert sent == []
    record(drawn(1, seed=19))
    tasks.look_for_drift()
    assert sent == [watch().pk]


def test_a_demonstrations_rows_have_windows_of_their_own_and_raise_nothing_for_a_real_model():
    champion()
    visitor = make_user("demo-engineer", "engineer", is_demo=True)
    record(shifted(500), is_demo=True, user_id=visitor.pk)
    record(drawn(499, seed=20))
    judge()
    found = DriftWindow.objects.get()
    assert (found.is_demo, found.is_drifted) == (True, True)
    assert not Alert.objects.exists()
    assert remove_demo() == 1


@pytest.mark.parametrize("is_own", [False, True])
def test_no_look_makes_a_watch_anew_once_the_demonstration_is_removed(is_own: bool):
    champion(is_demo=is_own)
    visitor = make_user("demo-engineer", "engineer", is_demo=True)
    record(shifted(500), is_demo=True, user_id=visitor.pk)
    judge()
    assert DriftWatch.objects.filter(is_demo=True).count() == 1
    actions.remove_demo()
    assert remove_demo() == 1
    judge()
    assert not DriftWatch.objects.filter(is_demo=True).exists()
    assert DriftWatch.objects.count() == (0 if is_own else 1)


def test_a_look_in_the_middle_of_the_removal_leaves_no_watch(monkeypatch: pytest.MonkeyPatch):
    champion()
    visitor = make_user("demo-engineer", "engineer", is_demo=True)
    record(shifted(10), is_demo=True, user_id=visitor.pk)
    made = watches._watch

    def removed_first(of, *, is_demo):
        if is_demo:
            actions.remove_demo()
            remove_demo()
        return made(of, is_demo=is_demo)

    monkeypatch.setattr(watches, "_watch", removed_first)
    tasks.look_for_drift()
    assert list(DriftWatch.objects.values_list("is_demo", flat=True)) == [False]


def test_a_demonstrations_model_raises_its_own_alert():
    champion(is_demo=True)
    visitor = make_user("demo-engineer", "engineer", is_demo=True)
    record(shifted(500), is_demo=True, user_id=visitor.pk)
    judge()
    assert Alert.objects.get().is_demo


def test_the_first_window_of_another_version_ends_the_alert_of_the_one_before():
    champion()
    record(shifted(500))
    judge()
    ended()
    champion(2)
    record(shifted(500, seed=3), version="2")
    judge()
    assert sorted(Alert.objects.values_list("state", "n_findings")) == [("open", 1), ("resolved", 1)]


def test_what_came_while_nobody_watched_is_not_judged():
    sam = make_user("sam", "scientist")
    champion()
    judge()
    change_rules("titanic", by=sam, is_watched=False)
    record(shifted(600))
    judge()
    change_rules("titanic", by=sam, is_watched=True)
    judge()
    assert not DriftWindow.objects.exists()


def test_nor_is_what_came_meanwhile_of_a_version_that_became_champion():
    sam = make_user("sam", "scientist")
    champion()
    judge()
    change_rules("titanic", by=sam, is_watched=False)
    ended()
    champion(2)
    record(shifted(600), version="2")
    change_rules("titanic", by=sam, is_watched=True)
    judge()
    assert not DriftWindow.objects.exists()
    record(drawn(500, seed=25), version="2")
    judge()
    assert DriftWindow.objects.get().verdict == "stable"


def test_the_alert_of_a_model_that_nobody_watches_any_more_is_settled():
    champion()
    record(shifted(500))
    judge()
    judge()
    assert Alert.objects.get().state == "open"
    change_rules("titanic", by=make_user("sam", "scientist"), is_watched=False)
    judge()
    assert Alert.objects.get().state == "resolved"
    assert "not watched" in Alert.objects.get().steps.latest("pk").reason


def test_the_alert_of_a_model_without_a_champion_is_settled():
    champion()
    record(shifted(500))
    judge()
    alerts.acknowledge(Alert.objects.get().pk, by=make_user("eve", "engineer"))
    ended()
    judge()
    assert Alert.objects.get().state == "resolved"
    assert "no champion" in Alert.objects.get().steps.latest("pk").reason


def test_the_alert_of_a_model_that_becomes_champion_during_a_look_stays(monkeypatch):
    """Whoever judges may raise it before the look is at its end."""

    def meanwhile(*_args, **_options):
        champion()
        alerts.raise_alert("drift", subject="titanic", title="t", detail="", facts={})
        return []

    monkeypatch.setattr(tasks.loops.DRIFT, "each", meanwhile)
    tasks.look_for_drift()
    assert Alert.objects.get().state == "open"


def test_alerts_of_other_rules_stay():
    alerts.raise_alert("drift-like", subject="titanic", title="t", detail="", facts={})
    judge()
    assert Alert.objects.get().state == "open"


BAD = {
    "one row": (1, lambda table: table),
    "all missing": (500, lambda table: table.assign(Age=np.nan, Fare=np.nan, Embarked=None)),
    "constant": (500, lambda table: table.loc[[0] * len(table)].reset_index(drop=True)),
}


@pytest.mark.parametrize("name", BAD)
def test_odd_windows_get_a_sound_verdict(name):
    n, change = BAD[name]
    champion()
    DriftRules.objects.create(model="titanic", window_size=n, min_n=min(n, 100))
    record(change(drawn(n, seed=21)))
    judge()
    found = DriftWindow.objects.get()
    assert found.verdict == ("not_enough" if n == 1 else "drifted")


def test_a_score_that_is_missing_is_no_fault():
    champion()
    record(drawn(500, seed=22), probabilities=None, value="a")
    judge()
    found = DriftWindow.objects.get()
    score = next(one for one in found.columns if one["name"] == SCORE)
    assert score["missing"] == 1.0


@pytest.mark.django_db(transaction=True)
def test_two_workers_judge_a_window_once():
    champion()
    record(shifted(500))
    judge_in_threads(4)
    assert (DriftWindow.objects.count(), Alert.objects.count()) == (1, 1)


def judge_in_threads(n: int) -> None:
    tasks.look_for_drift()
    pk = watch().pk
    start = threading.Barrier(n)

    def work() -> None:
        try:
            start.wait(10)
            windows.judge_waiting(pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.django_db(transaction=True)
def test_a_row_that_is_being_recorded_is_waited_for():
    """Its arrival is lower than that of rows that are there already: a window without it would lose it."""
    champion()
    tasks.look_for_drift()
    windows.fetch_reference(watch())
    is_inserted, may_commit = threading.Event(), threading.Event()

    def slowly() -> None:
        try:
            with transaction.atomic():
                record(drawn(1, seed=23))
                is_inserted.set()
                assert may_commit.wait(10)
        finally:
            connection.close()

    slow = threading.Thread(target=slowly)
    slow.start()
    assert is_inserted.wait(10)
    record(drawn(500, seed=24))
    threading.Timer(0.3, may_commit.set).start()
    found = windows.next_window(watch().pk)
    slow.join()
    assert found is not None
    first = Prediction.objects.order_by("arrival").first()
    assert found.after < first.arrival <= found.upto
    assert watch().bookmark < Prediction.objects.order_by("-arrival").first().arrival
