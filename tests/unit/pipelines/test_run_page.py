"""The page of a run: what failed first, the log beside the tasks, the times, and what a task left."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core.audit import actions as audit
from core.lib import redis as console_redis
from pipelines import failures, gantt, log_copy, sync, task_facts
from pipelines.log_lines import LogLine
from pipelines.models import Pipeline, Run, TaskInstance
from pipelines.task_answers import Link, TaskAbout, TaskPlace, TaskRules, XCom
from pipelines.task_facts import LONGEST_TEXT
from tests.markup import flat
from tests.pipeline_rows import STARTED, make_pipeline, make_run, make_task

DAG = "titanic_training"


def node(task_id, *after):
    return {"id": task_id, "label": task_id, "operator": "", "downstream": list(after), "is_mapped": False}


TASKS = [node("load", "search", "count"), node("search", "report"), node("count"), node("report")]


@pytest.fixture
def failed(db):
    make_pipeline(tasks=TASKS)
    run = make_run(state="failed", ended_at=STARTED + timedelta(seconds=90))
    for task_id, state in (
        ("load", "success"),
        ("search", "failed"),
        ("count", "success"),
        ("report", "upstream_failed"),
    ):
        make_task(run, task_id, state)
    return run


def lines(*pairs):
    return [LogLine(None, level, message) for level, message in pairs]


# --- the last error


@pytest.mark.parametrize(
    ("log", "error"),
    [
        ([], ""),
        ([("info", "ValueError: printed, not logged as an error")], ""),
        (
            [
                ("error", "first"),
                ("error", "Task failed with exception\n  File 'a.py', line 1, in f\nValueError: boom"),
                ("info", "Task finished"),
            ],
            "ValueError: boom",
        ),
        ([("critical", "the disk is full\n")], "the disk is full"),
        (
            [("error", "Failed\n  File 'a'\nsqlalchemy.exc.OperationalError: no table\n[SQL: SELECT 1]")],
            "sqlalchemy.exc.OperationalError: no table\n[SQL: SELECT 1]",
        ),
        (
            [
                ("info", "Traceback (most recent call last):"),
                ("info", '  File "script.py", line 3, in <module>'),
                ("info", "KeyError: 'Fare'"),
                ("error", "Failed\nCalledProcessError: Command 'python' returned non-zero exit status 1."),
            ],
            "KeyError: 'Fare'\nCalledProcessError: Command 'python' returned non-zero exit status 1.",
        ),
    ],
)
def test_the_last_error_is_quoted_without_its_traceback(log, error):
    assert failures.last_error(lines(*log)) == error


def test_a_long_error_is_cut():
    quote = failures.last_error(lines(("error", "ValueError: " + "x" * 5000)))
    assert len(quote) == failures.LONGEST_QUOTE + 2


def test_a_failed_run_opens_on_what_failed_and_what_depends_on_it(page, failed, airflow, real_redis):
    text = page.get(f"/runs/{failed.pk}").content.decode()
    head = text[: text.index('class="run-split"')]
    assert "search failed" in head
    assert "1 task after it did not run:" in head
    assert "report" in head
    assert "count" not in head[head.index('id="failure"') :]
    assert "Log of search" in text


def test_the_error_is_quoted_once_the_log_is_copied(page, failed, airflow, real_redis, monkeypatch):
    view = page.get(f"/runs/{failed.pk}/failure").content.decode()
    assert "Its log is on its way." in view
    row = failed.logs.get()
    log_copy.write(row, lines(("error", "Task failed\nValueError: <b>boom</b>")))
    log_copy.finish(row)
    view = page.get(f"/runs/{failed.pk}/failure").content.decode()
    assert "ValueError: &lt;b&gt;boom&lt;/b&gt;" in view
    assert "hx-get" not in view


def test_a_program_is_told_what_the_page_says_of_a_failure(page, failed, airflow, real_redis):
    address = f"/api/v1/runs/{failed.pk}/failure"
    told = page.get(address).json()
    assert told == {
        "task_id": "search",
        "map_index": -1,
        "try_number": 1,
        "n_others": 0,
        "reason": "",
        "error": "",
        "trouble": "",
        "is_read": False,
        "is_final": False,
        "after": ["report"],
    }
    row = failed.logs.get()
    log_copy.write(row, lines(("error", "Task failed\nValueError: boom")))
    log_copy.finish(row)
    changed = {"error": "ValueError: boom", "is_read": True, "is_final": True}
    assert page.get(address).json() == told | changed


def test_of_a_run_without_a_failed_task_there_is_no_failure_to_tell(page, db):
    make_pipeline(tasks=TASKS)
    run = make_run(state="success")
    make_task(run, "load", "success")
    answer = page.get(f"/api/v1/runs/{run.pk}/failure")
    assert (answer.status_code, answer.json()["detail"]) == (404, f"No task of run {run.pk} has failed.")
    assert page.get(f"/api/v1/runs/{2**62}/failure").status_code == 404


def test_a_run_that_asks_people_opens_on_the_task_that_asks(page, db):
    make_pipeline(tasks=TASKS)
    run = make_run(state="running")
    make_task(run, "load", "running")
    make_task(run, "search", "awaiting_input")
    assert page.get(f"/runs/{run.pk}").context["shown"].task_id == "search"


def test_a_run_that_went_well_quotes_nothing(page, db):
    make_pipeline(tasks=TASKS)
    run = make_run()
    make_task(run, "load")
    text = page.get(f"/runs/{run.pk}").content.decode()
    assert "notice-bad" not in text


def test_the_log_stands_beside_the_tasks(page, failed, airflow, real_redis):
    text = page.get(f"/runs/{failed.pk}").content.decode()
    places = [
        text.index(mark) for mark in ('id="run-body"', 'id="log"', 'id="gantt-title"', 'id="graph-title"')
    ]
    assert places == sorted(places)


def test_the_duration_is_compared_with_the_median(page, failed, real_redis):
    for _ in range(3):
        make_run(ended_at=STARTED + timedelta(seconds=60))
    assert "+50.0 %" in page.get(f"/runs/{failed.pk}").content.decode().replace("\u202f", " ").replace(
        "\xa0", " "
    )


def test_the_page_costs_the_same_for_fifty_tasks(page, db, real_redis, django_assert_max_num_queries):
    make_pipeline(tasks=TASKS)
    run = make_run(state="running")
    for number in range(50):
        make_task(run, "search", map_index=number)
    with django_assert_max_num_queries(25):
        page.get(f"/runs/{run.pk}")


def test_the_graph_is_read_once_for_a_page(page, failed, real_redis):
    with CaptureQueriesContext(connection) as queries:
        page.get(f"/runs/{failed.pk}")
    assert sum('."tasks" AS "tasks"' in one["sql"] for one in queries) == 1


def test_a_row_of_the_tasks_chooses_and_ticks_its_task(page, failed, real_redis):
    task = make_task(failed, "group.x", "skipped", operator="<i>@task</i>", try_number=0)
    text = page.get(f"/runs/{failed.pk}?task=group.x&map_index=-1").content.decode()
    row = text[text.index(f'<tr id="task-{task.pk}"') :]
    row = row[: row.index("</tr>")]
    assert 'data-href="?task=group.x&amp;map_index=-1#log" aria-current="true"' in row
    assert 'name="tasks" value="-1 group.x" aria-label="group.x"' in row
    assert "&lt;i&gt;@task&lt;/i&gt;" in row
    assert 'data-state="skipped"' in row
    assert '<td class="num hide-phone">–</td>' in row
    assert text.count('aria-current="true"><th') == 1


def test_rows_of_a_viewer_have_nothing_to_tick(client, viewer, failed, real_redis):
    client.force_login(viewer)
    assert 'name="tasks"' not in client.get(f"/runs/{failed.pk}").content.decode()


@pytest.fixture
def failed_alone(db, real_redis):
    make_pipeline(tasks=TASKS)
    run = make_run(state="failed", ended_at=STARTED + timedelta(seconds=90))
    make_task(run, "load")
    make_task(run, "search", "skipped")
    make_task(run, "report", "")
    return run


def test_a_run_that_failed_without_a_failed_task_says_what_may_be_why(page, failed_alone):
    text = flat(page.get(f"/runs/{failed_alone.pk}"))
    assert "The run failed, and no task of it did" in text
    assert "took longer than its DAG allows (dagrun_timeout)" in text
    assert "2 tasks did not run: search, report" in text
    assert "Retry it and what follows" not in text
    told = page.get(f"/api/v1/runs/{failed_alone.pk}/failure").json()
    assert (told["task_id"], told["is_final"], told["after"]) == (None, True, ["search", "report"])
    assert "dagrun_timeout" in told["reason"]


def test_a_run_that_somebody_marked_as_failed_says_who(page, failed_alone, scientist):
    audit.record("run.marked", failed_alone, by=scientist, after={"state": "failed"})
    assert failures.read(failed_alone).reason == "ana marked the run as failed."
    audit.record("run.cleared", failed_alone, by=scientist, after={"state": "queued"})
    assert "dagrun_timeout" in failures.read(failed_alone).reason


def test_why_is_not_guessed_while_the_tasks_are_read(page, failed_alone):
    Run.objects.update(tasks_due_until=timezone.now())
    found = failures.read(Run.objects.get())
    assert (found.task, found.is_final) == (None, False)
    assert "dagrun_timeout" not in found.reason


@pytest.mark.parametrize("state", ["success", "running", "cancelled"])
def test_a_run_that_did_not_fail_has_no_failure(page, failed_alone, state):
    Run.objects.update(state=state)
    assert failures.read(Run.objects.get()) is None
    assert page.get(f"/api/v1/runs/{failed_alone.pk}/failure").status_code == 404


def test_a_run_that_went_well_opens_on_the_last_task_that_did_something(page, db, real_redis):
    make_pipeline(tasks=TASKS)
    run = make_run()
    make_task(run, "load", duration_s=4.0)
    make_task(run, "count", "skipped", started_at=STARTED + timedelta(seconds=20))
    make_task(run, "report", duration_s=0.0, started_at=STARTED + timedelta(seconds=30))
    assert "Log of load" in page.get(f"/runs/{run.pk}").content.decode()


# --- the times


def ti(task_id="a", start=0, end=10, **values):
    place = {"started_at": STARTED + timedelta(seconds=start)} if start is not None else {}
    if end is not None:
        place["ended_at"] = STARTED + timedelta(seconds=end)
    return TaskInstance(task_id=task_id, **{"try_number": 1, "state": "success", **place, **values})


def drawn(*tasks, now=100):
    return gantt.draw(tasks, now=STARTED + timedelta(seconds=now))


def test_tries_stand_on_one_axis():
    found = drawn(ti("a", 0, 25), ti("b", 25, 100))
    assert [(row.tries[0].x, row.tries[0].width) for row in found.rows] == [(0, 250), (250, 750)]
    assert (found.start, found.end) == (STARTED, STARTED + timedelta(seconds=100))


def test_a_task_at_work_reaches_until_now():
    [row] = drawn(ti(end=None, state="running"), now=40).rows
    assert row.tries[0].took == timedelta(seconds=40)


@pytest.mark.parametrize("state", ["skipped", "upstream_failed", ""])
def test_a_task_that_never_ran_has_no_bar(state):
    found = drawn(ti("a"), ti("b", state=state))
    assert found.rows[1].tries == []


def test_a_short_pause_is_drawn_as_it_was():
    found = drawn(ti("a", 0, 10), ti("b", 40, 50))
    assert (found.rows[1].tries[0].x, found.breaks) == (800, [])


def test_nothing_started_is_no_drawing():
    assert drawn(ti(start=None, end=None, state="")).start is None


def test_earlier_tries_are_drawn_and_the_days_between_are_cut_out():
    earlier = {
        "try_number": 1,
        "state": "failed",
        "started_at": STARTED.isoformat(),
        "ended_at": (STARTED + timedelta(seconds=50)).isoformat(),
    }
    day = 86400
    again = ti(start=day, end=day + 50, try_number=2, earlier_tries=[earlier])
    found = drawn(again, now=2 * day)
    first, second = found.rows[0].tries
    assert (first.is_earlier, first.state, second.is_earlier) == (True, "failed", False)
    # 50 s, a pause of 12 % of 100 s, 50 s
    assert (first.width, second.x) == (round(50 / 112 * 1000, 1), round(62 / 112 * 1000, 1))
    assert found.breaks == [pytest.approx(56 / 112 * 1000)]


def test_the_shortest_try_can_be_seen():
    found = drawn(ti("a", 0, 10_000), ti("b", 10_000, 10_000))
    last = found.rows[1].tries[0]
    assert (last.width, last.x + last.width) == (gantt.NARROWEST, gantt.WIDTH)


def test_the_mirror_keeps_the_times_of_a_try_that_is_over(db, airflow):
    make_pipeline()
    airflow.add_dag(DAG, tasks=("load", "search"))
    airflow.as_user("ana", "user").trigger_run(DAG, dag_run_id="m", conf={})
    airflow.move_on(DAG, "m", "running", load="up_for_retry")
    sync.sync_runs()
    sync.sync_tasks()
    airflow.move_on(DAG, "m", "running", load="running", tries={"load": 2})
    sync.sync_runs()
    sync.sync_tasks()
    airflow.move_on(DAG, "m", "failed", load="failed", tries={"load": 2})
    sync.sync_runs()
    sync.sync_tasks()
    airflow.move_on(DAG, "m", "queued", load="", tries={"load": 2})  # cleared
    sync.sync_runs()
    sync.sync_tasks()
    airflow.move_on(DAG, "m", "running", load="running", tries={"load": 3})
    sync.sync_runs()
    sync.sync_tasks()
    task = TaskInstance.objects.get(task_id="load")
    kept = [(one["try_number"], one["state"]) for one in task.earlier_tries]
    assert kept == [(1, "failed"), (2, "failed")]


# --- what a task left


@pytest.fixture
def there(db, airflow):
    make_pipeline(tasks=TASKS)
    airflow.add_dag(DAG, tasks=("load", "search"))
    airflow.as_user("ana", "user").trigger_run(DAG, dag_run_id="m", conf={})
    airflow.move_on(DAG, "m", "failed", search="failed", tries={"search": 3})
    sync.sync_runs()
    sync.sync_tasks()
    return Run.objects.get()


def box(page, run, show, task="search"):
    answer = page.get(f"/runs/{run.pk}/tasks/{task}/box?show={show}&map_index=-1")
    assert answer.status_code == 200
    return answer.content.decode()


def test_xcoms_are_shown_as_text_and_cut(page, there, airflow):
    airflow.left["search"] = {"return_value": "<i>0.81</i>", "long": "x" * (LONGEST_TEXT + 5), "huge": None}
    text = box(page, there, "xcom")
    assert "&lt;i&gt;0.81&lt;/i&gt;" in text
    assert "Cut here: 5 more characters are in Airflow." in text
    assert "Larger than 1 MiB" in text


def test_a_value_that_cannot_be_had_says_why_beside_the_others(page, there, airflow):
    airflow.left["search"] = {"a": "<i>0.81</i>", "b": XCom("b", None, trouble="The <backend> failed.")}
    text = box(page, there, "xcom")
    assert "&lt;i&gt;0.81&lt;/i&gt;" in text
    assert "The &lt;backend&gt; failed." in text
    found = page.get(f"/api/v1/runs/{there.pk}/tasks/search/xcoms").json()["results"]
    assert [(one["words"], one["trouble"]) for one in found] == [
        ("<i>0.81</i>", ""), ("", "The <backend> failed."),
    ]  # fmt: skip


def test_more_values_than_one_page_shows_are_told_and_stand_on_the_next(page, there, airflow):
    airflow.left["search"] = {f"key-{n:02}": f"value {n}" for n in range(64)}
    text = flat(box(page, there, "xcom"))
    assert "Values 1 to 30 of 64, by name." in text
    assert ("value 29" in text, "value 30" in text) == (True, False)
    following = f"/runs/{there.pk}?task=search&map_index=-1&show=xcom&start=30"
    assert f'href="{following.replace("&", "&amp;")}#log"' in text
    assert "show=xcom&amp;start=30" in page.get(following).content.decode()  # what the page asks the box for
    text = flat(box(page, there, "xcom&start=60"))
    assert "Values 61 to 64 of 64, by name." in text
    assert 'rel="next"' not in text
    assert "Values" not in box(page, there, "rendered")
    assert "no values so far down" in box(page, there, "xcom&start=90")


def test_rest_gives_all_values_page_by_page(page, there, airflow):
    airflow.left["search"] = {f"key-{n:02}": f"value {n}" for n in range(64)}
    url, found = f"/api/v1/runs/{there.pk}/tasks/search/xcoms", []
    while url:
        told = page.get(url).json()
        assert told["n_all"] == 64
        found += [one["words"] for one in told["results"]]
        url = told["next"]
    assert found == [f"value {n}" for n in range(64)]
    assert airflow.calls.count("xcoms") == 3
    bad = page.get(f"/api/v1/runs/{there.pk}/tasks/search/xcoms?cursor=x")
    assert (bad.status_code, bad.json()["errors"][0]["field"]) == (422, "cursor")


def test_what_a_task_is_stands_in_its_details(page, there, airflow):
    rules = TaskRules("all_done", 3, 90.0, 600.0, False, "ana", "Looks for **the best**. <script>x</script>")
    place = TaskPlace("worker-1", "gpu", 2, "big", "", 5, "Slow <today>")
    links = [
        Link("Triggered DAG", "/dags/b/runs/m"),
        Link("Report", "https://example.org/r"),
        Link("Odd", "javascript:alert(1)"),
        Link("Host", "//example.org"),
        Link("No host", "https://[see log"),
        Link("None", ""),
    ]
    airflow.about["search"] = TaskAbout(rules, place, links)
    text = flat(box(page, there, "details"))
    for words in ("all_done", "worker-1", "gpu, 2 slots", "Slow &lt;today&gt;", "<strong>the best</strong>"):
        assert words in text
    assert 'href="https://example.org/r"' in text
    assert "/dags/b/runs/m" in text
    assert "javascript:" not in text
    assert "<script>x" not in text
    told = page.get(f"/api/v1/runs/{there.pk}/tasks/search/details").json()
    assert [link["name"] for link in told["links"]] == ["Triggered DAG", "Report"]
    assert (told["rules"]["retries"], told["rules"]["retry_delay_s"], told["place"]["pool"]) == (
        3,
        90.0,
        "gpu",
    )


def test_a_task_that_its_pipeline_has_no_more_says_so(page, there):
    assert "The pipeline has this task no more." in box(page, there, "details")


def test_rendered_fields_are_shown(page, there, airflow):
    airflow.rendered["search"] = {"bash_command": "echo 1", "env": {"A": "1"}}
    text = box(page, there, "rendered")
    assert "bash_command" in text
    assert "{&quot;A&quot;: &quot;1&quot;}" in text
    airflow.rendered["search"] = None
    assert "Larger than 1 MiB" in box(page, there, "rendered")


def test_tries_stand_beside_each_other_with_their_logs(page, there):
    text = box(page, there, "tries")
    assert text.count("<tr>") == 4
    assert f"/runs/{there.pk}?task=search&amp;map_index=-1&amp;try=2#log" in text


def test_what_there_is_not_is_said(page, there):
    assert "left nothing" in box(page, there, "xcom")
    assert "no template fields" in box(page, there, "rendered")


def test_one_box_says_that_airflow_is_away(page, there, airflow, real_redis):
    airflow.is_away = True
    assert "Airflow is not answering." in box(page, there, "xcom")
    assert page.get(f"/runs/{there.pk}?task=search&show=xcom").status_code == 200


def test_however_many_look_at_a_task_airflow_is_asked_once(page, there, airflow, real_redis):
    airflow.left["search"] = {"a": "1"}
    airflow.calls.clear()
    for _ in range(20):
        assert "<h3" in box(page, there, "xcom")
    for _ in range(2):
        assert len(page.get(f"/api/v1/runs/{there.pk}/tasks/search/xcoms").json()["results"]) == 1
    assert airflow.calls == ["xcoms"]
    box(page, there, "rendered")
    box(page, there, "tries")
    assert airflow.calls == ["xcoms", "rendered_fields", "task_tries"]


def test_a_task_that_went_on_is_asked_about_at_once(page, there, airflow, real_redis):
    box(page, there, "xcom")
    airflow.left["search"] = {"a": "<i>new</i>"}
    there.task_instances.update(state="success")
    assert "&lt;i&gt;new&lt;/i&gt;" in box(page, there, "xcom")


def test_a_box_waits_for_nobody_who_asks_already(page, there, airflow, real_redis):
    asking = f"shared:task:{there.pk}:search:-1:3:xcom:en:asking"
    console_redis.client().set(asking, "somebody", ex=60)
    airflow.calls.clear()
    text = box(page, there, "xcom")
    assert 'hx-trigger="every 1s"' in text
    assert "left nothing" not in text
    console_redis.client().delete(asking)
    airflow.left["search"] = {"a": "first"}
    assert 'hx-trigger="every 1s"' not in box(page, there, "xcom")
    console_redis.client().set(asking, "somebody", ex=60)
    there.task_instances.update(state="success")
    text = box(page, there, "xcom")
    assert "first" in text
    assert 'hx-trigger="every 1s"' in text
    assert airflow.calls == ["xcoms"]


def test_rest_says_when_to_ask_again_while_airflow_takes_long(page, there, real_redis, monkeypatch):
    monkeypatch.setattr(task_facts, "REST_WAIT_S", 0.2)
    console_redis.client().set(f"shared:task:{there.pk}:search:-1:3:tries:en:asking", "somebody", ex=60)
    answer = page.get(f"/api/v1/runs/{there.pk}/tasks/search/tries")
    assert (answer.status_code, answer["Retry-After"]) == (409, "2")


def test_what_went_wrong_is_told_to_all(page, there, airflow, real_redis):
    airflow.is_away = True
    airflow.calls.clear()
    for _ in range(3):
        assert "Airflow is not answering." in box(page, there, "xcom")
    assert page.get(f"/api/v1/runs/{there.pk}/tasks/search/xcoms").status_code == 503
    assert airflow.calls == ["xcoms"]


def test_a_task_that_the_run_does_not_have_is_not_found(page, there):
    assert page.get(f"/runs/{there.pk}/tasks/none/box?show=xcom").status_code == 404


def test_rest_tells_the_same(page, there, airflow):
    airflow.left["search"] = {"a": "1"}
    base = f"/api/v1/runs/{there.pk}/tasks/search"
    found = page.get(f"{base}/xcoms").json()["results"]
    assert found == [{"name": "a", "words": "1", "n_cut": 0, "is_too_large": False, "trouble": ""}]
    assert [one["try_number"] for one in page.get(f"{base}/tries").json()["results"]] == [1, 2, 3]
    assert page.get(f"{base}/rendered").json() == {"next": None, "results": []}
    airflow.is_away = True
    assert page.get(f"{base}/tries").status_code == 503


# --- a switch that is off


@pytest.mark.parametrize(
    ("is_paused", "wanted", "waits"),
    [(True, None, True), (True, False, False), (False, True, True), (False, None, False)],
)
def test_a_queued_run_waits_for_the_switch_as_somebody_left_it(page, is_paused, wanted, waits):
    next_attempt_at = None if wanted is None else timezone.now()
    make_pipeline(DAG, is_paused=is_paused, wanted_is_paused=wanted, next_attempt_at=next_attempt_at)
    shown = page.get(f"/runs/{make_run(state='queued').pk}").content.decode()
    assert ("keeps this run queued until somebody resumes it" in shown) is waits


def test_a_run_that_has_begun_waits_for_no_switch_and_nobody_asks(page, failed):
    Pipeline.objects.update(is_paused=True)
    with CaptureQueriesContext(connection) as asked:
        shown = page.get(f"/runs/{failed.pk}").content.decode()
    assert "The pipeline is paused" not in shown
    assert not any("is_paused" in query["sql"] for query in asked)
