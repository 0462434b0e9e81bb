"""Several tasks at once, and task groups: shown before, cleared or marked in one go, audited once."""

import json
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from django.utils import timezone

from core.audit.models import AuditEntry
from core.lib.errors import Conflict, NotFound, Unavailable
from pipelines import gateway, graph, labels, marking, run_changes, sync, tasks
from pipelines.models import Pipeline, Run, Wish
from pipelines.scope import Scope
from tests.pipeline_rows import make_task
from tests.unit.pipelines.test_airflow_gateway import body, server  # noqa: F401

DAG = "etl"
ORDER = ("load", "clean.trim", "clean.sort", "clean.deep.join", "report")
GROUP = Scope(group="clean")


@pytest.fixture
def run(db, airflow):
    """A run that failed within a group, here and in Airflow."""
    airflow.add_dag(DAG, tasks=ORDER)
    airflow.as_user("ana", "user").trigger_run(DAG, dag_run_id="manual__1", conf={})
    airflow.move_on(DAG, "manual__1", "failed", **dict.fromkeys(ORDER, "success") | {"clean.sort": "failed"})
    sync.sync_pipelines()
    sync.sync_runs()
    sync.sync_tasks()
    airflow.calls.clear()
    return Run.objects.get()


def with_state(airflow, state):
    return {task.task_id for task in airflow.task_states([(DAG, "manual__1")]) if task.state == state}


def test_a_group_is_cleared_whole_with_one_entry_in_the_trail(run, airflow, scientist):
    run_changes.clear_run(run.pk, by=scientist, scope=GROUP)
    tasks.deliver_run(str(run.pk))
    assert with_state(airflow, "") == {"clean.trim", "clean.sort", "clean.deep.join"}
    asked = AuditEntry.objects.get(action="run.clear")
    assert asked.after == {"only_failed": False, "group": "clean"}
    run.refresh_from_db()
    assert (run.state, run.wish) == ("queued", "")


def test_a_group_is_cleared_with_what_follows_or_its_failed_ones_alone(run, airflow, scientist):
    run_changes.clear_run(run.pk, by=scientist, scope=Scope(group="clean.deep", downstream=True))
    tasks.deliver_run(str(run.pk))
    assert with_state(airflow, "") == {"clean.deep.join", "report"}
    Run.objects.update(state="failed")
    run_changes.clear_run(run.pk, by=scientist, scope=Scope(group="clean", only_failed=True))
    tasks.deliver_run(str(run.pk))
    assert with_state(airflow, "") == {"clean.deep.join", "report", "clean.sort"}


def test_several_tasks_are_cleared_at_once(run, airflow, scientist):
    several = Scope(tasks=(("load", -1), ("report", None)))
    run_changes.clear_run(run.pk, by=scientist, scope=several)
    assert Run.objects.get().wished_scope == several
    tasks.deliver_run(str(run.pk))
    assert with_state(airflow, "") == {"load", "report"}
    assert airflow.calls.count("clear_tasks") == 1
    assert AuditEntry.objects.get(action="run.clear").after["tasks"] == [["load", -1], ["report", None]]


def test_a_clear_of_several_that_was_done_is_not_done_again(run, airflow, scientist):
    """A task of the group had more tries than the other, whose new try is below that number."""
    airflow.move_on(DAG, "manual__1", "failed", tries={"clean.trim": 4}, **{"clean.trim": "success"})
    sync.sync_runs()
    sync.sync_tasks()
    run_changes.clear_run(run.pk, by=scientist, scope=GROUP)
    tasks.deliver_run(str(run.pk))
    airflow.move_on(DAG, "manual__1", "failed", tries={"clean.sort": 2}, **{"clean.sort": "failed"})
    Run.objects.update(wish=Wish.CLEAR, next_attempt_at=timezone.now())
    tasks.deliver_run(str(run.pk))
    assert airflow.calls.count("clear_tasks") == 1


FAILED_ONLY = Scope(group="clean", only_failed=True)


@pytest.mark.parametrize(
    ("scope", "states"),
    [
        # What a clear leaves alone, and what is skipped again, stands as before: neither asks for another.
        (FAILED_ONLY, {"clean.sort": "failed"}),
        (GROUP, {"clean.sort": "success", "clean.trim": "skipped", "clean.deep.join": "success"}),
    ],
)
def test_a_clear_is_done_once_a_task_of_it_moved_on(run, airflow, scientist, scope, states):
    before = {"clean.trim": "skipped"} if scope is GROUP else {}
    airflow.move_on(DAG, "manual__1", "failed", **before)
    sync.sync_runs()
    sync.sync_tasks()
    run_changes.clear_run(run.pk, by=scientist, scope=scope)
    tasks.deliver_run(str(run.pk))
    tries = {name: 2 for name, state in states.items() if state != "skipped"} | {"clean.trim": 1}
    airflow.move_on(DAG, "manual__1", "failed", tries=tries, **{"clean.trim": "success"} | states)
    Run.objects.update(wish=Wish.CLEAR, next_attempt_at=timezone.now())
    tasks.deliver_run(str(run.pk))
    assert airflow.calls.count("clear_tasks") == 1


def test_a_wish_of_an_earlier_release_is_delivered(run, airflow, scientist):
    details = {"task_id": "clean.sort", "map_index": None, "upstream": False, "try_number": 1}
    Run.objects.update(wish=Wish.CLEAR, wish_details=details, next_attempt_at=timezone.now())
    tasks.deliver_run(str(run.pk))
    assert with_state(airflow, "") == {"clean.sort"}


def test_a_group_is_marked(run, airflow, scientist):
    run_changes.mark_task(run.pk, GROUP, "success", by=scientist)
    tasks.deliver_run(str(run.pk))
    assert with_state(airflow, "failed") == set()
    sync.sync_runs()
    sync.sync_tasks()
    with pytest.raises(Conflict, match=r"clean\.\*"):
        run_changes.mark_task(run.pk, GROUP, "success", by=scientist)


THREE = Scope(tasks=(("load", -1), ("clean.trim", -1), ("report", None)))


def failing(airflow, monkeypatch, errors):
    """Marking one of these tasks raises its error."""
    mark = type(airflow).mark_tasks

    def mark_tasks(self, dag_id, dag_run_id, scope, state, *, dry_run):
        if scope.task_id in errors:
            raise errors[scope.task_id]
        return mark(self, dag_id, dag_run_id, scope, state, dry_run=dry_run)

    monkeypatch.setattr(type(airflow), "mark_tasks", mark_tasks)


def test_what_is_marked_is_told_and_the_rest_tried_again(run, airflow, scientist, monkeypatch):
    run_changes.mark_task(run.pk, THREE, "failed", by=scientist)
    errors = {"report": Unavailable("Airflow is not answering.", service="airflow")}
    failing(airflow, monkeypatch, errors)
    tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    assert (run.wish, run.delivery_error) == ("mark", "Done so far: 2 of 3 tasks. Airflow is not answering.")
    errors.clear()
    airflow.calls.clear()
    Run.objects.update(next_attempt_at=timezone.now())
    tasks.deliver_run(str(run.pk))
    assert airflow.calls.count("mark_tasks") == 1
    assert with_state(airflow, "failed") == {"load", "clean.trim", "clean.sort", "report"}
    run.refresh_from_db()
    assert (run.wish, run.delivery_error) == ("", "")


def test_marking_ends_in_time_and_goes_on_later(run, airflow, scientist, monkeypatch):
    run_changes.mark_task(run.pk, THREE, "failed", by=scientist)
    clock = SimpleNamespace(monotonic=iter([0.0, 1.0, 40.5]).__next__)
    monkeypatch.setattr(marking, "time", clock)
    tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    assert run.wish == "mark"
    assert run.delivery_error == "Done so far: 1 of 3 tasks. Airflow takes too long for so many tasks."
    assert with_state(airflow, "failed") == {"load", "clean.sort"}


def test_a_task_that_is_refused_keeps_no_other_from_its_state(run, airflow, scientist, monkeypatch):
    run_changes.mark_task(run.pk, THREE, "failed", by=scientist)
    failing(airflow, monkeypatch, {"clean.trim": NotFound("Task 'clean.trim' not found", service="airflow")})
    tasks.deliver_run(str(run.pk))
    assert with_state(airflow, "failed") == {"load", "clean.sort", "report"}
    run.refresh_from_db()
    assert run.wish == ""
    assert run.delivery_error == (
        "1 of 3 tasks could not be marked:\nclean.trim: Task 'clean.trim' not found"
    )
    assert AuditEntry.objects.get(action="run.task_marked").after["words"] == run.delivery_error


def test_nothing_is_marked_twice_where_airflow_is_silent_at_the_end(run, airflow, scientist, monkeypatch):
    run_changes.mark_task(run.pk, THREE, "failed", by=scientist)
    mark_rest = marking.mark_rest

    def silent(*_names):
        raise Unavailable("Airflow is not answering.", service="airflow")

    with monkeypatch.context() as away:

        def then_silent(*given, **more):
            mark_rest(*given, **more)
            away.setattr(type(airflow), "run", silent)

        away.setattr(marking, "mark_rest", then_silent)
        tasks.deliver_run(str(run.pk))
    run.refresh_from_db()
    assert (run.wish, run.delivery_error) == ("mark", "Done so far: 3 of 3 tasks. Airflow is not answering.")
    airflow.calls.clear()
    Run.objects.update(next_attempt_at=timezone.now())
    tasks.deliver_run(str(run.pk))
    assert "mark_tasks" not in airflow.calls
    run.refresh_from_db()
    assert (run.wish, run.delivery_error) == ("", "")


def test_a_page_waits_so_long_for_what_would_be_marked(page, run, airflow, monkeypatch):
    monkeypatch.setattr(marking, "PAGE_S", -1.0)
    named = {"tasks": ["-1 load", "-1 report"], "state": "failed"}
    text = page.get(f"/runs/{run.pk}/mark/preview", named).content.decode()
    assert "Airflow takes too long for so many tasks." in text


def test_no_group_and_no_task_of_that_name(run, scientist):
    for scope in (
        Scope(group="cle"),
        Scope(group="nope"),
        Scope(tasks=(("load", None), ("nope", -1))),
        Scope(tasks=(("load", 3),)),
    ):
        with pytest.raises(NotFound):
            run_changes.clear_run(run.pk, by=scientist, scope=scope)
        with pytest.raises(NotFound):
            run_changes.mark_task(run.pk, scope, "success", by=scientist)


def test_instances_of_a_mapped_task_are_named_one_by_one():
    scope = Scope(tasks=[["load", 3], ["load", 5], ["report", None]])
    assert [scope.holds("load", index) for index in (3, 4, 5)] == [True, False, True]
    assert scope.holds("report", -1)
    assert scope.task == "load[3], load[5], report"
    assert not scope.is_whole_run


# --- names with dots that are no groups


@pytest.fixture
def dotted(db, airflow):
    """A run with a group, and with a task `v1.load` and one `clean.step.2` that stand in no group more."""
    airflow.add_dag(DAG, tasks=("v1.load", "clean.trim", "clean.step.2"))
    airflow.no_groups = {"v1", "clean.step"}
    airflow.as_user("ana", "user").trigger_run(DAG, dag_run_id="manual__1", conf={})
    names = ("v1.load", "clean.trim", "clean.step.2")
    airflow.move_on(DAG, "manual__1", "failed", **dict.fromkeys(names, "failed"))
    sync.sync_pipelines()
    sync.sync_runs()
    sync.sync_tasks()
    return Run.objects.get()


def test_a_dot_in_the_name_of_a_task_makes_no_group(page, dotted):
    text = page.get(f"/runs/{dotted.pk}").content.decode()
    assert '?group=clean"' in text
    assert "?group=v1" not in text
    assert "?group=clean.step" not in text
    for path in ("", "/graph"):
        drawn = page.get(f"/pipelines/{DAG}{path}?fold=v1").content.decode()
        assert "fold=clean" in drawn
        assert "fold=clean.step" not in drawn
        assert "v1.load" in drawn  # nothing is folded into what is no group
        assert "step.2" in drawn


def test_what_is_no_group_is_neither_cleared_nor_marked(dotted, scientist):
    for change in (run_changes.clear_run, partial(run_changes.mark_task, state="success")):
        with pytest.raises(NotFound, match="no task group “v1”"):
            change(dotted.pk, scope=Scope(group="v1"), by=scientist)
    assert run_changes.clear_run(dotted.pk, scope=GROUP, by=scientist).wish == Wish.CLEAR


def test_airflow_is_asked_for_groups_once_a_version(dotted, airflow):
    Pipeline.objects.update(details_at=timezone.now() - timedelta(hours=1))
    airflow.calls.clear()
    sync.sync_pipelines()
    assert airflow.calls.count("dag_tasks") == 1
    assert "dag_groups" not in airflow.calls
    assert [task["groups"] for task in Pipeline.objects.get().tasks] == [[], ["clean"], ["clean"]]


def test_names_tell_where_airflow_told_no_groups():
    row = [{"id": "a.b.c"}, {"id": "d.e", "groups": []}]
    assert labels.groups_in(row) == {"a", "a.b"}
    assert labels.groups_in(row, also=["old.x", "d.f"]) == {"a", "a.b", "old"}


def test_what_is_in_no_group_is_not_asked_of(server):  # noqa: F811
    def answer(request):
        group = parse_qs(urlsplit(request.path).query)["task_group_id"][0]
        return (200, body(task_instances=[])) if group in {"a", "a.b"} else (404, body(detail="no such"))

    server.answer = answer
    asked = {"a", "a.b", "a.b.c", "v1", "v1.2", "v1.2.3"}
    assert gateway.connect().dag_groups(DAG, asked) == {"a", "a.b"}
    assert len(server.requests) == 4


def test_groups_that_cannot_be_told_in_time_go_by_their_names(airflow, db, monkeypatch):
    airflow.add_dag(DAG, tasks=("a.b",))
    airflow.hides_structure = True

    def late(*_args):
        raise Unavailable("slow", service="airflow")

    monkeypatch.setattr(airflow, "dag_groups", late)
    sync.sync_pipelines()
    assert labels.groups_in(Pipeline.objects.get().tasks) == {"a"}


def test_what_was_told_of_groups_holds_while_a_new_version_is_read_in_a_hurry(dotted, airflow, monkeypatch):
    airflow.hides_structure = True

    def late(*_args):
        raise Unavailable("slow", service="airflow")

    monkeypatch.setattr(airflow, "dag_groups", late)
    Pipeline.objects.update(details_at=timezone.now() - timedelta(hours=1), version=7)
    sync.sync_pipelines()
    assert labels.groups_in(Pipeline.objects.get().tasks) == {"clean"}


def test_where_airflow_hides_its_structure_it_is_asked_of_each_name(airflow, db):
    airflow.add_dag(DAG, tasks=("v1.load", "clean.trim"))
    airflow.no_groups, airflow.hides_structure = {"v1"}, True
    sync.sync_pipelines()
    assert [task["groups"] for task in Pipeline.objects.get().tasks] == [[], ["clean"]]


# --- groups whose names are not in those of their tasks


@pytest.fixture
def unprefixed(db, airflow):
    """A run of `load`, then `sort` and `deep.join` in the groups `clean` and `inner`, then `report`."""
    names = ("load", "trim", "sort", "deep.join", "report")
    airflow.add_dag(DAG, tasks=names)
    airflow.groups = {"trim": ["zoo"], "sort": ["zoo", "inner"], "deep.join": ["zoo", "inner"]}
    airflow.no_groups = {"deep"}
    airflow.as_user("ana", "user").trigger_run(DAG, dag_run_id="manual__1", conf={})
    airflow.move_on(DAG, "manual__1", "failed", **dict.fromkeys(names, "success") | {"sort": "failed"})
    sync.sync_pipelines()
    sync.sync_runs()
    sync.sync_tasks()
    return Run.objects.get()


def test_groups_are_known_whatever_their_tasks_are_called(unprefixed):
    found = Pipeline.objects.get().tasks
    known = labels.groups_in(found, also=["old.one"])
    assert known == {"zoo", "inner", "old"}
    assert labels.groups_of("deep.join", known) == ["zoo", "inner"]
    assert labels.groups_of("inner", known) == ["zoo"]
    assert labels.groups_of("old.one", known) == ["old"]


def test_their_frames_hold_their_tasks_and_no_other(unprefixed):
    drawn = graph.draw(Pipeline.objects.get().tasks)
    assert [(frame.id, frame.label) for frame in drawn.frames] == [("zoo", "zoo"), ("inner", "inner")]
    boxes = {box.id: box for box in drawn.boxes}
    for frame, inside in zip(
        drawn.frames, ({"trim", "sort", "deep.join"}, {"sort", "deep.join"}), strict=True
    ):
        within = {
            name
            for name, box in boxes.items()
            if frame.x <= box.x and box.x + box.width <= frame.x + frame.width
            if frame.y <= box.y and box.y + graph.BOX_H <= frame.y + frame.height
        }
        assert within == inside
    assert drawn.frames[0].x < drawn.frames[1].x


def test_they_are_folded_in_graph_and_grid_and_show_the_worst_of_what_they_hold(page, unprefixed):
    tasks = Pipeline.objects.get().tasks
    assert [task["id"] for task in graph.folded(tasks, ["inner"])] == ["load", "trim", "inner", "report"]
    assert [task["id"] for task in graph.folded(tasks, ["zoo"])] == ["load", "zoo", "report"]
    answer = page.get(f"/pipelines/{DAG}?fold=inner")
    [group] = [one for one in answer.context["graph"].boxes if one.box.n_tasks]
    assert (group.box.id, group.state, group.box.n_tasks) == ("inner", "failed", 2)
    assert [frame.id for frame in answer.context["graph"].drawing.frames] == ["zoo"]
    rows = [(row.id, row.is_group, row.n_tasks) for row in answer.context["grid"].rows]
    assert rows == [
        ("load", False, 0), ("zoo", True, 3), ("trim", False, 0), ("inner", True, 2), ("report", False, 0),
    ]  # fmt: skip


def test_they_are_cleared_and_marked(page, unprefixed, scientist, airflow):
    assert "?group=inner" in page.get(f"/runs/{unprefixed.pk}").content.decode()
    run_changes.clear_run(unprefixed.pk, by=scientist, scope=Scope(group="inner"))
    tasks.deliver_run(str(unprefixed.pk))
    assert with_state(airflow, "") == {"sort", "deep.join"}


def test_groups_are_read_from_the_graph_of_airflows_own_pages(server):  # noqa: F811
    join = {"id": "zoo.upstream_join_id", "label": "", "type": "join", "children": None}
    inner = {"id": "inner", "type": "task", "children": [{"id": "sort", "type": "task", "children": None}]}
    nodes = [
        {"id": "load", "type": "task", "children": None},
        {"id": "zoo", "type": "task", "children": [{"id": "trim", "type": "task"}, inner, join]},
    ]
    server.answer = lambda _request: (200, body(nodes=nodes, edges=[]))
    told = {node.id: node.groups for node in gateway.connect().drawn_tasks(DAG)}
    assert told == {"load": [], "trim": ["zoo"], "sort": ["zoo", "inner"]}
    [request] = server.requests
    assert request.path == f"/ui/structure/structure_data?dag_id={DAG}"


# --- what Airflow gets


@pytest.mark.parametrize(
    ("scope", "ids"),
    [
        (Scope("load", 3), [["load", 3]]),
        (Scope(tasks=(("load", 3), ("load", 4), ("report", -1))), [["load", 3], ["load", 4], "report"]),
        (Scope(group="clean", tasks=(("clean.sort", None),)), ["clean.sort"]),
        (Scope(), None),
    ],
)
def test_one_call_names_all_tasks_to_clear(server, scope, ids):  # noqa: F811
    server.answer = (200, body(task_instances=[], total_entries=0))
    gateway.connect("ana", "user").clear_tasks(DAG, "r", scope, dry_run=True)
    [request] = server.requests
    assert json.loads(request.body).get("task_ids") == ids


# --- pages and REST


def test_the_run_page_offers_groups_and_ticks(page, run):
    text = page.get(f"/runs/{run.pk}").content.decode()
    assert f'href="/runs/{run.pk}/clear?group=clean"' in text
    assert f'href="/runs/{run.pk}/mark?group=clean.deep"' in text
    assert 'value="-1 clean.sort"' in text


def test_the_graph_and_the_grid_lead_to_clearing_a_group(page, run):
    page_url, url = f"/pipelines/{DAG}", f"/runs/{run.pk}/clear?group=clean.deep"
    for address in (page_url, f"/runs/{run.pk}"):
        text = page.get(address).content.decode()
        graph = text[text.index("data-graph") :]
        assert f'<a href="{url}" aria-label="Run the group clean.deep again"><text' in graph
    text = page.get(page_url).content.decode()
    card = text[text.index('id="run-card-title"') : text.index('id="graph-title"')]
    assert f'href="{url}"' in card
    assert "3 tasks would run again" in page.get(f"/runs/{run.pk}/clear/preview?group=clean").content.decode()
    Run.objects.update(wish=Wish.CLEAR, next_attempt_at=timezone.now())  # nothing more until that is done
    for address in (page_url, f"/runs/{run.pk}"):
        assert "?group=" not in page.get(address).content.decode()


def test_the_grid_offers_a_viewer_no_group_to_clear(client, viewer, run):
    client.force_login(viewer)
    assert "?group=" not in client.get(f"/pipelines/{DAG}").content.decode()


def test_a_viewer_is_offered_neither(client, viewer, run):
    client.force_login(viewer)
    text = client.get(f"/runs/{run.pk}").content.decode()
    assert "?group=" not in text
    assert 'name="tasks"' not in text


@pytest.mark.parametrize("named", [{"group": "clean"}, {"tasks": ["-1 clean.sort", "-1 report"]}])
def test_the_page_shows_then_clears_them(page, run, airflow, named):
    url = f"/runs/{run.pk}/clear"
    form = page.get(url, named).content.decode()
    assert "Run these tasks again" in form
    for name, values in named.items():
        for value in [values] if isinstance(values, str) else values:
            assert f'name="{name}" value="{value}"' in form
    n = 3 if "group" in named else 2
    assert f"{n} tasks would run again" in page.get(f"{url}/preview", named).content.decode()
    assert "clear_tasks" not in airflow.calls
    assert page.post(url, named)["Location"] == f"/runs/{run.pk}"
    tasks.deliver_run(str(run.pk))
    assert len(with_state(airflow, "")) == n


def test_the_page_shows_then_marks_them(page, run, airflow):
    named = {"tasks": ["-1 clean.sort", "-1 report"]}
    url = f"/runs/{run.pk}/mark"
    assert "Mark these tasks" in page.get(url, named).content.decode()
    preview = page.get(f"{url}/preview", {**named, "state": "failed"}).content.decode()
    assert "1 task would change" in preview
    page.post(url, {**named, "state": "failed"})
    tasks.deliver_run(str(run.pk))
    assert with_state(airflow, "failed") == {"clean.sort", "report"}


@pytest.mark.parametrize(
    "named", [{"tasks": "x load"}, {"tasks": "load"}, {"tasks": "3 "}, {"tasks": "-1 load", "group": "clean"}]
)
def test_what_names_no_tasks_is_refused(page, run, named):
    assert page.get(f"/runs/{run.pk}/clear", named).status_code == 422
    assert page.post(f"/runs/{run.pk}/clear", named).status_code == 422
    assert not Run.objects.exclude(wish="").exists()


def test_rest_tells_and_clears_groups_and_several_tasks(page, run):
    def post(path, **body):
        return page.post(f"/api/v1/runs/{run.pk}/{path}", body, content_type="application/json")

    told = post("clear", group="clean", dry_run=True).json()["results"]
    assert {task["task_id"] for task in told} == {"clean.trim", "clean.sort", "clean.deep.join"}
    several = [{"task_id": "load"}, {"task_id": "report", "map_index": -1}]
    told = post("mark", tasks=several, state="failed", dry_run=True).json()["results"]
    assert {task["task_id"] for task in told} == {"load", "report"}
    assert post("clear", group="clean", task_id="load").status_code == 422
    assert post("clear", tasks=[{"task_id": "load", "nope": 1}]).status_code == 422
    assert post("clear", tasks=[{"task_id": "load"}] * 101).status_code == 422
    assert post("clear", group="nope").status_code == 404
    for path in ("clear", "mark"):  # an empty list is no word for the whole run
        assert post(path, tasks=[], state="failed").status_code == 422
        assert post(path, map_index=3, state="failed").status_code == 422
    assert post("clear", group="clean").status_code == 202


def test_a_run_with_one_task_has_nothing_to_tick(page, run):
    run.task_instances.exclude(task_id="load").delete()
    text = page.get(f"/runs/{run.pk}").content.decode()
    assert 'name="tasks"' not in text
    make_task(run, "other")
    assert 'name="tasks"' in page.get(f"/runs/{run.pk}").content.decode()
