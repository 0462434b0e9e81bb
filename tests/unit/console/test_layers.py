"""Who imports whom inside an app. A module's kind is the last word of its name: a new file has its layer."""

import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[3]
ROOTS = ["console", "core", "pipelines", "models_registry", "streaming", "jobs", "predictions", "usecases"]
APPS = [
    "core.access", "core.audit", "core.alerts",
    "pipelines", "models_registry", "streaming", "jobs", "predictions", "usecases",
]  # fmt: skip
# Above first: pages and REST, the click's half, the worker's half, reads, the service, rows.
LAYERS = [
    {"urls"},
    {"views", "api"},
    {"actions", "changes"},
    {"tasks", "sync"},
    {"queries"},
    {"gateway"},
    {"calls"},
    {"models"},
]
SHAPES = {"form", "forms", "serializers"}
# The console's own beat finds what was set aside: it raises its alerts as every app does.
BESIDE = [("core.alerts.aside_alerts", "core.alerts.actions")]


@pytest.fixture(scope="module")
def graph():
    sys.path.insert(0, str(ROOT))
    found = grimp.build_graph(*ROOTS, cache_dir=None)
    for importer, imported in BESIDE:
        assert found.direct_import_exists(importer=importer, imported=imported)
        found.remove_import(importer=importer, imported=imported)
    return found


def of_kind(graph, app, kinds):
    """Its modules and packages of these kinds; all in a package is of the package's kind."""
    known = set.union(*LAYERS, SHAPES)
    found = {name for name in graph.find_descendants(app) if kind(name) in known}
    first = {name for name in found if name.rpartition(".")[0] not in found}
    return {name for name in first if kind(name) in kinds}


def everywhere(graph, kinds):
    return {name for app in APPS for name in of_kind(graph, app, kinds)}


def kind(module):
    return module.rpartition(".")[2].rpartition("_")[2]


@pytest.mark.parametrize("app", APPS)
def test_imports_point_down(graph, app):
    layers = [
        grimp.Layer(*found, independent=False) for kinds in LAYERS if (found := of_kind(graph, app, kinds))
    ]
    upwards = graph.find_illegal_dependencies_for_layers(layers)
    assert {(one.importer, one.imported) for one in upwards} == set()


def test_rest_needs_no_pages(graph):
    pages, rest = everywhere(graph, {"views"}), everywhere(graph, {"api"})
    chains = [graph.find_shortest_chain(importer=one, imported=page) for one in rest for page in pages]
    assert [chain for chain in chains if chain] == []


def test_the_shape_of_what_comes_in_does_nothing_by_itself(graph):
    doing = everywhere(graph, {"actions", "changes", "tasks", "gateway"})
    shapes = everywhere(graph, SHAPES)
    found = [(one, other) for one in shapes for other in graph.find_modules_directly_imported_by(one) & doing]
    assert found == []


def test_kinds_are_known_by_the_last_word(graph):
    assert {"pipelines.models", "pipelines.backfill_models"} <= of_kind(graph, "pipelines", {"models"})
    assert of_kind(graph, "predictions", {"tasks"}) == {"predictions.tasks", "predictions.batches.tasks"}
    assert "pipelines.previews" not in of_kind(graph, "pipelines", {"views"})
