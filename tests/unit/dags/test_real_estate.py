"""The listings' monitor: rows, the decision to train, the model, and what is asked of it. Generated rows."""

import csv
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psycopg2
import pytest
from django.db import connections

from dags.recipes.common import collect, console, decisions, holdout, ledger
from dags.recipes.common.checks import DataInvalid
from dags.recipes.common.collect import CollectError
from dags.recipes.common.database import json_text
from dags.recipes.common.run_folder import DagRun
from dags.recipes.real_estate import asked, data, features, made_up, service, worth
from dags.recipes.real_estate.monitor import MONITOR
from dags.recipes.real_estate.params import DAG_ID, Settings
from scoring import features as columns_of
from scoring.check import RowDecoder
from usecases.models import Batch, CleanRow, Decision, RawRow, RejectedRow

REAL = Path(os.environ.get("CONSOLE_DATA_DIR", "")) / "realtor_head_12886.csv"


def listings(n: int = 400, seed: int = 1, first: int = 0) -> list[dict[str, str]]:
    """As the service gives them: text, empty where it is missing; some of all 12,000."""
    header, *lines = made_up.lines(seed)
    names = header.split(",")
    return [dict(zip(names, row, strict=True)) for row in csv.reader(lines[first : first + n])]


HOUSE = {
    "brokered_by": "103378.0", "status": "for_sale", "price": "105000.0", "bed": "3", "bath": "2",
    "acre_lot": "0.12", "street": "1962661.0", "city": "Adjuntas", "state": "Puerto Rico",
    "zip_code": "00601", "house_size": "920.0", "prev_sold_date": "",
}  # fmt: skip


def house(**changes: Any) -> dict[str, Any]:
    return HOUSE | changes


def reason(row: Any) -> str:
    (rejected,) = data.check([row, house(price="200000")]).rejected
    assert rejected.position == 0
    return rejected.reason


# --- rows


def test_what_is_missing_may_be_missing():
    (row,) = data.check([house(bed="", bath="", house_size="", acre_lot="", street="")]).table.to_dict(
        "records"
    )
    assert np.isnan(row["bed"])
    assert row["house"].startswith("listing ")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"price": "-5"}, "price is -5, outside 1,000 to 2e+07"),
        ({"price": "0"}, "price is 0, outside"),
        ({"price": "99999999999"}, "price is 99999999999, outside"),
        ({"price": ""}, "price is missing"),
        ({"price": "much"}, "price is much, which is no number"),
        ({"price": "1e999"}, "price is 1e999, which is no number"),
        ({"bed": "2.5"}, "bed is 2.5, which is no whole number"),
        ({"house_size": "1450112"}, "house_size is 1450112, outside"),
        ({"city": ""}, "city is missing"),
        ({"zip_code": "no"}, "zip_code is no, which is no five digits"),
        ({"zip_code": "123456"}, "zip_code is 123456, which is no five digits"),
        ({"status": "gone"}, "status holds gone"),
        ({"prev_sold_date": "soon"}, "prev_sold_date is soon, which is no date"),
    ],
)
def test_a_row_that_does_not_fit_says_why(changes, words):
    assert words in reason(house(**changes))


def test_a_row_that_was_cut_is_rejected_with_what_is_lost():
    cut = dict(list(HOUSE.items())[:11])
    assert reason(cut) == "The row is cut: prev_sold_date is not there"
    half = dict(list(HOUSE.items())[:3]) | {"price": "1050"}  # cut within the number too
    assert reason(half).startswith("The row is cut: bed, bath, acre_lot")


def test_numbers_that_are_none_are_kept_as_words():
    checked = data.check([house(acre_lot=float("nan")), house(price=float("inf"))])
    assert checked.rows[0]["acre_lot"] == "nan"
    assert checked.rejected[0].reason == "price is inf, which is no number"


def test_numbers_that_are_none_are_words_however_deep_they_lie():
    (row,) = data.check([house(seen=[{"at": float("nan")}, float("-inf"), 0.1])]).rows
    assert row["seen"] == [{"at": "nan"}, "-inf", 0.1]
    assert json_text(row)


@pytest.mark.parametrize("row", [None, 7, "a,b", ["x"]])
def test_what_is_no_row_is_rejected(row):
    assert reason(row) == "It is no row of named values"


def test_other_columns_are_refused_by_name():
    with pytest.raises(DataInvalid, match="lack the columns price; they have"):
        data.check([{name: value for name, value in HOUSE.items() if name != "price"}] * 3)
    with pytest.raises(DataInvalid, match="lack the columns brokered_by, status"):
        data.check([{"a": 1}])


def test_a_batch_without_rows_has_none():
    checked = data.check([])
    assert (checked.rows, checked.rejected, len(checked.table)) == ([], [], 0)
    assert features.fields(checked.table).empty


@pytest.mark.parametrize(
    ("zip_code", "kept", "n_mended"),
    [
        ("00601", "00601", 0),
        (601, "00601", 1),
        (601.0, "00601", 1),
        ("601", "00601", 1),
        ("10001", "10001", 0),
    ],
)
def test_zip_codes_keep_their_zeros(zip_code, kept, n_mended):
    checked = data.check([house(zip_code=zip_code)])
    assert checked.table["zip_code"].tolist() == [kept]
    assert checked.n_zips_mended == n_mended
    assert checked.rows[0]["zip_code"] == zip_code  # raw stays raw
    assert features.fields(checked.table)["zip_prefix"].tolist() == [kept[:3]]


def test_the_same_listing_of_another_broker_is_the_same_and_a_house_is_one_house():
    rows = data.check([house(), house(brokered_by="7"), house(price="99000")])
    first, same, cheaper = data.clean_rows(rows.table)
    assert first.key == same.key != cheaper.key
    assert len({row.data["house"] for row in (first, same, cheaper)}) == 1


@pytest.mark.skipif(not REAL.is_file(), reason="the real listings are not at hand")
def test_the_real_listings_are_sound_but_for_a_few_and_the_broken_last_row():
    header, *lines = REAL.read_text(encoding="utf-8", errors="replace").splitlines()
    names = header.split(",")
    rows = [dict(zip(names, row, strict=False)) for row in csv.reader(lines)]
    checked = data.check(rows)
    assert len(checked.rows) + len(checked.rejected) == 12_886
    assert len(checked.rejected) < 130
    last = checked.rejected[-1]
    assert (last.position, last.reason) == (12_885, "The row is cut: prev_sold_date is not there")
    assert checked.table["zip_code"].str.len().eq(5).all()
    assert checked.table["zip_code"].str.startswith("00").any()


# --- the decision


def came(rows: list[dict[str, str]], **changes: Any) -> worth.Came:
    table = features.fields(data.check(rows).table)
    told = {"n_new": len(table), "n_rejected": 0, "n_waiting": len(table), "n_rows": len(table)}
    return worth.Came(rows=table, **told | changes)


def learnt(rows: list[dict[str, str]]) -> worth.Learnt:
    table = features.fields(data.check(rows).table)
    return worth.Learnt(4, features.spec(table), table)


def test_first_rows_are_worth_it_for_there_is_no_champion():
    decision = worth.decide(came(listings()), None, Settings())
    assert decision.is_yes
    assert decision.reason == "Trained: There is no champion yet."
    assert [criterion.name for criterion in decision.criteria] == [
        "quality", "new rows", "volume", "all rows", "no champion",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_rejected": 400}, r"400 of 800 rows were rejected \(50.0 %; at most 20.0 % is fine\)"),
        ({"n_waiting": 12}, "12 new rows have come since the last training; 300 are enough"),
        ({"n_rows": 100}, "100 rows to learn from; at least 300 are needed"),
        ({"n_new": 0}, "0 rows of this batch were not there before"),
        ({"over": "Ya se recolectó"}, r"has given all that there is \(Ya se recolectó\)"),
    ],
)
def test_what_lacks_is_said_and_nothing_is_trained(changes, words):
    decision = worth.decide(came(listings(), **changes), None, Settings())
    assert not decision.is_yes
    assert decision.reason.startswith("Not trained: ")
    assert re.search(words, decision.reason)


def test_all_rows_rejected_is_no_ground_to_train():
    decision = worth.decide(came([], n_rejected=50), None, Settings())
    assert not decision.is_yes
    assert "50 of 50 rows were rejected (100.0 %" in decision.reason


def test_rows_like_those_before_are_not_worth_it():
    rows = listings(1000)
    decision = worth.decide(came(rows[::2]), learnt(rows[1::2]), Settings())
    assert not decision.is_yes
    assert "moved most" in decision.reason
    assert decision.champion_version == 4


def test_other_regions_are_drift_and_new_places_with_their_numbers():
    decision = worth.decide(came(listings(first=9_000)), learnt(listings(800)), Settings())
    found = {criterion.name: criterion for criterion in decision.criteria}
    assert decision.is_yes
    assert (found["PSI"].passed, found["new places"].passed) == (True, True)
    assert found["PSI"].value > found["PSI"].threshold == 0.25
    assert found["new places"].value == 1
    assert "New Hampshire" in found["new places"].sentence
    assert "State or territory" in found["PSI"].sentence


def test_dearer_houses_alone_are_drift_by_both_measures():
    rows = listings(1000)
    dearer = [row | {"price": str(float(row["price"]) * 1.6)} for row in rows[::2]]
    decision = worth.decide(came(dearer), learnt(rows[1::2]), Settings())
    found = {criterion.name: criterion for criterion in decision.criteria}
    assert found["PSI"].passed
    assert found["Wasserstein distance"].passed
    assert "price" in found["Wasserstein distance"].sentence


def test_few_rows_drift_only_where_that_is_sure():
    rows = listings(1000)
    decision = worth.decide(came(rows[:20]), learnt(rows[20:]), Settings(min_new_rows=1, min_rows=1))
    assert not decision.is_yes


def test_a_constant_column_and_a_missing_one_are_no_trouble():
    plain = [row | {"bath": "2", "acre_lot": ""} for row in listings(500)]
    decision = worth.decide(came(plain), learnt(plain), Settings())
    assert not decision.is_yes


# --- the service


class FakeService:
    """Answers one after the other; the last one for ever."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.calls: list[dict[str, str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(dict(request.url.params))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def given(rows: list[Any], number: int = 1, **changes: Any) -> httpx.Response:
    batch = {"group_number": 1, "day": "Tuesday", "batch_number": number, "data": rows}
    return httpx.Response(200, json=batch | changes, headers={"X-Data-Source": "file"})


def over() -> httpx.Response:
    return httpx.Response(400, json={"detail": "Ya se recolectó toda la información mínima necesaria"})


@pytest.fixture
def serve(monkeypatch):
    """A service with these answers; its waits take no time and are kept."""
    waits: list[float] = []

    def start(*answers: httpx.Response | Exception) -> FakeService:
        fake = FakeService(*answers)
        monkeypatch.setenv("ATALAYA_COURSE_API", "http://course")
        monkeypatch.setattr(
            collect,
            "connect",
            lambda address: collect.Service(address, transport=httpx.MockTransport(fake)),
        )
        monkeypatch.setattr(collect.time, "sleep", waits.append)
        return fake

    start.waits = waits
    return start


def test_a_batch_is_asked_for_once(serve):
    fake = serve(given([HOUSE]))
    found = service.ask(1, "Tuesday")
    assert fake.calls == [{"group_number": "1", "day": "Tuesday"}]
    assert (found.batch.batch_number, found.served_from) == (1, "file")


def test_the_end_is_told_by_its_status(serve):
    serve(over())
    found = service.ask(1, "Tuesday")
    assert found.batch is None
    assert "Ya se recolectó" in found.words


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.ConnectError("connection refused"),
        httpx.Response(503, text="oops"),
        httpx.Response(429, json={"detail": "Demasiadas"}, headers={"Retry-After": "7"}),
    ],
    ids=["down", "503", "429"],
)
def test_trouble_that_passes_is_waited_for(serve, trouble):
    serve(trouble, given([HOUSE]))
    assert service.ask(1, "Tuesday").batch is not None
    assert serve.waits == [7.0 if getattr(trouble, "status_code", 0) == 429 else 1.0]


@pytest.mark.parametrize("trouble", [httpx.ReadTimeout("timed out"), httpx.Response(500, text="oops")])
def test_a_batch_that_may_have_been_given_is_not_asked_for_again_in_silence(serve, trouble):
    fake = serve(trouble, given([HOUSE], 2))
    with pytest.raises(CollectError, match="may have moved on"):
        service.ask(1, "Tuesday")
    assert len(fake.calls) == 1


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (httpx.ConnectError("connection refused"), "does not answer: connection refused"),
        (httpx.ReadTimeout("timed out"), "did not answer within"),
        (httpx.Response(500, text="oops"), "answered 500: oops"),
        (httpx.Response(429, json={"detail": "Demasiadas"}), "answered 429: Demasiadas"),
        (httpx.Response(404, text="no"), "refused .404.: no"),
        (httpx.Response(200, text="{"), "broken JSON"),
        (httpx.Response(200, content=b"\xff"), "broken JSON"),
        (httpx.Response(200, json=[]), "answered with list"),
        (httpx.Response(200, json={"data": []}), "no batch"),
        (given([], data="x"), "no batch"),
        (given([], group_number=2), "answered for group 2"),
        (given([], day="Wednesday"), "on Wednesday"),
    ],
)
def test_trouble_that_stays_is_said(serve, trouble, words):
    serve(trouble)
    with pytest.raises(CollectError, match=words):
        service.ask(1, "Tuesday")


def test_no_address_is_said(monkeypatch):
    monkeypatch.delenv("ATALAYA_COURSE_API", raising=False)
    with pytest.raises(CollectError, match="lacks ATALAYA_COURSE_API"):
        service.ask(1, "Tuesday")


# --- a run, up to its decision


@pytest.fixture
def ledger_database(transactional_db, monkeypatch, tmp_path):
    values = connections["usecases"].settings_dict
    url = psycopg2.extensions.make_dsn(
        host=values["HOST"], port=values["PORT"] or None, user=values["USER"], dbname=values["NAME"]
    )
    monkeypatch.setenv("ATALAYA_USECASES_URL", url)
    monkeypatch.setenv("ATALAYA_WORK_DIR", str(tmp_path / "runs"))
    monkeypatch.setattr(console, "connect", lambda _dag_id: httpx.Client())
    monkeypatch.setattr(console, "champion", lambda _client, _model: None)


in_database = pytest.mark.django_db(transaction=True, databases=["default", "usecases"])


def run(number: int = 1, **params: Any) -> DagRun:
    return DagRun(DAG_ID, f"manual__{number}", params)


def go(one: DagRun) -> dict[str, Any]:
    MONITOR.fetch(one)
    MONITOR.validate(one)
    MONITOR.keep(one)
    return MONITOR.decide(one)


@in_database
def test_a_batch_is_kept_with_its_rejected_rows_and_decided_upon(ledger_database, serve):
    serve(given([*listings(350), house(price="-1"), dict(list(HOUSE.items())[:11])]))
    assert go(run())["train"]
    batch = Batch.objects.get()
    assert (batch.key, batch.rows_in, batch.rows_new, batch.rows_rejected) == (
        "group 1 Tuesday batch 1", 352, 350, 2,
    )  # fmt: skip
    assert batch.facts["the service reads"] == "file"
    assert (RawRow.objects.count(), CleanRow.objects.count(), RejectedRow.objects.count()) == (350, 350, 2)
    assert "The row is cut" in RejectedRow.objects.order_by("-position").first().reason
    assert Decision.objects.get().is_yes


@in_database
def test_a_run_that_is_tried_again_asks_and_writes_nothing_twice(ledger_database, serve):
    fake = serve(given(listings(350)), over())
    first, again = go(run()), go(run())
    assert first == again
    assert len(fake.calls) == 1
    assert (Batch.objects.count(), CleanRow.objects.count(), Decision.objects.count()) == (1, 350, 1)


@in_database
def test_the_same_batch_twice_adds_nothing_and_is_not_trained_on(ledger_database, serve):
    serve(given(listings(350)))
    go(run(1))
    found = go(run(2))
    assert not found["train"]
    assert "0 rows of this batch were not there before" in found["reason"]
    assert (Batch.objects.count(), RawRow.objects.count()) == (1, 350)


@in_database
def test_batches_that_the_service_gave_to_nobody_are_said(ledger_database, serve, capsys):
    numbers = (1, 2, 4, 8)
    serve(*(given(listings(100)[n * 10 :][:10], number) for n, number in enumerate(numbers)))
    for number in numbers:
        go(run(number))
    missed = [batch.facts.get("batches missed") for batch in Batch.objects.order_by("id")]
    assert missed == [None, None, "3", "5 to 7"]
    assert "batches missed are 5 to 7" in capsys.readouterr().out
    serve(given(listings(120)[110:], 2, day="Wednesday"))
    go(run(9, day="Wednesday"))  # another day counts for itself
    assert Batch.objects.latest("id").facts["batches missed"] == "1"


@in_database
def test_few_rows_wait_until_enough_have_come(ledger_database, serve):
    serve(
        *(
            given(listings(350)[start : start + 100], number)
            for number, start in enumerate((0, 100, 200, 250))
        )
    )
    found = []
    for number in range(4):
        one = run(number, min_new_rows=150, min_rows=1)
        found.append(go(one))
        if found[-1]["train"]:
            decisions.decide("real_estate", decisions.Decision("promote", False, "Worse."), run=one)
    # the fourth brings fifty that were not there before, which with the third's hundred are enough
    assert [one["train"] for one in found] == [False, True, False, True]
    assert "100 new rows have come since the last training; 150 are enough" in found[2]["reason"]
    assert Batch.objects.order_by("id").last().rows_new == 50


@in_database
def test_a_training_that_never_came_to_its_end_leaves_its_rows_waiting(ledger_database, serve):
    serve(*(given(listings(400)[n * 200 :][:200], n) for n in range(2)))
    assert go(run(0, min_new_rows=150, min_rows=1))["train"]  # and then MLflow was away, say
    assert ledger.clean_since_training("real_estate", run=run(1)) == 200
    go(run(1, min_new_rows=150, min_rows=1))
    waiting = next(c for c in Decision.objects.latest("id").criteria if c["name"] == "volume")
    assert waiting["value"] == 400


@in_database
def test_when_all_was_given_the_run_succeeds_and_says_so(ledger_database, serve):
    serve(over())
    found = go(run())
    assert not found["train"]
    assert "has given all that there is" in Decision.objects.get().reason
    assert not Batch.objects.exists()


@in_database
def test_a_batch_with_too_many_bad_rows_is_kept_apart_and_not_trained_on(ledger_database, serve):
    serve(given([house(price="-1", street=str(number)) for number in range(400)]))
    found = go(run())
    assert "400 of 400 rows were rejected" in found["reason"]
    assert (RawRow.objects.count(), RejectedRow.objects.count()) == (0, 400)


# --- what is asked of the model


def prediction(number: int, minute: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"0199-{number:04}", "at": f"2026-11-01T10:{minute:02}:00+00:00", "model": "real_estate",
        "version": "1", "value": 250_000.0, "inputs": {"city": "Ponce", "owner": "Ana"}, "actual": None,
    } | changes  # fmt: skip


class FakePredictions:
    """The console's list of predictions, two on a page, newest first."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/spec"):
            fields = [{"name": "city"}, {"name": "owner", "personal": True}]
            return httpx.Response(200, json={"fields": fields})
        assert request.url.params["all"] == "true"
        first = int(request.url.params.get("cursor", 0))
        newest = self.rows[::-1][first : first + 2]
        more = f"http://console/api/v1/predictions?all=true&cursor={first + 2}"
        return httpx.Response(
            200, json={"results": newest, "next": more if first + 2 < len(self.rows) else None}
        )


@in_database
def test_inputs_of_predictions_become_raw_rows_once_without_what_is_personal(ledger_database):
    fake = FakePredictions()
    client = httpx.Client(base_url="http://console", transport=httpx.MockTransport(fake))
    assert asked.keep(client, "real_estate", "real_estate", run=run(1)) == {"kept": 0}
    fake.rows = [prediction(number, number) for number in range(5)]
    assert asked.keep(client, "real_estate", "real_estate", run=run(2)) == {"kept": 5}
    fake.rows[4]["actual"] = 300_000  # what is learnt later makes no new row
    assert asked.keep(client, "real_estate", "real_estate", run=run(3)) == {"kept": 0}
    fake.rows += [prediction(7, 9)]
    fake.rows.insert(2, prediction(6, 2))  # one that came late
    assert asked.keep(client, "real_estate", "real_estate", run=run(4)) == {"kept": 2}
    assert RawRow.objects.count() == 7
    row = RawRow.objects.order_by("id").first().data
    assert (row["prediction_id"], row["inputs"]) == ("0199-0000", {"city": "Ponce"})
    assert not CleanRow.objects.exists()
    assert Batch.objects.order_by("id").last().facts["kind"] == "inputs of predictions"


# --- the model


def test_fields_fit_the_spec_that_they_make():
    rows = features.fields(data.check(listings(600)).table)
    spec = features.spec(rows)
    told = rows[features.FIELDS].astype(object).where(rows.notna(), None).to_dict("records")
    checked = RowDecoder(spec).decode_rows(told)
    assert not any(checked.warnings)
    assert [(demand.metric, demand.at_least) for demand in spec.gate] == [("mae", 0.03), ("rmse", -0.01)]


def test_houses_are_held_out_whole():
    rows = features.fields(data.check([house(), house(price="90000"), house(price="80000")]).table)
    assert len(set(holdout.is_holdout(rows["house"], 0.5).tolist())) == 1


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("trained")


@pytest.fixture
def trained(ledger_database, serve, kept):
    """A run with its model: trained for the first test, whose files the others get."""
    one = run(1, n_iter=1, seed=42, holdout_share=0.2)
    if any(kept.iterdir()):
        shutil.copytree(kept, one.folder.path, dirs_exist_ok=True)
        return one
    serve(given(listings(700, first=4_000)))
    go(one)
    for name in ("load", "split", "features", "search"):
        getattr(MONITOR, name)(one)
    shutil.copytree(one.folder.path, kept, dirs_exist_ok=True)
    return one


@in_database
def test_the_model_beats_the_mean_and_its_spec_knows_the_usual_error(trained):
    from dags.recipes.common import evidence
    from scoring.originals import Original
    from scoring.spec_reading import read_spec

    folder = trained.folder
    spec = read_spec(folder.read_bytes("spec.json"))
    model = Original(folder.read_model("model.bin"), spec)
    figures = evidence.figures(
        spec, model, folder.read_table("train.parquet"), folder.read_table("holdout.parquet")
    )
    assert figures["holdout"]["mae"] < 0.7 * figures["baseline"]["mae"]
    assert spec.output.usual_error > 0
    told = set(folder.read_table("holdout.parquet")["house"])
    assert told.isdisjoint(folder.read_table("train.parquet")["house"])


@in_database
def test_the_model_compiles_and_answers_alike(trained):
    """Also with what it never saw: places, nothing known of the house."""
    from scoring import convert
    from scoring.alike import Scale
    from scoring.originals import Original
    from scoring.score import Scorer, score_of
    from scoring.spec_reading import read_spec

    folder = trained.folder
    spec = read_spec(folder.read_bytes("spec.json"))
    original = Original(folder.read_model("model.bin"), spec)
    compiled = Scorer.from_onnx(convert.to_onnx(original), spec)
    rows = folder.read_table("holdout.parquet").drop(columns=["label", "house"]).head(40)
    groups = [(where, columns_of.frame(spec, table)) for where, table in convert.rows_to_compare(spec, rows)]
    scale = Scale.of(score_of(original.predict(columns_of.frame(spec, rows))))
    parity = convert.compare(original, compiled, groups, scale)
    assert parity.rows > 40
    assert parity.holds


@in_database
@pytest.mark.parametrize(("told", "source"), [("file", "file"), ("synthetic", "synthetic"), ("", "api")])
def test_a_model_says_what_the_service_said_of_its_rows(ledger_database, serve, told, source):
    answer = given(listings(400))
    answer.headers["X-Data-Source"] = told
    serve(answer)
    one = run(1, n_iter=1, seed=42, holdout_share=0.2)
    go(one)
    assert MONITOR.load(one)["data_source"] == source
    assert one.folder.read_json("source.json")["facts"] == {"data_via": "api"}


@in_database
def test_a_constant_label_cannot_be_learnt(ledger_database, serve):
    serve(given([row | {"price": "100000"} for row in listings(400)]))
    one = run(1, n_iter=1, seed=42, holdout_share=0.2)
    go(one)
    MONITOR.load(one)
    MONITOR.split(one)
    with pytest.raises(DataInvalid, match="same label"):
        MONITOR.features(one)


@in_database
def test_a_constant_column_is_named_and_the_rest_is_learnt(ledger_database, serve, capsys):
    serve(given([row | {"state": "Ohio", "city": "Dayton", "acre_lot": ""} for row in listings(500)]))
    one = run(1, n_iter=1, seed=42, holdout_share=0.2)
    go(one)
    for name in ("load", "split", "features", "search"):
        getattr(MONITOR, name)(one)
    assert "Always the same, so they teach nothing: state, city, acre_lot" in capsys.readouterr().out


@in_database
def test_shap_speaks_of_fields_not_of_each_town(trained):
    MONITOR.explain(trained)
    importance = trained.folder.read_json("shap.json")
    columns = [*features.FIELDS, "is_land", "is_sold_before", "size_per_bed", "baths_per_bed", "built_share"]
    assert set(importance) == set(columns)
    assert importance["house_size"] > 0
    assert trained.folder.read_bytes("shap_summary.png").startswith(b"\x89PNG")


# --- the gate, and who lets it live


class FakeGate:
    """The console after a verdict. live: the policy has promoted by itself."""

    def __init__(self, verdict: str = "passed", *, live: bool = False, refused: bool = False) -> None:
        self.state = "champion" if live else verdict
        self.gate = {
            "state": verdict,
            "is_conclusive": True,
            "champion_version": None,
            "metrics": {"candidate": {"mae": 1.0}},
            "checks": [
                {
                    "name": "baseline",
                    "verdict": verdict,
                    "sentence": "mae 1 is told.",
                    "value": 1,
                    "threshold": 2,
                }
            ],
        }
        self.refused = refused
        self.asked: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/promotions"):
            self.asked.append({"key": request.headers["Idempotency-Key"], **json.loads(request.content)})
            return httpx.Response(409 if self.refused else 202, json={"detail": "asked for already"})
        return httpx.Response(200, json={"state": self.state, "gate": self.gate})


def judged(fake: FakeGate, monkeypatch) -> Decision:
    transport = httpx.MockTransport(fake)
    monkeypatch.setattr(
        console, "connect", lambda _dag_id: httpx.Client(base_url="http://console", transport=transport)
    )
    one = run()
    one.folder.write_json("shap.json", {"bed": 0.5})
    MONITOR.gate(one, {"version": "3"})
    return Decision.objects.get()


@in_database
def test_what_passed_is_proposed_with_its_reason(ledger_database, monkeypatch):
    fake = FakeGate()
    decision = judged(fake, monkeypatch)
    assert decision.is_yes
    assert decision.shap == {"candidate": {"bed": 0.5}}
    (asked_for,) = fake.asked
    assert asked_for["reason"] == decision.reason == "It passed every check of the gate. mae 1 is told."
    assert asked_for["key"] == "manual__1:promotion:3"


@in_database
@pytest.mark.parametrize("fake", [FakeGate("failed"), FakeGate(live=True)], ids=["failed", "live"])
def test_what_failed_or_is_live_is_not_proposed(ledger_database, monkeypatch, fake):
    decision = judged(fake, monkeypatch)
    assert fake.asked == []
    assert decision.is_yes == (fake.state == "champion")
    assert "mae 1 is told." in decision.reason


@in_database
def test_what_was_proposed_before_is_no_trouble(ledger_database, monkeypatch, capsys):
    judged(FakeGate(refused=True), monkeypatch)
    assert "The promotion is not asked for: asked for already" in capsys.readouterr().out
