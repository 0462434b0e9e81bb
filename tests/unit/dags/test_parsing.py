"""DAG files under Airflow's own Python: they parse, import nothing but Airflow and params, and do no work."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
# Airflow is loaded once; each file is then parsed in a fork of its own, which has met no other file.
SCRIPT = """
import importlib.util, json, os, sys, traceback
from pathlib import Path
import airflow.sdk
before = set(sys.modules)

def parsed(path):
    spec = importlib.util.spec_from_file_location("parsed", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = getattr(module, path.stem)()
    loaded = sorted(set(sys.modules) - before)
    packages = {name.split(".")[0] for name in sys.modules}
    return {
        "dag_id": found.dag_id,
        "tasks": {task.task_id: sorted(task.downstream_task_ids) for task in found.tasks},
        "python": sorted({task.python for task in found.tasks if hasattr(task, "python")}),
        "waits": {task.task_id: task.mode for task in found.tasks if hasattr(task, "poke_interval")},
        "waits_s": {task.task_id: task.timeout for task in found.tasks if hasattr(task, "poke_interval")},
        "rules": {task.task_id: task.trigger_rule.value for task in found.tasks},
        "doc": found.doc_md or "",
        "tags": sorted(found.tags),
        "params": {
            name: {
                "value": param.value if param.has_value else None,
                "description": param.description,
                **param.schema,
            }
            for name, param in found.params.items()
        },
        "loaded": [name for name in loaded if name.split(".")[0] in ("dags", "scoring")],
        "heavy": sorted(packages & {"numpy", "pandas", "sklearn", "mlflow"}),
    }

answers, *paths = map(Path, sys.argv[1:])
for path in paths:
    if os.fork() == 0:
        try:
            (answers / path.stem).write_text(json.dumps(parsed(path)))
        except BaseException:
            (answers / f"{path.stem}.error").write_text(traceback.format_exc())
        finally:
            os._exit(0)
    os.wait()
"""


def airflow_python() -> Path:
    venvs = Path(os.environ.get("CONSOLE_VENV_DIR") or Path(sys.prefix).parent)
    return venvs / "airflow" / "bin" / "python"


DAG_IDS = sorted(path.stem for path in (ROOT / "dags").glob("*.py") if path.stem not in ("__init__", "steps"))


@pytest.fixture(scope="module")
def parse(tmp_path_factory):
    """What Airflow makes of the file of a pipeline; all files are asked at once."""
    answers = tmp_path_factory.mktemp("answers")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path_factory.mktemp("home")),
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "PYTHONPATH": str(ROOT),
        "ATALAYA_PYTHON": sys.executable,
    }
    paths = [ROOT / "dags" / f"{dag_id}.py" for dag_id in DAG_IDS]
    done = subprocess.run(
        [airflow_python(), "-c", SCRIPT, answers, *paths],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    def answer(dag_id: str) -> dict:
        error = answers / f"{dag_id}.error"
        assert (answers / dag_id).exists(), error.read_text() if error.exists() else done.stderr
        return json.loads((answers / dag_id).read_text())

    return answer


@pytest.fixture
def parsed(parse):
    return parse("titanic_training")


def test_tasks_come_in_their_order(parsed):
    assert parsed["dag_id"] == "titanic_training"
    assert parsed["tasks"] == {
        "load": ["validate"],
        "validate": ["split"],
        "split": ["features"],
        "features": ["search"],
        "search": ["evaluate", "explain"],
        "evaluate": ["register"],
        "explain": ["register"],
        "register": ["gate"],
        "gate": [],
    }
    assert parsed["python"] == [sys.executable]


def test_parsing_loads_params_and_nothing_heavy(parsed):
    assert parsed["loaded"] == [
        "dags", "dags.recipes", "dags.recipes.common", "dags.recipes.common.settings", "dags.recipes.titanic",
        "dags.recipes.titanic.params", "dags.steps",
    ]  # fmt: skip
    assert parsed["heavy"] == []


def test_params_carry_a_schema_that_draws_a_form(parsed):
    params = parsed["params"]
    assert list(params) == ["source", "url", "features_version", "n_iter", "cv", "seed", "holdout_share"]
    assert params["source"]["enum"] == ["auto", "features", "file", "url", "synthetic"]
    assert (params["n_iter"]["minimum"], params["n_iter"]["maximum"]) == (1, 50)
    assert (params["cv"]["minimum"], params["cv"]["maximum"]) == (2, 10)
    assert (params["holdout_share"]["minimum"], params["holdout_share"]["maximum"]) == (0.1, 0.4)
    assert all(param["title"] for param in params.values())


def test_recipes_are_kept_from_the_parser():
    assert "recipes/" in (ROOT / "dags" / ".airflowignore").read_text().splitlines()


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_every_pipeline_is_called_as_its_file_and_is_light_to_parse(parse, dag_id: str):
    found = parse(dag_id)
    assert found["dag_id"] == dag_id
    assert found["doc"]
    assert found["tags"]
    assert found["heavy"] == []
    assert found["python"] == [sys.executable]
    assert set(found["waits"].values()) <= {"reschedule"}  # a wait holds no slot
    assert all(param["title"] and param["description"] for param in found["params"].values())


def test_a_spark_job_is_waited_for_longer_than_it_may_run(parse):
    waits_s = parse("taxi_batch")["waits_s"]
    assert sorted(waits_s) == ["analysed", "cleaned", "clustered"]
    # The console ends a job after 24 h unless it is told otherwise, and it may wait for others before.
    assert min(waits_s.values()) >= 3 * 24 * 3600


def test_forest_cover_waits_for_each_batch_and_reports_whatever_was_left_out(parse):
    found = parse("forest_cover_load")
    assert sorted(found["tasks"]["look"]) == ["take_1", "wait_1"]
    assert found["tasks"]["wait_1"] == ["take_1"]
    assert sorted(found["tasks"]["take_1"]) == ["take_2", "wait_2"]
    assert found["tasks"]["take_10"] == ["report"]
    assert len(found["waits"]) == 10
    assert found["rules"]["report"] == "none_failed"
    assert list(found["params"]) == ["group_number", "batches", "address"]


def test_forest_cover_is_removed_only_with_a_reason(parse):
    found = parse("forest_cover_clear")
    assert found["tasks"] == {"preview": ["clear"], "clear": []}
    assert (found["params"]["confirm"]["value"], found["params"]["reason"]["minLength"]) == (False, 3)


def test_listings_are_trained_on_only_after_the_decision(parse):
    found = parse("real_estate_monitor")
    tasks = found["tasks"]
    assert (tasks["fetch"], tasks["validate"], tasks["keep"]) == (["validate"], ["keep"], ["decide"])
    assert (tasks["decide"], tasks["worth_it"]) == (["worth_it"], ["load"])
    assert (tasks["search"], tasks["register"], tasks["gate"]) == (["evaluate", "explain"], ["gate"], [])
    assert tasks["inputs"] == []  # what was asked of the model keeps no batch waiting
    assert set(found["params"]) == {
        "group", "day", "max_rejected", "min_new_rows", "min_rows", "psi", "wasserstein", "max_new_places",
        "n_iter", "seed", "holdout_share",
    }  # fmt: skip


def test_titanic_etl_writes_features_last(parse):
    found = parse("titanic_etl")
    assert found["tasks"] == {
        "extract": ["check"],
        "check": ["store"],
        "store": ["write_features"],
        "write_features": [],
    }
    assert list(found["params"]) == ["source", "url", "version", "expires_days", "seed", "replace"]
    assert (found["params"]["version"]["value"], found["params"]["expires_days"]["value"]) == ("1", 30)


def test_diabetics_are_trained_on_only_while_batches_are_left(parse):
    assert parse("diabetes_data")["tasks"] == {
        "fetch": ["clean"],
        "clean": ["split"],
        "split": ["store"],
        "store": [],
    }
    tasks = parse("diabetes_training")["tasks"]
    assert (tasks["next_batch"], tasks["goes_on"]) == (["goes_on"], ["load"])
    assert (tasks["search"], tasks["register"], tasks["gate"]) == (["evaluate", "explain"], ["gate"], [])
