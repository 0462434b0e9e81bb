"""Notebooks of docs/notebooks as they are kept: without output or secret, and true to the REST API."""

import ast
import json
import re

import pytest
from django.urls import Resolver404, resolve

from stack.config import REPO

NOTEBOOKS = sorted((REPO / "docs" / "notebooks").glob("*.ipynb"))
SECRET = re.compile(r"ata_[A-Za-z0-9_-]{8,}|Bearer [A-Za-z0-9_-]{8,}|eyJ[A-Za-z0-9_-]{10,}")


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.name)
def notebook(request):
    return json.loads(request.param.read_text(encoding="utf-8"))


def codes(notebook):
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def paths(code):
    """Texts of the code that are paths of the API."""
    texts = [node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)]
    return [text for text in texts if isinstance(text, str) and text.startswith("/api/")]


def test_there_is_one():
    assert [path.name for path in NOTEBOOKS] == ["taxi.ipynb"]


def test_a_notebook_is_kept_without_what_it_printed(notebook):
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert cells
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


def test_a_notebook_holds_no_secret(notebook):
    assert not SECRET.search(json.dumps(notebook, ensure_ascii=False))
    assert any('os.environ["ATALAYA_TOKEN"]' in code for code in codes(notebook))


def test_every_path_is_one_of_the_api(notebook):
    found = [path for code in codes(notebook) for path in paths(code)]
    assert len(found) > 5
    for path in found:
        try:
            assert resolve(path).namespace == "api", path
        except Resolver404:
            pytest.fail(f"{path} is no path of the API")


def test_what_is_no_path_and_what_is_a_secret_are_found():
    assert paths('get("/api/v1/no-such")') == ["/api/v1/no-such"]
    with pytest.raises(Resolver404):
        resolve("/api/v1/no-such")
    assert SECRET.search('"Authorization": "Bearer abcdefgh12"')
