"""GitHub's workflows: sound, without a moving version, and with commands that exist here."""

import os
import re
import shutil
import subprocess

import pytest

from stack.config import REPO
from tests.unit.deploy import manifests

FOLDER = REPO / ".github" / "workflows"
WORKFLOWS = {path.stem: manifests.read(path) for path in FOLDER.glob("*.yml")}
ACTIONLINT = os.environ.get("ACTIONLINT") or shutil.which("actionlint") or ""
SECRET = re.compile(r"\$\{\{\s*(secrets|github\.token|vars|inputs)")


def steps():
    for name, workflow in WORKFLOWS.items():
        for job in workflow["jobs"].values():
            for step in job.get("steps", ()):
                yield name, step


def commands() -> str:
    return "\n".join(step["run"] for _name, step in steps() if "run" in step)


@pytest.mark.skipif(not ACTIONLINT, reason="actionlint is neither on the path nor named by ACTIONLINT")
def test_actionlint_has_nothing_to_say():
    done = subprocess.run([ACTIONLINT, *FOLDER.glob("*.yml")], capture_output=True, text=True, cwd=REPO)
    assert done.returncode == 0, done.stdout


def test_actions_are_named_by_a_whole_version():
    used = [step["uses"] for _name, step in steps() if "uses" in step]
    assert len(used) > 10
    moving = [action for action in used if not re.search(r"@(v\d+\.\d+\.\d+|[0-9a-f]{40})$", action)]
    assert moving == []


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflow_begins_with_few_rights_and_every_job_ends(name):
    workflow = WORKFLOWS[name]
    assert "permissions" in workflow
    assert workflow["defaults"]["run"]["shell"] == "bash"
    endless = [
        key for key, job in workflow["jobs"].items() if "timeout-minutes" not in job and "uses" not in job
    ]
    assert endless == []


def test_shell_takes_values_from_its_environment_alone():
    """A value in the text of a script would be run as part of it."""
    assert [step["run"] for _name, step in steps() if "${{" in step.get("run", "")] == []


def test_make_targets_and_files_of_commands_exist():
    targets = set(re.findall(r"^([a-z-]+):", (REPO / "Makefile").read_text(), re.MULTILINE))
    asked = set(re.findall(r"^make ([a-z-]+)", commands(), re.MULTILINE))
    assert asked == {"check", "test-all"}
    assert asked <= targets
    named = set(re.findall(r"(?:deploy|tests)/[\w./-]+[\w]", commands()))
    assert {"deploy/argocd/images.py", "deploy/helm/atalaya", "tests/unit/deploy"} <= named
    assert [name for name in named if not (REPO / name).exists()] == []


def test_rules_of_prometheus_are_tested_before_a_change_is_let_in():
    """Its tests are skipped where its programs are missing, unless the environment asks for them."""
    found = WORKFLOWS["test"]["jobs"]["test"]["steps"]
    (place,) = (n for n, step in enumerate(found) if step.get("run") == "make test-all")
    assert found[place]["env"] == {"CONSOLE_TEST_NEEDS": "prometheus"}
    before = "\n".join(step.get("run", "") for step in found[:place])
    assert re.search(r"apt-get install .*\bprometheus prometheus-alertmanager\b", before)


def test_images_are_built_pushed_and_signed_by_digest():
    text = (FOLDER / "images.yml").read_text()
    build = WORKFLOWS["images"]["jobs"]["build"]
    assert build["strategy"]["matrix"]["target"] == ["console", "airflow"]
    assert 'cosign sign --yes "$IMAGE@$DIGEST"' in text
    assert "cosign attest" in text
    assert build["permissions"]["id-token"] == "write"


@pytest.mark.skipif(not manifests.HELM, reason="helm is neither on the path nor named by HELM")
def test_commands_about_the_chart_run_here(tmp_path):
    """As they stand in the workflow, by the shell that runs them there."""
    (tmp_path / "helm").symlink_to(manifests.HELM)
    (script,) = [step["run"] for _name, step in steps() if step.get("name") == "Chart, by Helm alone"]
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=REPO,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("1 chart(s) linted, 0 chart(s) failed") == 4


def test_commands_that_bump_an_environment_run_here(tmp_path):
    """Digests that the builds left, into staging, by the workflow's own lines."""
    shutil.copytree(REPO / "deploy" / "argocd", tmp_path / "deploy" / "argocd")
    (tmp_path / "images").mkdir()
    for target, digit in (("console", "a"), ("airflow", "b")):
        line = f"{target} host.example/team/atalaya-{target} sha256:{digit * 64}\n"
        (tmp_path / "images" / f"image-{target}.txt").write_text(line)
    for name in ("Let staging run them", "Take over the images"):
        (script,) = [step["run"] for _name, step in steps() if step.get("name") == name]
        subprocess.run(["bash", "-eo", "pipefail", "-c", script], cwd=tmp_path, check=True)
    for environment in ("staging", "production"):
        found = manifests.read(tmp_path / "deploy" / "argocd" / environment / "image.yaml")
        assert found["image"]["digest"] == "sha256:" + "a" * 64


def test_a_job_that_asks_the_registry_signs_in_to_it_before():
    """Images of a private registry have signatures that nobody else reads."""
    asking = {"docker/build-push-action", "anchore/sbom-action"}
    found = []
    for name, workflow in WORKFLOWS.items():
        for job in workflow["jobs"].values():
            is_in = False
            for step in job.get("steps", ()):
                action = step.get("uses", "").partition("@")[0]
                is_in = is_in or action == "docker/login-action"
                if action in asking or re.search(r"\bcosign \w", step.get("run", "")):
                    found.append((name, is_in))
    assert {name for name, _is_in in found} == {"images", "promote"}
    assert all(is_in for _name, is_in in found)


def test_tests_that_another_workflow_calls_do_not_wait_for_or_cancel_ones_own():
    """A workflow that is called has the name of its caller."""
    assert "${{ github.workflow }}" in WORKFLOWS["test"]["concurrency"]["group"]
