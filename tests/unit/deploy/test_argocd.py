"""Argo CD's applications, the overlays that they lay over the chart, and the program that names images."""

import importlib.util
import shutil

import pytest
import yaml

from stack.config import REPO
from tests.unit.deploy import manifests
from tests.unit.deploy.manifests import of_kind, pods
from tests.unit.deploy.test_chart_values import DEFAULTS, faults, merged

ARGOCD = REPO / "deploy" / "argocd"
ENVIRONMENTS = ("staging", "production")
DIGEST = "sha256:" + "ab" * 32

_spec = importlib.util.spec_from_file_location("images", ARGOCD / "images.py")
images = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(images)


@pytest.fixture
def folder(tmp_path):
    """The overlays of both environments, to write in."""
    for name in ENVIRONMENTS:
        shutil.copytree(ARGOCD / name, tmp_path / name)
    return tmp_path


def applications(environment):
    return {
        one["metadata"]["name"]: one["spec"]
        for one in yaml.safe_load_all((ARGOCD / f"{environment}.yaml").read_text())
    }


def value_files(environment):
    """The values of the console's application, in order."""
    source = applications(environment)[f"atalaya-{environment}"]["source"]
    return [(REPO / source["path"] / name).resolve() for name in source["helm"]["valueFiles"]]


def values(environment):
    found = {}
    for path in value_files(environment):
        found = merged(found, manifests.read(path))
    return found


EVERY_SET = {name: manifests.read(manifests.VALUES / f"{name}.yaml") for name in manifests.SETS}
EVERY_SET |= {f"argocd {name}": values(name) for name in ENVIRONMENTS}


@pytest.mark.parametrize("name", EVERY_SET)
def test_prometheus_may_ask_where_it_is_told_to(name):
    """Network policies must not keep it out; an empty list lets everybody in."""
    found = merged(DEFAULTS, EVERY_SET[name])
    policy = found["networkPolicy"]
    if not found["monitoring"]["serviceMonitor"]["enabled"] or not policy["enabled"]:
        return
    for peers in (policy["webFrom"], policy["servingFrom"], policy["metricsFrom"]):
        assert not peers or "monitoring" in str(peers)


def test_some_sets_are_watched():
    watched = {
        name
        for name, found in EVERY_SET.items()
        if merged(DEFAULTS, found)["monitoring"]["serviceMonitor"]["enabled"]
    }
    assert watched == {"observed", "argocd production"}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_files_that_applications_name_are_there(environment):
    airflow = applications(environment)[f"atalaya-{environment}-airflow"]
    names = [name for one in airflow["sources"] for name in one.get("helm", {}).get("valueFiles", ())]
    assert len(names) == 4
    assert [name for name in names if not (REPO / name.removeprefix("$ours/")).is_file()] == []
    assert [path for path in value_files(environment) if not path.is_file()] == []


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_charts_of_others_are_named_by_version(environment):
    sources = applications(environment)[f"atalaya-{environment}-airflow"]["sources"]
    versions = [one["targetRevision"] for one in sources if "chart" in one]
    assert [version.split(".")[0].isdigit() for version in versions] == [True]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_overlays_fit_the_chart(environment):
    assert faults(values(environment)) == []
    assert merged(DEFAULTS, values(environment))["existingSecret"]  # Argo CD would generate others each time


def test_a_person_syncs_production_and_nobody_staging():
    assert "automated" not in applications("production")["atalaya-production"]["syncPolicy"]
    assert "automated" in applications("staging")["atalaya-staging"]["syncPolicy"]


@manifests.needs_helm
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_overlays_render_and_pass_the_policies(environment):
    options = [word for path in value_files(environment) for word in ("-f", str(path))]
    done = manifests.template(*options)
    assert done.returncode == 0, done.stderr
    rendered = manifests.documents(done.stdout)
    found = [fault for one in rendered for fault in manifests.faults(one)]
    assert found == ["atalaya-watch holds a token of its service account"]
    assert of_kind(rendered, "Secret") == {}
    named = {one["image"] for pod in pods(rendered).values() for one in manifests.containers(pod)}
    assert all("@sha256:" in image for image in named)


def test_image_is_named(folder):
    images.main(["set", "staging", "console", "host.example:5000/team/console", DIGEST], folder)
    found = manifests.read(folder / "staging" / "image.yaml")
    assert found == {"image": {"repository": "host.example:5000/team/console", "digest": DIGEST}}
    assert faults(found) == []


def test_production_takes_over_what_staging_runs(folder, capsys):
    images.main(["set", "staging", "console", "host/console", DIGEST], folder)
    images.main(["set", "staging", "airflow", "host/airflow", DIGEST], folder)
    images.main(["copy", "staging", "production"], folder)
    images.main(["list", "production"], folder)
    assert capsys.readouterr().out == f"host/console@{DIGEST}\nhost/airflow@{DIGEST}\n"
    found = manifests.read(folder / "production" / "airflow-image.yaml")
    assert found == {"defaultAirflowRepository": "host/airflow", "defaultAirflowDigest": DIGEST}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["set", "staging", "console", "host/x", "sha256:ab"], "is no digest"),
        (["set", "staging", "console", "host/x", "latest"], "is no digest"),
        (["set", "staging", "console", "host/x y", DIGEST], "is no repository"),
        (["set", "staging", "console", "host/x\nother: 1", DIGEST], "is no repository"),
        (["copy", "staging", "production"], "staging/image.yaml names no image yet"),
    ],
)
def test_what_is_no_image_is_refused_and_nothing_is_written(folder, arguments, words):
    before = {path: path.read_text() for path in folder.rglob("*.yaml")}
    with pytest.raises(SystemExit, match=words):
        images.main(arguments, folder)
    assert {path: path.read_text() for path in folder.rglob("*.yaml")} == before


def test_unknown_environment_is_refused(folder, capsys):
    with pytest.raises(SystemExit):
        images.main(["list", "elsewhere"], folder)
    assert "invalid choice: 'elsewhere'" in capsys.readouterr().err
