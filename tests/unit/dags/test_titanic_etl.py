"""The Titanic's list into the database and the feature store, and training from there."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from dags.recipes.common import feature_store, sources
from dags.recipes.common.checks import DataInvalid
from dags.recipes.common.feature_store import Invalid, NotThere, StoreAway
from dags.recipes.common.run_folder import DagRun
from dags.recipes.common.sources import SourceError
from dags.recipes.titanic import data, etl, features
from dags.recipes.titanic.params import DAG_ID, ENTITY, ETL_DAG_ID, FILE_NAME
from dags.recipes.titanic.training import TRAINING
from usecases.models import Batch, CleanRow, RawRow, RejectedRow

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "usecases"])

HEAD = ",".join(data.COLUMNS)
BRAUND = '1,0,3,"Braund, Mr. Owen Harris",male,22,1,0,A/5 21171,7.25,,S'
HEIKKINEN = '3,1,3,"Heikkinen, Miss. Laina",female,,0,0,STON/O2. 3101282,7.925,,'
REAL = Path(os.environ.get("CONSOLE_DATA_DIR") or "/nowhere")
STEPS = ("extract", "check", "store", "write_features")


@pytest.fixture(autouse=True)
def world(usecases_database, features_redis, monkeypatch, tmp_path):
    """A folder of input files, run folders of its own, and no address that answers."""
    monkeypatch.setenv("ATALAYA_WORK_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("CONSOLE_DATA_DIR", str(tmp_path))

    def refuse(url: str) -> None:
        raise SourceError(f"{url} did not answer.")

    monkeypatch.setattr(sources, "_from_url", refuse)


@pytest.fixture
def give(tmp_path):
    """The file that the next run finds."""

    def write(*lines: str) -> None:
        (tmp_path / FILE_NAME).write_text("\n".join([HEAD, *lines]) + "\n", encoding="utf-8")

    return write


def run_all(run_id: str = "manual__1", **params) -> DagRun:
    run = DagRun(ETL_DAG_ID, run_id, params)
    for name in STEPS:
        getattr(etl, name)(run)
    return run


def the_store():
    return feature_store.connect()


def test_a_list_goes_into_the_database_and_the_feature_store(give):
    give(BRAUND, HEIKKINEN)
    run_all()
    batch = Batch.objects.get()
    assert (batch.usecase, batch.data_source, batch.origin) == ("titanic", "file", FILE_NAME)
    assert (batch.rows_in, batch.rows_new, batch.rows_rejected) == (2, 2, 0)
    assert RawRow.objects.order_by("id").first().data["Age"] == "22"  # as it came
    row = CleanRow.objects.get(key="3").data
    assert (row["PassengerId"], row["Age"], row["Embarked"]) == (3, None, None)
    braund = the_store().get(ENTITY, "1")
    assert braund.values == {
        "Pclass": 3, "Sex": "male", "Age": 22.0, "SibSp": 1, "Parch": 0, "Fare": 7.25, "Embarked": "S",
        "HasCabin": False, "Title": "Mr", "FamilySize": 2, "IsAlone": False, "PclassFare": 21.75,
        "AgeFare": 159.5, "Survived": 0,
    }  # fmt: skip
    assert braund.expires_at - braund.event_at >= timedelta(days=30)
    heikkinen = the_store().get(ENTITY, "3").values
    assert (heikkinen["Age"], heikkinen["AgeFare"], heikkinen["IsAlone"]) == (None, None, True)


def test_a_rerun_and_a_retry_leave_the_same_counts(give):
    give(BRAUND, HEIKKINEN)
    run = run_all()
    for name in STEPS:
        getattr(etl, name)(run)
    run_all("manual__2")
    assert (Batch.objects.count(), RawRow.objects.count(), CleanRow.objects.count()) == (1, 2, 2)
    (version,) = the_store().versions(ENTITY)
    assert (version.n_rows, version.facts["dag_run_id"]) == (2, "manual__2")


def test_rows_that_do_not_fit_are_rejected_with_their_reasons_and_the_rest_goes_on(give):
    give(
        BRAUND,
        '2,1,9,"Cumings, Mrs. John",female,-3,1,0,PC 17599,71.2833,C85,C',
        "4,1,1,Futrelle",
        ',0,3,"Nobody, Mr.",robot,old,0,0,x,free,,S',
        '5,0,3,"Allen, Mr. William" unclosed,male,35,0,0,373450,8.05,,S,,,',
        '6,0,3,"Moran, Mr. James,male,,0,0,330877,8.4583,,Q',
        HEIKKINEN,
    )
    run_all()
    assert {row.position: row.reason for row in RejectedRow.objects.all()} == {
        1: "Pclass holds 9, which is none of its values; Age is -3, outside 0 to 120",
        2: "4 values instead of 12",
        3: "PassengerId is missing; Sex holds robot, which is none of its values; Age is old, which is no"
        " number; Fare is free, which is no number",
        4: "15 values instead of 12",
        5: "4 values instead of 12",
    }
    assert sorted(CleanRow.objects.values_list("key", flat=True)) == ["1", "3"]
    assert Batch.objects.get().rows_in == 7
    assert sorted(the_store().ids(ENTITY, "1")) == ["1", "3"]


def test_of_a_passenger_that_is_there_twice_the_first_stays(give):
    give(BRAUND, BRAUND.replace(",22,", ",23,"), HEIKKINEN)
    run_all()
    assert RejectedRow.objects.get().reason == "PassengerId is there before"
    assert CleanRow.objects.get(key="1").data["Age"] == 22


def test_a_corrected_list_takes_the_place_of_the_one_before_only_when_that_is_asked_for(give):
    give(BRAUND, HEIKKINEN)
    run_all()
    give(BRAUND.replace(",22,", ",24,"))
    with pytest.raises(DataInvalid, match=r"1 passenger is there with other values \(1\).*with “Replace”"):
        run_all("manual__2")
    assert Batch.objects.count() == 1
    run_all("manual__3", replace=True)
    assert (Batch.objects.count(), CleanRow.objects.get().data["Age"]) == (1, 24)
    assert the_store().get(ENTITY, "1").values["Age"] == 24
    assert the_store().ids(ENTITY, "1") == ["1"]  # who is in no list any more is in no version either
    with pytest.raises(NotThere):
        the_store().get(ENTITY, "3")


def test_a_list_that_repeats_passengers_and_brings_others_is_added(give):
    give(BRAUND)
    run_all()
    give(BRAUND, HEIKKINEN)
    run_all("manual__2")
    assert (Batch.objects.count(), CleanRow.objects.count()) == (2, 2)
    assert the_store().newest(ENTITY).facts["data_source"] == "file"


def test_invented_and_real_passengers_are_not_mixed(give):
    run_all()
    give('1000,0,3,"Braund, Mr. Owen Harris",male,22,1,0,A/5 21171,7.25,,S')  # an id that none invented has
    with pytest.raises(DataInvalid, match="There are rows of synthetic, and these are of file"):
        run_all("manual__2")
    run_all("manual__3", replace=True)
    assert list(CleanRow.objects.values_list("key", flat=True)) == ["1000"]
    version = the_store().newest(ENTITY)
    assert (version.n_rows, version.facts["data_source"], version.facts["origin"]) == (1, "file", FILE_NAME)
    with pytest.raises(DataInvalid, match="There are rows of file, and these are of synthetic"):
        run_all("manual__4", source="synthetic")


def test_passengers_of_two_seeds_are_not_mixed():
    run_all(source="synthetic", seed=1)
    with pytest.raises(DataInvalid, match="passengers are there with other values"):
        run_all("manual__2", source="synthetic", seed=2)


def test_features_say_where_the_rows_came_from_and_not_where_this_run_looked(give, tmp_path):
    run = run_all(source="synthetic")
    run.folder.write_json("source.json", run.folder.read_json("source.json") | {"data_source": "file"})
    etl.write_features(run)
    assert the_store().newest(ENTITY).facts["data_source"] == "synthetic"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "The file is empty"),
        (b"\n \r\n", "The file is empty"),
        (f"{HEAD}\n".encode(), "and no passenger"),
        (HEAD.replace("Fare,", "").encode() + b"\n1,2\n", "lacks the columns Fare; it has PassengerId"),
        (b"\xff\xfe\x00\x01", "lacks the columns PassengerId"),
        (b"x" * 200_000 + b"\n1\n", "lacks the columns PassengerId"),
    ],
    ids=["nothing", "blank", "head", "column", "binary", "long"],
)
def test_a_file_that_is_no_passenger_list_is_refused_and_nothing_is_written(tmp_path, raw, message):
    (tmp_path / FILE_NAME).write_bytes(raw)
    run = DagRun(ETL_DAG_ID, "manual__1", {})
    etl.extract(run)
    with pytest.raises(DataInvalid, match=message):
        etl.check(run)
    assert not Batch.objects.exists()
    assert the_store().entities() == []


def test_a_list_of_which_nothing_fits_is_kept_as_rejected_and_said(give):
    give("1,2,3", "x")
    with pytest.raises(DataInvalid, match="every row was rejected"):
        run_all()
    assert Batch.objects.get().rows_rejected == 2
    assert the_store().entities() == []


def test_columns_in_another_order_or_with_others_between_are_taken(tmp_path):
    names = ["Deck", *reversed(data.COLUMNS)]
    cells = ["", "S", "", "7.25", "A/5", "0", "1", "22", "male", "Braund; Mr. Owen", "3", "0", "1"]
    (tmp_path / FILE_NAME).write_text("\ufeff" + ",".join(names) + "\r\n" + ",".join(cells) + "\r\n")
    run_all()
    assert CleanRow.objects.get().data["Pclass"] == 3


def test_another_schema_under_the_same_version_is_refused(give, monkeypatch):
    give(BRAUND)
    run_all()
    monkeypatch.setattr(features, "SCHEMA", {**features.SCHEMA, "FamilySize": "number"})
    with pytest.raises(Invalid, match="has another schema: it differs in FamilySize"):
        run_all("manual__2")
    run_all("manual__3", version="2")
    assert the_store().newest(ENTITY).version == "2"


def test_a_feature_store_that_is_away_fails_the_last_step_alone(give, features_redis):
    give(BRAUND)
    features_redis.stop()
    with pytest.raises(StoreAway, match="does not answer"):
        run_all()
    assert CleanRow.objects.count() == 1
    features_redis.start()
    etl.write_features(DagRun(ETL_DAG_ID, "manual__1", {}))  # tried again
    assert the_store().newest(ENTITY).n_rows == 1


def test_what_a_presigned_address_signs_with_is_neither_kept_nor_said(monkeypatch, capsys):
    monkeypatch.undo()
    address = "https://bucket.example/list.csv?X-Amz-Signature=secret"
    answers = iter([httpx.Response(200, content=b"a,b"), httpx.Response(403), httpx.ReadTimeout("slow")])

    def answer(request: httpx.Request) -> httpx.Response:
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    client = sources._client
    monkeypatch.setattr(sources, "_client", lambda: client(httpx.MockTransport(answer)))
    loaded = sources.load("url", file_name="x", url=address, generate=bytes)
    assert (loaded.data, loaded.origin) == (b"a,b", "https://bucket.example/list.csv")
    for why in ("status 403 Forbidden", "slow"):
        with pytest.raises(SourceError, match=why) as error:
            sources.load("url", file_name="x", url=address, generate=bytes)
        assert "secret" not in str(error.value)
        assert error.value.__cause__ is None  # whose own words would stand in the log
    with pytest.raises(SourceError, match="is no https address") as error:
        sources.load("url", file_name="x", url="s3://me:secret@bucket/list.csv", generate=bytes)
    assert "secret" not in str(error.value)


# --- training from the feature store


def fill(tmp_path, **params) -> None:
    (tmp_path / FILE_NAME).write_bytes(data.generate(3, 150))
    run_all(**params)


def training(run_id: str = "console__1", **params) -> DagRun:
    return DagRun(DAG_ID, run_id, {"seed": 42, "holdout_share": 0.2, "n_iter": 1, "cv": 3, **params})


def test_auto_takes_the_feature_store_where_it_has_rows_else_the_file(tmp_path):
    (tmp_path / FILE_NAME).write_bytes(data.generate(3, 150))
    assert TRAINING.load(training())["data_source"] == "file"
    run_all()
    facts = TRAINING.load(training())
    assert (facts["data_source"], facts["origin"], facts["rows"]) == ("file", "titanic version 1", 150)
    assert TRAINING.load(training(source="file"))["data_source"] == "file"


def test_features_teach_the_same_as_the_list_that_they_came_from(tmp_path):
    fill(tmp_path)
    tables = []
    for source in ("features", "file"):
        run = training(f"console__{source}", source=source)
        for name in ("load", "validate", "split", "features"):
            getattr(TRAINING, name)(run)
        tables.append(run.folder.read_table("train.parquet"))
    assert tables[0].equals(tables[1])
    assert run.folder.read_json("source.json")["facts"] == {}
    told = training("console__features").folder.read_json("source.json")
    assert told["facts"] == {"data_via": "features", "features_version": "1", "features_from": "file"}
    assert len(told["data_sha256"]) == 64


@pytest.mark.parametrize(
    ("told", "source"),
    [("synthetic", "synthetic"), ("url", "url"), ("file, url", "file"), ("", "features")],
)
def test_features_say_where_their_rows_came_from_where_that_is_known(tmp_path, monkeypatch, told, source):
    monkeypatch.setattr(etl, "_came_from", lambda: {"data_source": told})
    fill(tmp_path)
    run = training()
    assert TRAINING.load(run)["data_source"] == source
    assert run.folder.read_json("source.json")["facts"]["data_via"] == "features"


def test_a_named_version_is_taken_and_one_that_is_not_there_is_said(tmp_path):
    fill(tmp_path, version="2026")
    assert TRAINING.load(training(features_version="2026"))["origin"] == "titanic version 2026"
    with pytest.raises(NotThere, match='no version "9" of "titanic"'):
        TRAINING.load(training(source="features", features_version="9"))


def test_features_that_cannot_be_read_are_left_out_and_counted_unless_they_are_most(tmp_path, capsys):
    fill(tmp_path, version="2026")
    store = the_store()
    ids = store.ids(ENTITY, "2026")

    def spoil(of):
        for id_ in of:
            store._client.set(feature_store._row_key(ENTITY, "2026", id_), "junk")

    spoil(ids[:2])
    assert TRAINING.load(training())["rows"] == len(ids) - 2
    assert "2 rows of the feature store cannot be read" in capsys.readouterr().out
    spoil(ids[: len(ids) // 2 + 1])
    with pytest.raises(DataInvalid, match="cannot be read: have titanic_etl write them anew"):
        TRAINING.load(training("console__2"))


def test_features_of_nobody_or_of_another_kind_are_said(tmp_path):
    with pytest.raises(NotThere, match='no version of "titanic"'):
        TRAINING.load(training(source="features"))
    row = feature_store.Row("1", {"Age": "old"}, datetime.now(UTC))
    the_store().put_many(ENTITY, "odd", schema={"Age": "text"}, rows=[row])
    with pytest.raises(DataInvalid, match=r"has not what this model learns from: Pclass, Sex, Age"):
        TRAINING.load(training(source="features"))


def test_a_feature_store_that_is_away_fails_training_and_the_next_try_goes_on(tmp_path, features_redis):
    fill(tmp_path)
    features_redis.stop()
    for source in ("auto", "features"):
        with pytest.raises(StoreAway, match="does not answer"):
            TRAINING.load(training(source=source))
    features_redis.start()  # its rows are gone with it, which stands for a Redis that comes back
    run_all("manual__2")
    assert TRAINING.load(training())["origin"] == "titanic version 1"


def test_features_that_have_expired_are_not_learnt_from(tmp_path, monkeypatch):
    monkeypatch.setattr(etl, "timedelta", lambda days: timedelta(milliseconds=50 * days))
    fill(tmp_path, expires_days=1)
    time.sleep(0.06)
    assert TRAINING.load(training())["data_source"] == "file"
    run = training("console__2", source="features")
    assert TRAINING.load(run)["rows"] == 0
    with pytest.raises(DataInvalid, match="0 rows; at least 100 are needed"):
        TRAINING.validate(run)


def changed(tmp_path, column: str, value: object) -> None:
    table = data.read(data.generate(3, 150)).assign(**{column: value})
    (tmp_path / FILE_NAME).write_bytes(table.to_csv(index=False).encode())
    run_all()


def test_one_class_only_is_kept_and_not_learnt_from(tmp_path):
    changed(tmp_path, "Survived", 1)
    assert CleanRow.objects.count() == 150
    run = training()
    TRAINING.load(run)
    with pytest.raises(DataInvalid, match="a single value: there is nothing to learn"):
        TRAINING.validate(run)


@pytest.mark.parametrize("value", [30, None])
def test_a_constant_or_empty_column_is_named_and_the_rest_is_learnt(tmp_path, capsys, value):
    changed(tmp_path, "Age", value)
    run = training()
    for name in ("load", "validate", "split", "features", "search"):
        getattr(TRAINING, name)(run)
    assert "teach nothing: Age" in capsys.readouterr().out
    assert run.folder.read_json("search.json")["scores"]["cv_accuracy"] > 0.6


@pytest.mark.skipif(not (REAL / FILE_NAME).is_file(), reason="the real list is not there")
def test_every_row_of_the_real_list_fits():
    raw = (REAL / FILE_NAME).read_bytes()
    rows, broken = etl.read_rows(raw)
    assert (len(rows), broken) == (len(data.read(raw)), [])
    assert etl.sort_out(rows[data.COLUMNS], etl.RULES, unique=["PassengerId"]).rejected == []
