"""Tasks that are mapped a thousand times: a row for each task, its instances counted, and read by pages."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from pipelines import failures, gantt, mirror, run_tasks, task_answers
from pipelines.models import Run, TaskInstance
from pipelines.task_answers import TaskState
from tests.pipeline_rows import STARTED, make_pipeline, make_question, make_run, make_task

DAG = "titanic_training"
N = 120
FAILED = 97  # the index of the one that failed


def node(task_id, *after):
    return {"id": task_id, "label": task_id, "operator": "", "downstream": list(after), "is_mapped": False}


TASKS = [node("list", "load"), node("load", "report"), node("report")]


def fill(run, n, task_id="load", **values):
    """n instances that took a second each, one after the other."""
    rows = [
        TaskInstance(
            run=run,
            task_id=task_id,
            map_index=index,
            try_number=1,
            state="failed" if index == FAILED else "success",
            started_at=STARTED + timedelta(seconds=10 + index),
            ended_at=STARTED + timedelta(seconds=11 + index),
            duration_s=1.0,
            **values,
        )
        for index in range(n)
    ]
    TaskInstance.objects.bulk_create(rows)


@pytest.fixture
def run(db, real_redis, airflow):
    make_pipeline(tasks=TASKS)
    run = make_run(state="failed", ended_at=STARTED + timedelta(seconds=300))
    make_task(run, "list", duration_s=10.0, ended_at=STARTED + timedelta(seconds=10))
    fill(run, N)
    make_task(run, "report", "upstream_failed", try_number=0)
    return run


def words(answer):
    return answer.content.decode().replace("\xa0", " ").replace("\u202f", " ")


def task_rows(text):
    """The rows of the table of tasks, as their ids."""
    body = text[text.index('id="run-body"') :]
    return re.findall(r'<tr id="(task[^"]*)"', body[: body.index("</table>")])


def test_a_mapped_task_is_one_row_that_counts_its_instances(page, run):
    text = words(page.get(f"/runs/{run.pk}"))
    ids = task_rows(text)
    assert [ids[1], len(ids)] == ["task-of-load", 3]
    row = text[text.index('id="task-of-load"') :]
    row = row[: row.index("</tr>")]
    assert "load × 120" in row
    assert row.index("1 failed") < row.index("119 success")
    assert "?unfold=load&amp;of=failed#tasks-title" in row
    # from the first start to the last end: 10 s to 10 + 120 s
    assert "2 m" in row


def test_the_failed_instance_is_the_one_to_read(page, run):
    shown = page.get(f"/runs/{run.pk}").context["shown"]
    assert (shown.task_id, shown.map_index) == ("load", FAILED)


def test_unfolded_it_shows_a_page_of_instances_the_failed_one_first(page, run):
    first = page.get(f"/runs/{run.pk}?unfold=load")
    rows = first.context["unfolded"].page["rows"]
    assert [task.map_index for task in rows] == [FAILED, *range(49)]
    text = first.content.decode()
    assert len(task_rows(text)) == 3 + 50 + 2
    assert f'data-href="?task=load&amp;map_index={FAILED}&amp;unfold=load#log" class="is-instance"' in text
    assert f'name="tasks" value="{FAILED} load" aria-label="load[{FAILED}]"' in text
    last = page.get(f"/runs/{run.pk}?unfold=load&page=3").context["unfolded"].page
    assert ([task.map_index for task in last["rows"]][-1], last["n"]) == (119, N)
    assert 'name="tasks" value="* load"' in text


def test_the_instances_of_one_state_alone(page, run):
    TaskInstance.objects.filter(map_index__in=[3, 4]).update(state="")
    assert [
        (task.map_index, task.state)
        for of in ("failed", "none")
        for task in page.get(f"/runs/{run.pk}?unfold=load&of={of}").context["unfolded"].page["rows"]
    ] == [(FAILED, "failed"), (3, ""), (4, "")]


def test_a_chosen_instance_unfolds_its_task_until_that_is_folded(page, run):
    chosen = page.get(f"/runs/{run.pk}?task=load&map_index=5")
    assert (chosen.context["shown"].map_index, chosen.context["unfolded"].task_id) == (5, "load")
    text = chosen.content.decode()
    assert 'href="?task=load&amp;map_index=5&amp;unfold=#tasks-title"' in text
    assert page.get(f"/runs/{run.pk}?task=load&map_index=5&unfold=").context["unfolded"] is None


@pytest.mark.parametrize("query", ["unfold=list", "unfold=none", "unfold=load&page=x&of=odd"])
def test_an_address_that_somebody_made_up_breaks_nothing(page, run, query):
    assert page.get(f"/runs/{run.pk}?{query}").status_code == 200
    assert page.get(f"/runs/{run.pk}?task=load&map_index=99999999999").status_code == 200


def test_the_failure_counts_instances_and_names_what_did_not_run(run):
    TaskInstance.objects.filter(map_index__in=[3, 4]).update(state="failed")
    found = failures.of_run(run, run_tasks.rows(run), TASKS)
    assert (found.task.map_index, found.n_others, found.after) == (3, 2, ["report"])


def test_the_timeline_has_one_bar_for_all_and_comes_to_the_tasks_after(page, run):
    fill(run, 105, "wide")
    text = words(page.get(f"/runs/{run.pk}"))
    drawn = text[text.index('class="gantt"') :]
    drawn = drawn[: drawn.index("</table>")]
    assert drawn.count("<tr>") == 4
    assert "1 failed, 119 success, 2 m" in drawn
    assert "report" in drawn
    rows = gantt.draw(run_tasks.rows(run, TASKS), now=STARTED).rows
    # `list` 0–10 s, `load` 10–130 s, of 130 s in all
    assert [(row.tries[0].x, row.tries[0].width) for row in rows[:2]] == [(0, 76.9), (76.9, 923.1)]


def test_a_mapped_task_at_work_goes_on_until_now(run):
    TaskInstance.objects.filter(map_index=7).update(state="running", ended_at=None)
    run.state = "running"
    row = run_tasks.rows(run)[1]
    assert (row.has_ended, row.ended_at, row.state) == (False, None, "failed")
    assert row.seconds > timedelta(days=1).total_seconds()


def test_a_mapped_task_that_a_run_left_behind_takes_no_longer(run):
    """A run that failed by deadlock, or is lost: some instances never get an end."""
    TaskInstance.objects.filter(map_index__gt=9).update(state="", ended_at=None)
    row = run_tasks.rows(run)[1]
    assert (row.has_ended, row.ended_at) == (False, STARTED + timedelta(seconds=20))
    assert row.seconds == 10


def test_what_never_ran_gives_no_time(run):
    TaskInstance.objects.filter(task_id="load").exclude(map_index=5).update(state="upstream_failed")
    row = run_tasks.rows(run)[1]
    assert (row.started_at, row.ended_at) == (
        STARTED + timedelta(seconds=15),
        STARTED + timedelta(seconds=16),
    )


def test_all_instances_can_be_ticked_at_once(page, run, sent):
    text = page.get(f"/runs/{run.pk}/clear", {"tasks": ["* load", "-1 report"]}).content.decode()
    assert 'value="* load"' in text
    answer = page.post(f"/runs/{run.pk}/clear", {"tasks": ["* load", "-1 report"]})
    assert answer.status_code == 302
    assert Run.objects.get().wished_scope.tasks == (("load", None), ("report", -1))


def test_rest_gives_cursor_pages_in_the_order_of_the_graph(page, run):
    make_task(run, "gone", "removed")
    found, url, n = [], f"/api/v1/runs/{run.pk}/tasks?limit=50", 0
    while url:
        answer = page.get(url).json()
        found += [(one["task_id"], one["map_index"]) for one in answer["results"]]
        url, n = answer["next"], n + 1
        assert n < 10
    assert found == [
        ("list", -1),
        *(("load", index) for index in range(N)),
        ("report", -1),
        ("gone", -1),
    ]
    assert n == 3


def test_a_thousand_instances_cost_no_more_than_a_hundred(page, run, real_redis):
    urls = [
        f"/runs/{run.pk}",
        f"/runs/{run.pk}?unfold=load",
        f"/runs/{run.pk}/log",
        f"/runs/{run.pk}/failure",
        f"/api/v1/runs/{run.pk}/tasks",
    ]

    def cost(url):
        with CaptureQueriesContext(connection) as asked:
            answer = page.get(url)
        return len(asked), len(answer.content)

    few = {url: cost(url) for url in urls}
    few = {url: cost(url) for url in urls}  # what the first look makes is not made again
    TaskInstance.objects.filter(task_id="load").delete()
    for task_id in ("load", "load_b", "load_c"):
        fill(run, 1024, task_id)
    many = {url: cost(url) for url in urls}
    assert {url: (few[url][0], n) for url, (n, _size) in many.items() if n > few[url][0]} == {}
    # two tasks more, each a row, a bar and what its counts say
    assert {url: (few[url][1], size) for url, (_n, size) in many.items() if size > few[url][1] + 8000} == {}


def test_an_instance_is_called_what_its_author_calls_it(page, run, airflow):
    TaskInstance.objects.filter(map_index=FAILED).update(map_name="<b>Lyon</b>")
    make_question(run, "load", map_index=3, map_name="Nantes")
    text = page.get(f"/runs/{run.pk}?unfold=load").content.decode()
    assert "load[97] &lt;b&gt;Lyon&lt;/b&gt; failed" in text
    assert ">load[97] &lt;b&gt;Lyon&lt;/b&gt;</a>" in text
    assert "Log of load[97] &lt;b&gt;Lyon&lt;/b&gt;" in text
    assert "load[3] Nantes awaits your answer" in text
    assert "load[3] Nantes" in page.get("/runs/questions").content.decode()
    found = page.get(f"/api/v1/runs/{run.pk}/tasks?limit=200").json()["results"]
    assert [one["map_name"] for one in found if one["map_name"]] == ["<b>Lyon</b>"]


@pytest.mark.parametrize(
    ("text", "found"),
    [("lyon", [12, 97]), ("97", [97]), ("12", [12, 97]), ("nowhere", []), ("99999999999", []), ("", 50)],
)
def test_an_instance_is_found_by_index_and_by_name(page, run, text, found):
    TaskInstance.objects.filter(map_index=12).update(map_name="Lyon 1")
    TaskInstance.objects.filter(map_index=FAILED).update(map_name="lyon 12")
    answer = page.get(f"/runs/{run.pk}?unfold=load&find={text}")
    rows = answer.context["unfolded"].page["rows"]
    assert (len(rows) if text == "" else sorted(task.map_index for task in rows)) == found
    assert f'value="{text}"' in answer.content.decode()


def test_airflows_word_for_an_instance_is_mirrored():
    item = {
        "dag_id": "etl",
        "dag_run_id": "r",
        "task_id": "load",
        "map_index": 3,
        "try_number": 1,
        "max_tries": 0,
        "rendered_map_index": "Lyon",
    }
    [named] = task_answers.task_states([item])
    [plain] = task_answers.task_states([{**item, "rendered_map_index": "3"}])
    [older] = task_answers.task_states([{**item, "rendered_map_index": None}])
    assert [one.map_name for one in (named, plain, older)] == ["Lyon", "", ""]
    assert [one.name for one in (named, plain)] == ["load[3] Lyon", "load[3]"]


def test_a_name_that_comes_later_is_written(run):
    task = TaskState(DAG, run.dag_run_id, "load", 5, 1, 0, "success", "@task", None, None, 1.0, "Lyon")
    mirror.save_tasks([run], [task])
    assert str(TaskInstance.objects.get(map_index=5)) == "load[5] Lyon"
