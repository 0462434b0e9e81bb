"""`diabetes_data`, step by step: archives of all kinds, rows that do not fit, the split, what is stored."""

import io
import os
import zipfile
from pathlib import Path

import pandas as pd
import psycopg2
import pytest
from django.db import connections

from dags.recipes.common import sources
from dags.recipes.common.checks import DataInvalid
from dags.recipes.common.run_folder import DagRun
from dags.recipes.diabetes import archive, collect, data
from dags.recipes.diabetes.params import DATA_DAG_ID, FILE_NAME
from usecases.models import Batch, CleanRow, RawRow, RejectedRow

MEMBER = "dataset_diabetes/diabetic_data.csv"
stored = pytest.mark.django_db(transaction=True, databases=["default", "usecases"])


def csv_of(n_rows: int = 300, seed: int = 1) -> str:
    with zipfile.ZipFile(io.BytesIO(data.generate(seed, n_rows))) as packed:
        return packed.read(MEMBER).decode()


def zip_of(members: dict[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return buffer.getvalue()


def read(content: str | bytes) -> archive.Table:
    return archive.read(zip_of({MEMBER: content}), data.COLUMNS)


def changed(column: str, values: list[str], n_rows: int = 300) -> str:
    """The generated table with other values in the first rows of a column."""
    table = pd.read_csv(io.StringIO(csv_of(n_rows)), dtype=str, keep_default_na=False)
    table.loc[: len(values) - 1, column] = values
    return table.to_csv(index=False)


@pytest.fixture(autouse=True)
def folders(monkeypatch, tmp_path):
    monkeypatch.setenv("ATALAYA_WORK_DIR", str(tmp_path / "runs"))

    def refuse(url: str) -> None:
        raise sources.SourceError(f"{url} did not answer.")

    monkeypatch.setattr(sources, "_from_url", refuse)


@pytest.fixture
def database(monkeypatch):
    """Pipelines reach the tests' own database."""
    values = connections["usecases"].settings_dict
    url = psycopg2.extensions.make_dsn(
        host=values["HOST"], port=values["PORT"] or None, user=values["USER"], dbname=values["NAME"]
    )
    monkeypatch.setenv("ATALAYA_USECASES_URL", url)


def given(monkeypatch, tmp_path, content: bytes) -> None:
    """The archive that CONSOLE_DATA_DIR holds."""
    (tmp_path / FILE_NAME).write_bytes(content)
    monkeypatch.setenv("CONSOLE_DATA_DIR", str(tmp_path))


def run_all(params: dict, run_id: str = "manual__1") -> dict:
    run = DagRun(DATA_DAG_ID, run_id, params)
    for step in (collect.fetch, collect.clean, collect.split):
        step(run)
    return collect.store(run)


# --- the archive


def test_the_table_is_found_beside_what_a_mac_adds_and_other_tables():
    members = {
        "__MACOSX/._dataset_diabetes": b"\x00\x05", "dataset_diabetes/": b"",
        "dataset_diabetes/IDs_mapping.csv": "admission_type_id,description\n1,Emergency\n",
        f"__MACOSX/{MEMBER}": b"\x00\x05\x16", MEMBER: csv_of(),
    }  # fmt: skip
    found = archive.read(zip_of(members), data.COLUMNS)
    assert (list(found.rows.columns), len(found.rows), found.torn) == (data.COLUMNS, 300, [])


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({MEMBER: "", "run.exe": "MZ"}, "holds run.exe, which does not belong there"),
        ({"../../etc/passwd.csv": "a"}, "a path that leads out of it"),
        ({"/etc/passwd.csv": "a"}, "a path that leads out of it"),
        ({f"{n}.csv": "a" for n in range(30)}, "30 members; at most 20 fit"),
        (
            {"a.csv": "id,age\n1,2\n"},
            r"a\.csv lacks encounter_id, patient_nbr, race, gender, weight and 44 more",
        ),
        ({}, "It is empty"),
    ],
)
def test_an_archive_of_other_things_is_refused_by_name(members, message):
    with pytest.raises(DataInvalid, match=message):
        archive.read(zip_of(members), data.COLUMNS)


def test_two_tables_that_fit_are_refused():
    with pytest.raises(DataInvalid, match="Several members hold the columns"):
        archive.read(zip_of({"a.csv": csv_of(50), "b.csv": csv_of(50)}), data.COLUMNS)


@pytest.mark.parametrize("harm", [lambda b: b[: len(b) // 2], lambda b: b"PK" + b"\x00" * 99, lambda b: b""])
def test_a_broken_archive_is_said(harm):
    with pytest.raises(DataInvalid, match="no whole zip archive"):
        archive.read(harm(zip_of({MEMBER: csv_of(50)})), data.COLUMNS)


def test_an_archive_whose_bytes_are_damaged_is_said():
    content = bytearray(zip_of({MEMBER: csv_of(300)}))
    content[2000:2040] = b"\x00" * 40
    with pytest.raises(DataInvalid, match=r"no whole zip|cannot be read"):
        archive.read(bytes(content), data.COLUMNS)


def test_gigabytes_of_zeros_are_refused_before_they_are_unpacked():
    buffer = io.BytesIO()
    packed = zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED)
    with packed, packed.open(MEMBER, "w", force_zip64=True) as member:
        block = bytes(16 * 1024 * 1024)
        for _ in range(8):
            member.write(block)
    assert len(buffer.getvalue()) < 200_000
    with pytest.raises(DataInvalid, match="134,217,728 bytes unpacked; at most 67,108,864 fit"):
        archive.read(buffer.getvalue(), data.COLUMNS)


def test_a_size_that_the_archive_lies_about_is_noticed_while_it_is_read(monkeypatch):
    text = csv_of(300)
    monkeypatch.setattr(archive, "MAX_BYTES", len(text) // 2)
    monkeypatch.setattr(archive, "_refuse_foreign", lambda member: None)  # as if the directory said little
    with pytest.raises(DataInvalid, match="unpacks to more than"):
        read(text)


def test_a_table_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(archive, "MAX_ROWS", 299)
    with pytest.raises(DataInvalid, match="more than 299 rows"):
        read(csv_of(300))


def test_rows_cut_in_half_are_set_apart_by_their_place_in_the_file():
    lines = csv_of(300).splitlines()
    lines[3] = lines[3][: len(lines[3]) // 2]
    lines[10] += ",more"
    table = read("\n".join(lines))
    sound = data.clean(table)
    assert len(sound.table) == 298
    told = data.positions_of_file(sound.rejected, table)
    assert [row.position for row in told] == [2, 9]
    assert "values where the head has 50" in told[0].reason


def test_places_in_the_file_count_the_torn_rows_before():
    lines = changed("age", ["?"] * 0 + ["old"]).splitlines()
    lines.insert(1, "1,2,3")
    table = read("\n".join(lines))
    told = data.positions_of_file(data.clean(table).rejected, table)
    assert [(row.position, row.reason[:9]) for row in told] == [(0, "It has 3 "), (1, "age holds")]


# --- the rows


def test_a_question_mark_is_missing_and_the_word_none_is_a_value():
    text = changed("race", ["?", "Caucasian"]).replace("Unknown", "?")
    table = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    table.loc[:1, "max_glu_serum"] = ["None", ">300"]
    table.loc[:1, "A1Cresult"] = ["None", "Norm"]
    table.loc[:0, "gender"] = ["Unknown/Invalid"]
    found = data.clean(read(table.to_csv(index=False))).table
    assert found.loc[0, ["race", "gender"]].tolist() == [None, None]
    assert found.loc[:1, "max_glu_serum"].tolist() == ["None", ">300"]
    assert found.loc[:1, "A1Cresult"].tolist() == ["None", "Norm"]


@pytest.mark.parametrize("text", ["[50-60)", "50-60", " 50-60 ", "(50-60]", "[50 - 60)", "50–60"])
def test_an_age_is_understood_however_it_is_written(text):
    assert data.age(text) == "[50-60)"


@pytest.mark.parametrize("text", ["50-61", "abc", "[150-160)", "-", "?", "55", "[50-60) x"])
def test_an_age_that_is_no_band_is_set_apart(text):
    sound = data.clean(read(changed("age", [text])))
    assert len(sound.rejected) == 1
    assert sound.rejected[0].reason.startswith("age ")


def test_an_encounter_that_comes_twice_stays_once():
    first = csv_of().splitlines()[1].split(",")[0]
    sound = data.clean(read(changed("encounter_id", [first, first])))
    assert len(sound.table) == 299
    assert [(row.position, row.reason) for row in sound.rejected] == [(1, "encounter_id is there before")]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("number_inpatient", "-1", "number_inpatient is -1, outside 0 to 500"),
        ("num_medications", "many", "num_medications is many, which is no number"),
        ("readmitted", "maybe", "readmitted holds maybe, which is none of its values"),
        ("insulin", "?", "insulin is missing"),
        ("A1Cresult", "<script>", "A1Cresult holds <script>, which is none of its values"),
    ],
)
def test_a_value_that_cannot_be_is_set_apart_with_its_reason(column, value, reason):
    assert [row.reason for row in data.clean(read(changed(column, [value]))).rejected] == [reason]


def test_one_outcome_only_is_refused():
    with pytest.raises(DataInvalid, match="Every row has the outcome NO"):
        data.clean(read(changed("readmitted", ["NO"] * 300)))


def test_no_rows_are_refused():
    with pytest.raises(DataInvalid, match="no whole row"):
        data.clean(read(csv_of().splitlines()[0]))


def test_a_table_that_mostly_does_not_fit_is_refused_as_a_whole():
    with pytest.raises(DataInvalid, match=r"100 rows of 300 do not fit.*row 1: age holds"):
        data.clean(read(changed("age", ["young"] * 100)))


def test_a_constant_column_is_no_fault():
    assert len(data.clean(read(changed("diabetesMed", ["No"] * 300))).table) == 300


# --- split and store


def test_parts_are_cut_in_the_order_of_the_hash_and_fixed_for_ever():
    table = data.clean(read(csv_of(200))).table
    found = collect.ranked(table)
    assert found["part"].value_counts(sort=False).to_dict() == {"train": 140, "validation": 30, "test": 30}
    again = collect.ranked(table.sample(frac=1, random_state=3))
    assert again["encounter_id"].tolist() == found["encounter_id"].tolist()
    # printf 42:149190 | sha256sum begins with 5f9ee351, printf 42:64410 | sha256sum with 39b38ea2
    two = collect.ranked(pd.DataFrame({"encounter_id": [149190.0, 64410.0]}))
    assert two["encounter_id"].tolist() == [64410, 149190]


@stored
def test_all_is_stored_once_however_often_it_comes(database, monkeypatch, tmp_path):
    lines = csv_of(300).splitlines()
    lines[5] = "1,2"
    given(monkeypatch, tmp_path, zip_of({MEMBER: "\n".join(lines)}))
    first, again = run_all({}), run_all({}, "manual__2")
    assert (first["rows_new"], again["is_known"]) == (299, True)
    batch = Batch.objects.get()
    assert (batch.data_source, batch.rows_in, batch.rows_new, batch.rows_rejected) == ("file", 300, 299, 1)
    assert batch.facts == {"train": 209, "validation": 45, "test": 45}
    assert (RawRow.objects.count(), CleanRow.objects.count(), RejectedRow.objects.get().position) == (
        299,
        299,
        4,
    )
    raw = RawRow.objects.order_by("id").first().data
    assert (len(raw), raw["weight"], raw["max_glu_serum"] in data.GLUCOSE) == (50, "?", True)
    clean = CleanRow.objects.order_by("id").first()
    assert clean.key == str(clean.data["encounter_id"])
    assert isinstance(clean.data["number_inpatient"], int)


@stored
def test_invented_and_real_stays_are_not_mixed(database, monkeypatch, tmp_path):
    run_all({"source": "synthetic", "n_generated": 250})
    given(monkeypatch, tmp_path, zip_of({MEMBER: csv_of(300, seed=9)}))
    with pytest.raises(DataInvalid, match="rows of synthetic, and these are of file"):
        run_all({}, "manual__2")
    assert CleanRow.objects.count() == 250
    run_all({"replace": True}, "manual__3")
    assert (Batch.objects.get().data_source, CleanRow.objects.count()) == ("file", 300)


@stored
def test_a_step_that_breaks_leaves_nothing_half_written(database, monkeypatch):
    def fail(parts):
        raise ConnectionError("gone")

    with monkeypatch.context() as broken:
        broken.setattr(collect, "_clean", fail)
        with pytest.raises(ConnectionError):
            run_all({"source": "synthetic", "n_generated": 250})
    assert (Batch.objects.count(), RawRow.objects.count()) == (0, 0)


def test_the_known_file_gives_the_known_counts():
    folder = os.environ.get("CONSOLE_DATA_DIR")
    path = Path(folder or ".") / FILE_NAME
    if not folder or not path.is_file():
        pytest.skip(f"CONSOLE_DATA_DIR holds no {FILE_NAME}")
    found = archive.read(path.read_bytes(), data.COLUMNS)
    assert (found.rows.shape, found.torn) == ((101_766, 50), [])
    assert found.rows["readmitted"].value_counts().to_dict() == {"NO": 54_864, ">30": 35_545, "<30": 11_357}
    parts = collect.ranked(found.rows[["encounter_id"]])["part"].value_counts().to_dict()
    assert parts == {"train": 71_236, "validation": 15_265, "test": 15_265}
    assert (found.rows["max_glu_serum"] == "None").sum() == 96_420
    sample = archive.Table(found.rows.head(3_000), [])
    assert data.clean(sample).rejected == []


def test_generated_rows_have_the_known_columns_and_are_the_same_each_time():
    assert data.generate(5, 200) == data.generate(5, 200)
    found = data.clean(archive.read(data.generate(5, 2_000), data.COLUMNS))
    assert found.rejected == []
    shares = found.table["readmitted"].value_counts(normalize=True)
    assert 0.4 < shares["NO"] < 0.7
    assert set(shares.index) == {"NO", ">30", "<30"}
