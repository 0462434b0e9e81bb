"""DAG files under Airflow's own Python: they parse, import nothing but Airflow and params, and do no work."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
import importlib.util, json, sys
import airflow.sdk
before = set(sys.modules)
name = sys.argv[1].rpartition("/")[2].removesuffix(".py")
spec = importlib.util.spec_from_file_location("parsed", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
found = getattr(module, name)()
json.dump({
    "dag_id": found.dag_id,
    "doc": found.doc_md,
    "tags": sorted(found.tags),
    "is_paused": found.is_paused_upon_creation,
    "tasks": {task.task_id: sorted(task.downstream_task_ids) for task in found.tasks},
    "python": sorted({task.python for task in found.tasks if hasattr(task, "python")}),
    "retries": sorted({task.retries for task in found.tasks}),
    "endless": [task.task_id for task in found.tasks if task.execution_timeout is None],
    "params": {name: {"value": param.value, **param.schema} for name, param in found.params.items()},
    "loaded": sorted(name for name in set(sys.modules) - before if name.split(".")[0] in ("dags", "scoring")),
    "heavy": sorted({name.split(".")[0] for name in sys.modules} & {"numpy", "pandas", "sklearn", "mlflow"}),
}, sys.stdout)
"""
DAGS = sorted(path.stem for path in (ROOT / "dags").glob("*.py") if "@dag(" in path.read_text())


def airflow_python() -> Path:
    venvs = Path(os.environ.get("CONSOLE_VENV_DIR") or Path(sys.prefix).parent)
    return venvs / "airflow" / "bin" / "python"


@pytest.fixture(scope="module")
def parse(tmp_path_factory):
    """What a DAG file comes to under Airflow's own Python; each is parsed once."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path_factory.mktemp("home")),
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "PYTHONPATH": str(ROOT),
        "ATALAYA_PYTHON": sys.executable,
    }

    @cache
    def parsed(name: str) -> dict:
        answer = subprocess.run(
            [airflow_python(), "-c", SCRIPT, ROOT / "dags" / f"{name}.py"],
            env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout.splitlines()[-1])

    return parsed


@pytest.mark.parametrize("name", DAGS)
def test_a_dag_is_called_as_its_file_and_says_what_it_does(parse, name):
    parsed = parse(name)
    assert parsed["dag_id"] == name
    assert len(parsed["doc"]) > 100
    assert parsed["tags"]
    assert parsed["is_paused"] is False
    assert parsed["python"] == [sys.executable]


@pytest.mark.parametrize("name", DAGS)
def test_each_task_is_tried_again_and_ends(parse, name):
    parsed = parse(name)
    assert min(parsed["retries"]) >= 1
    assert parsed["endless"] == []


@pytest.mark.parametrize("name", DAGS)
def test_parsing_loads_params_and_nothing_heavy(parse, name):
    parsed = parse(name)
    recipes = [one for one in parsed["loaded"] if one.startswith("dags.recipes.")]
    assert all(one.count(".") == 2 or one.endswith(".params") for one in recipes), recipes
    assert not [one for one in parsed["loaded"] if one.startswith("scoring")]
    assert parsed["heavy"] == []


@pytest.mark.parametrize("name", DAGS)
def test_params_have_titles_and_bounds(parse, name):
    for param in parse(name)["params"].values():
        assert param["title"]
        if param["type"] in ("integer", "number"):
            assert param["minimum"] <= param["value"] <= param["maximum"]


TRAINING = {
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


@pytest.mark.parametrize(
    ("name", "tasks"),
    [
        ("titanic_training", TRAINING),
        ("diabetes_data", {"fetch": ["clean"], "clean": ["split"], "split": ["store"], "store": []}),
        ("diabetes_training", {"next_batch": ["goes_on"], "goes_on": ["load"], **TRAINING}),
    ],
)
def test_tasks_come_in_their_order(parse, name, tasks):
    assert parse(name)["tasks"] == tasks


def test_params_carry_a_schema_that_draws_a_form(parse):
    params = parse("titanic_training")["params"]
    assert list(params) == ["source", "url", "n_iter", "cv", "seed", "holdout_share"]
    assert params["source"]["enum"] == ["auto", "file", "url", "synthetic"]
    assert (params["n_iter"]["minimum"], params["n_iter"]["maximum"]) == (1, 50)
    assert (params["cv"]["minimum"], params["cv"]["maximum"]) == (2, 10)
    assert (params["holdout_share"]["minimum"], params["holdout_share"]["maximum"]) == (0.1, 0.4)


def test_recipes_are_kept_from_the_parser():
    assert "recipes/" in (ROOT / "dags" / ".airflowignore").read_text().splitlines()
