"""Applications, their parameters, and what is refused before anything starts."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Literal

import pytest

from core.lib.errors import InvalidRequest, NotFound
from jobs import applications, spark_apps
from jobs.applications import check, find
from tests.unit.jobs.spark_apps.made_trips import table, without, write, yellow


@dataclass(frozen=True)
class Params:
    source: Path = field(metadata={"label": "Source", "help": "A file.", "endings": (".parquet",)})
    n_clusters: int = field(default=8, metadata={"minimum": 2, "maximum": 50})
    share: float = 0.5
    is_quick: bool = False
    kind: Literal["yellow", "green"] = "green"
    note: str | None = None


@pytest.fixture
def application():
    module = ModuleType("jobs.spark_apps.made_up", "Do it.\n\nWith care.")
    module.__file__ = "/made_up.py"
    module.Params = Params
    return applications._application(module)


@pytest.fixture
def data(tmp_path, settings):
    settings.CONSOLE_DATA_DIR, settings.CONSOLE_OUTPUT_DIR = tmp_path / "data", tmp_path / "output"
    (settings.CONSOLE_DATA_DIR / "empty").mkdir(parents=True)
    (settings.CONSOLE_OUTPUT_DIR / "job" / "trips").mkdir(parents=True)
    for path in ("data/month.parquet", "data/notes.txt", "secret.parquet"):
        (tmp_path / path).write_text("")
    for number in range(2):
        (settings.CONSOLE_OUTPUT_DIR / "job" / "trips" / f"part-{number}.parquet").write_text("")
    return settings.CONSOLE_DATA_DIR


@pytest.mark.parametrize(
    "text", ["import a_module_that_nobody_has", "def (", "class Params: pass", "raise ValueError('no')"]
)
def test_module_that_cannot_be_read_is_left_out_alone(tmp_path, monkeypatch, text):
    (tmp_path / "broken_app.py").write_text(text)
    before = applications.all()
    monkeypatch.setattr(spark_apps, "__path__", [*spark_apps.__path__, str(tmp_path)])
    applications.all.cache_clear()
    try:
        assert applications.all() == before
    finally:
        applications.all.cache_clear()
        sys.modules.pop("jobs.spark_apps.broken_app", None)


def faults_of(application, **params):
    with pytest.raises(InvalidRequest) as caught:
        check(application, params)
    return {fault["field"]: fault["message"] for fault in caught.value.errors}


@pytest.mark.parametrize(
    ("trips", "words"),
    [
        (b"PAR1 nothing that follows PAR1", "“month.parquet” cannot be read: it is no Parquet file"),
        (without(table({}), ["RatecodeID"]), "“month.parquet” cannot be read: it is no month of taxi trips"),
        (table({}).set_column(8, "trip_distance", [["far"]]), "trip_distance is string, not a number."),
    ],
)
@pytest.mark.parametrize("source", ["month.parquet", "folder"])
def test_a_source_is_looked_at_before_it_is_taken(data, trips, words, source):
    write(data / "folder" / "a.parquet", table({}))
    for path in (data / "month.parquet", data / "folder" / "month.parquet"):
        path.write_bytes(trips) if isinstance(trips, bytes) else write(path, trips)
    assert words in faults_of(find("clean_trips"), source=source)["params.source"]


def test_a_sound_source_is_taken(data):
    write(data / "folder" / "a.parquet", table({}))
    write(data / "folder" / "b.parquet", yellow(table({})))
    assert check(find("clean_trips"), {"source": "folder"}) == {"source": str(data / "folder")}


@pytest.mark.parametrize("name", ["_month.parquet", ".month.parquet"])
def test_files_that_spark_passes_over_are_refused_and_not_looked_at(data, name):
    write(data / name, table({}))
    assert (
        "begins with a dot or an underscore" in faults_of(find("clean_trips"), source=name)["params.source"]
    )
    (data / "folder").mkdir()
    (data / "folder" / name).write_bytes(b"no Parquet")
    assert "holds no" in faults_of(find("clean_trips"), source="folder")["params.source"]
    write(data / "folder" / "a.parquet", table({}))
    assert check(find("clean_trips"), {"source": "folder"}) == {"source": str(data / "folder")}


def test_clean_trips_is_found_with_its_source():
    found = find("clean_trips")
    [source] = found.parameters
    assert found.title == "Clean trips"
    assert found.summary.startswith("Keep the real trips")
    assert found.path.is_file()
    assert (source.name, source.kind, source.required) == ("source", "path", True)
    assert found in applications.all()


@pytest.mark.parametrize("name", ["running", "clean", "", "../clean_trips", "clean_trips.py", "x" * 5000])
def test_other_names_are_not_found(name):
    with pytest.raises(NotFound, match="clean_trips"):
        find(name)


def test_parameters_follow_the_dataclass(application):
    kinds = {one.name: (one.kind, one.required, one.default) for one in application.parameters}
    assert kinds == {
        "source": ("path", True, None),
        "n_clusters": ("integer", False, 8),
        "share": ("number", False, 0.5),
        "is_quick": ("boolean", False, False),
        "kind": ("choice", False, "green"),
        "note": ("text", False, None),
    }
    clusters, kind = application.parameters[1], application.parameters[4]
    assert (clusters.minimum, clusters.maximum) == (2, 50)
    assert kind.choices == ("yellow", "green")


def test_values_come_back_whole_with_defaults(application, data):
    values = check(application, {"source": "month.parquet", "share": 1, "note": ""})
    assert values == {
        "source": str(data / "month.parquet"),
        "n_clusters": 8,
        "share": 1.0,
        "is_quick": False,
        "kind": "green",
        "note": None,
    }
    assert json.loads(json.dumps(values)) == values


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_clusters", 1),
        ("n_clusters", 51),
        ("n_clusters", 2.5),
        ("n_clusters", True),
        ("n_clusters", "8"),
        ("share", float("nan")),
        ("share", float("inf")),
        ("share", "much"),
        ("share", False),
        ("is_quick", "yes"),
        ("is_quick", 1),
        ("kind", "blue"),
        ("kind", ["green"]),
        ("note", 7),
        ("note", "x" * 2001),
        ("note", "a\x00b"),
        ("source", 7),
        ("source", {"a": 1}),
        ("surprise", 1),
    ],
)
def test_a_value_that_does_not_fit_is_refused_at_its_field(application, data, name, value):
    faults = faults_of(application, **{"source": "month.parquet", name: value})
    assert list(faults) == [f"params.{name}"]


def test_all_faults_are_named_at_once(application, data):
    assert set(faults_of(application, n_clusters=0, other=1)) == {
        "params.source",
        "params.n_clusters",
        "params.other",
    }


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("../secret.parquet", "outside"),
        ("/etc/passwd", "outside"),
        ("link.parquet", "outside"),
        ("linked", "outside"),
        ("none.parquet", "no “none.parquet”"),
        ("notes.txt", "no .parquet file"),
        ("empty", "holds no .parquet file"),
        ("\x00", "text"),
    ],
)
def test_a_source_is_refused_in_words(application, data, source, words):
    (data / "link.parquet").symlink_to(data.parent / "secret.parquet")
    (data / "linked").mkdir()
    (data / "linked" / "month.parquet").symlink_to(data.parent / "secret.parquet")
    assert words in faults_of(application, source=source)["params.source"]


def test_files_of_data_and_folders_of_output_are_suggested(application, data):
    folder = data.parent / "output" / "job" / "trips"
    assert applications.suggestions(application.parameters[0]) == ["month.parquet", str(folder)]
    assert check(application, {"source": str(folder)})["source"] == str(folder)
