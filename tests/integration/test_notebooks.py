"""Notebooks of docs/notebooks, run from their first cell to their last against the stack."""

import os
import subprocess
import uuid

import pytest

from stack import install
from stack.config import REPO
from tests.api import Caller
from tests.running_stack import RunningStack

NOTEBOOK = REPO / "docs" / "notebooks" / "taxi.ipynb"
RUN = """
import json, sys
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
print(json.dumps([output.get("text", "") or list(output.get("data", {})) for output in outputs]))
"""


def test_the_taxi_notebook_runs_to_its_end(stack: RunningStack, tmp_path):
    python = install.notebook_python(stack.config.venv_dir)
    if not python.exists():
        pytest.skip(f"the notebooks' environment is not installed ({python}): `make notebook` does")
    reader = Caller(stack, f"reader-{uuid.uuid4().hex[:6]}", "scientist")
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    environment = {
        **kept,
        "ATALAYA_URL": stack.url,
        "ATALAYA_TOKEN": reader.token,
        "MPLCONFIGDIR": str(tmp_path),
        "IPYTHONDIR": str(tmp_path),
        "JUPYTER_RUNTIME_DIR": str(tmp_path),
    }
    done = subprocess.run(
        [str(python), "-c", RUN, str(NOTEBOOK)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Rule:" in done.stdout
    assert reader.token not in done.stdout
