"""Each task is a process of its own: what takes seconds to load is loaded by the steps that need it alone."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SLOW = {"sklearn", "scipy", "mlflow", "shap", "matplotlib"}
SCRIPT = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""


def test_steps_that_neither_learn_nor_register_load_nothing_slow():
    folder = ROOT / "dags" / "recipes"
    paths = [*folder.glob("*/training.py"), *folder.glob("*/monitor.py"), *folder.glob("*/etl.py")]
    paths += [*folder.glob("*/collect*.py"), *folder.glob("*/batch.py")]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    assert len(names) >= 9
    told = subprocess.run(
        [sys.executable, "-c", SCRIPT, *names],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert SLOW & set(json.loads(told.stdout)) == set()
