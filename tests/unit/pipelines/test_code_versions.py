"""Runs and the version of the code that they ran: which, its file, and what changed in it."""

import time

from pipelines import code_diff, mirror, run_answers, sync
from pipelines.models import PipelineSource, Run
from tests.pipeline_rows import make_pipeline, make_run

DAG = "titanic_training"


def found_run(**values):
    item = {"dag_id": DAG, "dag_run_id": "r1", "state": "running", "run_type": "manual", **values}
    return run_answers.dag_run(item)


def test_a_run_tells_the_versions_that_its_tasks_ran(db):
    versions = [{"version_number": number, "dag_id": DAG} for number in (3, 2, 3)]
    mirror.save_runs([found_run(dag_versions=versions)])
    assert Run.objects.get().versions == [2, 3]
    mirror.save_runs([found_run(dag_versions=None)])
    assert Run.objects.get().versions == []


def test_the_run_leads_to_its_code(page, airflow):
    make_pipeline()
    run = make_run(versions=[2, 3])
    text = page.get(f"/runs/{run.pk}").content.decode()
    assert f'href="/pipelines/{DAG}/code?version=2"' in text
    assert page.get(f"/api/v1/runs/{run.pk}").json()["versions"] == [2, 3]


def test_the_files_of_versions_that_ran_are_fetched_too(db, airflow):
    airflow.add_dag(DAG)
    make_pipeline()
    make_run(versions=[1, 4])
    make_run(versions=[5])
    sync.sync_pipelines()
    assert set(PipelineSource.objects.values_list("version", flat=True)) == {5, 4, 1}
    asked = airflow.calls.count("dag_source")
    sync.sync_pipelines()
    assert (asked, airflow.calls.count("dag_source")) == (3, 3)


def test_the_page_shows_what_changed_since_the_version_before(page, airflow):
    make_pipeline()
    for version, text in ((1, "a\nb\nc"), (3, "a\n<b>\nc\nd")):
        PipelineSource.objects.create(dag_id=DAG, version=version, text=text)
    text = page.get(f"/pipelines/{DAG}/code?version=3").content.decode()
    assert "Changed since version 1" in text
    assert "+2 −1" in text
    assert "+ &lt;b&gt;" in text
    assert "Changed since" not in page.get(f"/pipelines/{DAG}/code?version=1").content.decode()


def test_a_version_that_is_not_known_says_so(page, airflow):
    make_pipeline()
    PipelineSource.objects.create(dag_id=DAG, version=1, text="a")
    text = page.get(f"/pipelines/{DAG}/code?version=2").content.decode()
    assert "The code of version 2 is not known here; this is version 1." in text


def test_lines_far_from_a_change_are_left_out():
    before = [f"line {number}" for number in range(50)]
    after = [*before]
    after[10], after[40] = "ten", "forty"
    diff = code_diff.between("\n".join(before), "\n".join(after))
    assert (diff.n_added, diff.n_removed) == (2, 2)
    assert [line.kind for line in diff.lines].count("gap") == 1
    assert len(diff.lines) == 2 * (3 + 2 + 3) + 1
    assert code_diff.between("a", "a").lines == []
    assert code_diff.between("a\n" * 1001, "b").is_too_long


def test_lines_that_come_again_and_again_are_compared_in_no_time():
    before = "\n".join(f"{number % 2}" if number % 3 else f"line {number}" for number in range(1000))
    after = "\n".join(f"{number % 2}" if number % 5 else f"row {number}" for number in range(1000))
    began = time.monotonic()
    assert code_diff.between(before, after).n_added > 300
    assert time.monotonic() - began < 1
    assert code_diff.between(before, after) is code_diff.between(before, after)
