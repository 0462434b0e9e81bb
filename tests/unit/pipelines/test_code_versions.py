"""Runs and the version of the code that they ran: which, its file, and what changed in it."""

import time
from dataclasses import asdict, replace

from core.lib.errors import Unavailable
from pipelines import code_diff, dag_answers, mirror, run_answers, sync
from pipelines.dag_answers import TaskNode
from pipelines.models import Pipeline, PipelineSource, Run
from tests.pipeline_rows import make_pipeline, make_run, make_task

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


# --- the graph of the version that ran


def test_the_graph_of_a_version_goes_through_what_joins_groups():
    answer = {
        "nodes": [
            {"id": "make", "label": "make", "operator": "@task", "setup_teardown_type": "setup"},
            {
                "id": "zoo",
                "label": "zoo",
                "children": [
                    {"id": "zoo.trim", "label": "trim", "is_mapped": True},
                    {"id": "zoo.sort", "label": "In order"},
                    {"id": "zoo.upstream_join_id", "label": "", "type": "join"},
                    {"id": "zoo.downstream_join_id", "label": "", "type": "join"},
                ],
            },
            {"id": "drop", "label": "drop", "setup_teardown_type": "teardown"},
        ],
        "edges": [
            {"source_id": "make", "target_id": "zoo.upstream_join_id"},
            {"source_id": "zoo.upstream_join_id", "target_id": "zoo.trim"},
            {"source_id": "zoo.upstream_join_id", "target_id": "zoo.sort"},
            {"source_id": "zoo.trim", "target_id": "zoo.downstream_join_id"},
            {"source_id": "zoo.sort", "target_id": "zoo.downstream_join_id"},
            {"source_id": "zoo.downstream_join_id", "target_id": "drop", "label": "All sorted"},
            {"source_id": "make", "target_id": "drop", "is_setup_teardown": True},
        ],
    }
    assert dag_answers.drawn_tasks(answer) == [
        TaskNode("make", "make", "@task", ["drop", "zoo.sort", "zoo.trim"], False, [], "setup", {}),
        TaskNode("zoo.trim", "zoo.trim", "", ["drop"], True, ["zoo"], "", {"drop": "All sorted"}),
        TaskNode("zoo.sort", "In order", "", ["drop"], False, ["zoo"], "", {"drop": "All sorted"}),
        TaskNode("drop", "drop", "", [], False, [], "teardown", {}),
    ]


def test_a_run_shows_the_graph_that_it_ran_and_what_depended_on_the_task_there(page, airflow):
    airflow.add_dag(DAG, tasks=("a", "renamed"))
    airflow.older[DAG, 3] = [
        TaskNode("a", "a", "@task", ["b"], False), TaskNode("b", "b", "@task", ["c"], False),
        TaskNode("c", "c", "@task", [], False),
    ]  # fmt: skip
    make_pipeline()
    old, new = make_run(versions=[2, 3], state="failed"), make_run(versions=[1])
    make_task(old, "a", state="failed")
    for name in ("c", "b"):
        make_task(old, name, state="upstream_failed", try_number=0)
    sync.sync_pipelines()
    shown = page.get(f"/runs/{old.pk}")
    assert [item.box.id for item in shown.context["graph"].boxes] == ["a", "b", "c"]
    assert [row.task_id for row in shown.context["tasks"]] == ["a", "b", "c"]
    assert shown.context["failure"].after == ["b", "c"]
    listed = page.get(f"/api/v1/runs/{old.pk}/tasks").json()["results"]
    assert [task["task_id"] for task in listed] == ["a", "b", "c"]
    assert [item.box.id for item in page.get(f"/runs/{new.pk}").context["graph"].boxes] == ["a", "renamed"]


def test_a_run_of_the_newest_version_shows_what_was_read_of_it_last(page, airflow):
    airflow.add_dag(DAG, tasks=("a", "b"))
    make_pipeline()
    sync.sync_pipelines()
    newest = Pipeline.objects.get(pk=DAG).version
    PipelineSource.objects.update_or_create(
        dag_id=DAG, version=newest, defaults={"tasks": [{"id": "as_it_was_read_first", "downstream": []}]}
    )
    run = make_run(versions=[newest])
    assert [item.box.id for item in page.get(f"/runs/{run.pk}").context["graph"].boxes] == ["a", "b"]


def test_where_airflow_tells_no_graph_of_a_version_the_newest_is_shown(page, airflow):
    airflow.add_dag(DAG, tasks=("a",))
    airflow.hides_structure = True
    make_pipeline()
    run = make_run(versions=[3])
    sync.sync_pipelines()
    assert [item.box.id for item in page.get(f"/runs/{run.pk}").context["graph"].boxes] == ["a"]
    asked = airflow.calls.count("dag_source")
    sync.sync_pipelines()
    assert airflow.calls.count("dag_source") == asked


def test_roles_that_airflow_failed_to_tell_once_are_asked_for_again(airflow, db, monkeypatch):
    airflow.add_dag(DAG, tasks=("make",))
    [make] = airflow.dag_tasks(DAG)
    airflow._dags[DAG] = (*airflow._dags[DAG][:2], [replace(make, role="setup")])
    tell = airflow.drawn_tasks

    def late(*_args):
        raise Unavailable("slow", service="airflow")

    monkeypatch.setattr(airflow, "drawn_tasks", late)
    monkeypatch.setattr(airflow, "dag_tasks", lambda _dag_id: [make])  # which tells nothing of roles
    sync.sync_pipelines()
    assert [task["role"] for task in Pipeline.objects.get().tasks] == [None]
    monkeypatch.setattr(airflow, "drawn_tasks", tell)
    sync.sync_pipelines()
    assert [task["role"] for task in Pipeline.objects.get().tasks] == ["setup"]


def test_versions_of_an_earlier_release_are_read_once_more(db, airflow):
    airflow.add_dag(DAG, tasks=("a",))
    make_pipeline()
    PipelineSource.objects.create(dag_id=DAG, version=1, text="old")
    sync.sync_pipelines()
    row = PipelineSource.objects.get()
    assert ([task["id"] for task in row.tasks], row.text) == (["a"], f"# {DAG}, version 1")


def test_setups_and_teardowns_are_told_and_marked(page, airflow):
    airflow.add_dag(DAG, tasks=("make", "work", "drop"))
    make, work, drop = airflow.dag_tasks(DAG)
    make = replace(make, role="setup", downstream=["drop", "work"])
    airflow._dags[DAG] = (*airflow._dags[DAG][:2], [make, work, replace(drop, role="teardown")])
    # A row of an earlier release, which says nothing of roles.
    tasks = [{**asdict(task), "groups": []} for task in (make, work, drop)]
    make_pipeline(version=1, tasks=[{k: v for k, v in task.items() if k != "role"} for task in tasks])
    sync.sync_pipelines()
    assert [task["role"] for task in Pipeline.objects.get().tasks] == ["setup", "", "teardown"]
    shown = page.get(f"/pipelines/{DAG}/graph")
    drawing = shown.context["graph"].drawing
    assert [box.label for box in drawing.boxes] == ["↗ make", "work", "↘ drop"]
    assert (len(drawing.paths), len(drawing.side_paths)) == (2, 1)
    text = shown.content.decode()
    assert 'class="graph-edge is-side"' in text
    assert "drop · teardown · @task" in text


def test_what_an_author_wrote_on_edges_is_drawn(page, airflow):
    airflow.add_dag(DAG, tasks=("check", "save"))
    check, save = airflow.dag_tasks(DAG)
    check = replace(check, edge_labels={"save": "No <errors>"})
    airflow._dags[DAG] = (*airflow._dags[DAG][:2], [check, save])
    make_pipeline()
    sync.sync_pipelines()
    text = page.get(f"/pipelines/{DAG}/graph").content.decode()
    assert 'class="graph-label"' in text
    assert "No &lt;errors&gt;</text>" in text
