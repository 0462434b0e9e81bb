"""The ledger of the use cases, against the tables that the console's migrations make."""

import json
import threading

import pandas as pd
import psycopg2
import pytest
from django.db import connections

from dags.recipes.common import checks, decisions, ledger
from dags.recipes.common.checks import Column, DataInvalid
from dags.recipes.common.decisions import Criterion, Decision
from dags.recipes.common.ledger import Clean, Origin, Rejected
from dags.recipes.common.run_folder import DagRun
from usecases.models import Batch, CleanRow, RawRow, RejectedRow, TrainingBatch
from usecases.models import Decision as DecisionRow

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "usecases"])

ORIGIN = Origin("file", "rows.csv", "ab" * 32)


def run(run_id: str = "manual__1") -> DagRun:
    return DagRun("load", run_id, {})


@pytest.fixture(autouse=True)
def database(monkeypatch):
    """Pipelines reach the tests' own database."""
    values = connections["usecases"].settings_dict
    parts = {name: values[name] for name in ("HOST", "PORT", "USER", "PASSWORD", "NAME")}
    url = psycopg2.extensions.make_dsn(
        host=parts["HOST"], port=parts["PORT"] or None, user=parts["USER"], dbname=parts["NAME"]
    )
    monkeypatch.setenv("ATALAYA_USECASES_URL", url)


def add(key="1", rows=({"a": 1}, {"a": 2}), run_id="manual__1", **more):
    return ledger.add_batch("forest", key, run=run(run_id), origin=ORIGIN, rows=rows, **more)


def test_a_batch_is_taken_once_however_often_it_comes():
    first = add()
    again, caught_up = add(rows=[{"a": 3}]), add(rows=[{"a": 3}], run_id="scheduled__2")
    assert (first.rows_in, first.rows_new, first.is_known) == (2, 2, False)
    assert again == caught_up
    assert (again.rows_in, again.rows_new, again.is_known) == (2, 2, True)
    assert [row.data for row in RawRow.objects.order_by("id")] == [{"a": 1}, {"a": 2}]


def test_a_key_longer_than_its_column_keeps_its_beginning_and_stays_one_of_its_own():
    address = "https://example.org/" + "x" * 300
    first, again, other = add(f"{address} a"), add(f"{address} a"), add(f"{address} b")
    assert (first.is_known, again.is_known, other.is_known) == (False, True, False)
    kept = Batch.objects.order_by("id").values_list("key", flat=True)
    assert [len(key) for key in kept] == [200, 200]
    assert all(key.startswith(address[:187]) for key in kept)
    assert ledger.key_of("group 1 batch 2") == "group 1 batch 2"
    more = {"rows_in": 1, "rows_rejected": 0, "facts": {}}
    noted = ledger.note_batch("forest", f"{address} a", run=run(), origin=ORIGIN, **more)
    assert noted.batch_id == first.batch_id


def test_the_same_row_is_kept_once_whatever_the_order_of_its_names():
    add("1", [{"a": 1, "b": None}, {"b": None, "a": 1}])
    added = add("2", [{"b": None, "a": 1}, {"a": "1", "b": None}])
    assert (added.rows_new, added.rows_duplicate) == (1, 1)
    assert Batch.objects.get(key="1").rows_duplicate == 1
    other = ledger.add_batch("titanic", "1", run=run(), origin=ORIGIN, rows=[{"a": 1, "b": None}])
    assert other.rows_new == 1  # another use case's rows are its own


ODD = ["tab\there", "line\nend\r", "\\N", "\\u0000", "nul\x00", "half \ud800", "ñ 日本 🏠", "", '"', "\\"]


@pytest.mark.parametrize("text", ODD, ids=ascii)
def test_any_text_is_kept_as_it_is(text):
    add(rows=[{"t": text}], rejected=[Rejected(1, text, text)], clean=[Clean(text or "k", {"t": text})])
    kept = text.replace("\x00", "\ufffd").replace("\ud800", "?")
    assert RawRow.objects.get().data == {"t": kept}
    assert (RejectedRow.objects.get().reason, RejectedRow.objects.get().row) == (kept, kept)
    assert CleanRow.objects.get().data == {"t": kept}


def test_nothing_is_half_written():
    with pytest.raises(ValueError, match="JSON"):
        add(rows=[{"a": 1}, {"a": float("nan")}])
    assert not Batch.objects.exists()
    assert not RawRow.objects.exists()


def test_rows_keep_their_place_beside_rejected_ones():
    add(rows=[{"a": 1}, {"a": 3}], rejected=[Rejected(1, "a is odd", "x")])
    assert [row.position for row in RawRow.objects.order_by("id")] == [0, 2]


def test_a_batch_whose_rows_lie_elsewhere_is_written_anew_when_it_comes_again():
    def note(key, run_id, rows_in):
        told = {"rows_in": rows_in, "rows_rejected": 1, "facts": {"trips": run_id}}
        return ledger.note_batch("taxi", key, run=run(run_id), origin=ORIGIN, **told)

    note("a", "r1", 5)
    note("b", "r2", 6)
    note("a", "r3", 7)
    newest = ledger.newest_batch("taxi")
    assert (newest.key, newest.facts) == ("a", {"trips": "r3"})
    row = Batch.objects.get(key="a")
    assert (row.rows_in, row.rows_new, row.rows_rejected, row.dag_run_id) == (7, 6, 1, "r3")


def test_rejected_rows_are_counted_with_their_reasons():
    added = add(rows=[{"a": 1}], rejected=[Rejected(4, "a is missing", "x" * 5000)])
    assert (added.rows_in, added.rows_new, added.rows_rejected) == (2, 1, 1)
    row = RejectedRow.objects.get()
    assert (row.position, row.reason, len(row.row)) == (4, "a is missing", 2000)


def test_clean_rows_come_back_in_their_order_and_a_key_is_kept_once():
    add(clean=[Clean("b", {"x": 1}, "train"), Clean("a", {"x": 2}, "test"), Clean("b", {"x": 3}, "train")])
    add("2", [{"a": 9}], clean=[Clean("c", {"x": 4}, "train")])
    table = ledger.clean_rows("forest")
    assert table[["key", "part", "x"]].to_numpy().tolist() == [
        ["b", "train", 1],
        ["a", "test", 2],
        ["c", "train", 4],
    ]
    assert ledger.clean_rows("forest", part="train")["key"].tolist() == ["b", "c"]
    assert ledger.clean_rows("forest", part="train", first=1, last=5)["key"].tolist() == ["c"]
    assert ledger.clean_rows("other").empty


def test_raw_rows_say_their_batch_and_place():
    added = add(rows=[{"a": 5}, {"a": 6}])
    table = ledger.raw_rows("forest", added.batch_id)
    assert table[["a", "position"]].to_numpy().tolist() == [[5, 0], [6, 1]]


def test_training_moves_on_by_batches_and_a_retry_gets_the_same_one():
    add(clean=[Clean(str(n), {"x": n}, "train" if n < 5 else "test") for n in range(7)])
    taken = [ledger.next_training_batch("forest", run=run(f"r{n}"), size=2) for n in range(4)]
    assert [(one.number, one.first, one.last) if one else None for one in taken] == [
        (1, 0, 2), (2, 2, 4), (3, 4, 5), None,
    ]  # fmt: skip
    assert ledger.next_training_batch("forest", run=run("r1"), size=2) == taken[1]
    assert TrainingBatch.objects.count() == 3


def test_runs_at_once_never_take_the_same_rows():
    add(clean=[Clean(str(n), {"x": n}, "train") for n in range(8)])
    taken: list = []
    threads = [
        threading.Thread(
            target=lambda n=n: taken.append(ledger.next_training_batch("forest", run=run(f"r{n}"), size=2))
        )
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted((one.first, one.last) for one in taken) == [(0, 2), (2, 4), (4, 6), (6, 8)]


def test_a_decision_is_written_anew_by_a_retry():
    criterion = Criterion("volume", passed=False, sentence="Too few.", value=3.0, threshold=10.0)
    for reason in ("first", "second"):
        decision = Decision(
            "train", is_yes=False, reason=reason, criteria=[criterion], shap={"candidate": {"a": 0.5}}
        )
        decisions.decide("forest", decision, run=run())
    row = DecisionRow.objects.get()
    assert (row.reason, row.is_yes, row.shap) == ("second", False, {"candidate": {"a": 0.5}})
    assert row.criteria == [
        {"name": "volume", "passed": False, "sentence": "Too few.", "value": 3.0, "threshold": 10.0}
    ]


def test_clear_says_what_it_removed_and_leaves_decisions_and_others():
    add(rejected=[Rejected(9, "odd", "x")], clean=[Clean("k", {})])
    ledger.add_batch("titanic", "1", run=run(), origin=ORIGIN, rows=[{"a": 1}])
    decisions.decide("forest", Decision("train", is_yes=True, reason="enough"), run=run())
    told = ledger.clear("forest")
    assert told == {"batch": 1, "raw_row": 2, "clean_row": 1, "rejected_row": 1, "training_batch": 0}
    assert set(ledger.counts("forest").values()) == {0}
    assert (Batch.objects.get().usecase, DecisionRow.objects.count()) == ("titanic", 1)


# --- rows that do not fit


COLUMNS = [
    Column("id", "integer"),
    Column("fare", "number", low=0, high=100, may_be_missing=True),
    Column("sex", "text", allowed=frozenset({"m", "f"})),
]


def test_each_row_that_does_not_fit_says_every_reason():
    table = pd.DataFrame(
        {"id": ["1", "2", "3.5", None, "5", "5"], "fare": ["7.25", "-1", "?", "x", "", "inf"],
         "sex": ["m", "q", " f ", "m", "f", "f"], "other": list("abcdef")}
    )  # fmt: skip
    sound = checks.sort_out(table, COLUMNS, unique=["id"])
    assert sound.table[["id", "sex", "other"]].to_numpy().tolist() == [[1.0, "m", "a"], [5.0, "f", "e"]]
    assert {row.position: row.reason for row in sound.rejected} == {
        1: "fare is -1, outside 0 to 100; sex holds q, which is none of its values",
        2: "id is 3.5, which is no whole number",
        3: "id is missing; fare is x, which is no number",
        5: "fare is inf, which is no number",
    }
    assert sound.share_rejected == pytest.approx(4 / 6)


def test_the_sound_one_of_two_rows_with_one_name_is_kept():
    table = pd.DataFrame({"id": [1, 1, 1], "fare": [-1, 5, 6], "sex": ["m", "m", "m"]})
    sound = checks.sort_out(table, COLUMNS, unique=["id"])
    assert sound.table["fare"].tolist() == [5.0]
    assert [row.position for row in sound.rejected] == [0, 2]


@pytest.mark.parametrize(
    "odd",
    [[1, 2], {"a": 1}, 10**5000, True, float("nan"), "1e999", "\x00"],
    ids=["list", "object", "huge", "boolean", "nan", "1e999", "nul"],
)
def test_one_odd_value_is_its_own_rows_fault(odd):
    table = pd.DataFrame({"id": [1, odd, 3], "fare": [1, 2, 3], "sex": ["m", "f", "m"]}, dtype=object)
    sound = checks.sort_out(table, COLUMNS, unique=["id"])
    assert sound.table["id"].tolist() == [1.0, 3.0]
    assert [row.position for row in sound.rejected] == [1]


def test_large_whole_numbers_are_among_their_values():
    column = Column("code", "integer", allowed=frozenset({"1234567", "1"}))
    table = pd.DataFrame({"code": [1234567, 1, None]})
    assert checks.sort_out(table, [column]).table["code"].tolist() == [1234567.0, 1.0]


def test_a_row_is_the_same_whatever_else_is_in_its_table():
    whole, gap = pd.DataFrame({"b": [1, 2]}), pd.DataFrame({"b": [1, None]})
    assert checks.row_texts(whole)[0] == checks.row_texts(gap)[0]
    add("1", checks.records(whole))
    assert add("2", checks.records(gap)).rows_duplicate == 1


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(DataInvalid, match=r"lacks the columns fare, sex; it has id\."):
        checks.sort_out(pd.DataFrame({"id": [1]}), COLUMNS)


def test_no_rows_are_no_fault_of_any_row():
    sound = checks.sort_out(pd.DataFrame({"id": [], "fare": [], "sex": []}), COLUMNS, unique=["id"])
    assert (len(sound.table), sound.rejected, sound.share_rejected) == (0, [], 0.0)


def test_nothing_to_learn_is_said():
    with pytest.raises(DataInvalid, match="same label"):
        checks.require_learnable(pd.DataFrame({"a": [1, 2], "label": [1, 1]}), beside=["label"])
    with pytest.raises(DataInvalid, match="one value only"):
        checks.require_learnable(pd.DataFrame({"a": [1, 1], "label": [0, 1]}), beside=["label"])


def test_one_constant_column_is_named_and_no_fault(capsys):
    table = pd.DataFrame({"a": [1, 1], "b": [1, 2], "label": [0, 1]})
    checks.require_learnable(table, beside=["label"])
    assert "teach nothing: a." in capsys.readouterr().out


def test_records_are_what_json_has():
    table = pd.DataFrame({"n": [1.5, None], "i": [1, 2], "t": ["a", None], "b": [True, False]})
    rows = checks.records(table)
    assert rows == [{"n": 1.5, "i": 1, "t": "a", "b": True}, {"n": None, "i": 2, "t": None, "b": False}]
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
