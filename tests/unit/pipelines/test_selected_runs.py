"""One thing done to several runs: shown first, then each its own fate, with an audit entry of its own."""

import pytest
from django.core.exceptions import PermissionDenied

from core.audit.models import AuditEntry
from core.lib.errors import InvalidRequest
from pipelines import selected
from pipelines.models import Run
from tests.pipeline_rows import make_run, make_task


@pytest.fixture
def runs(db):
    """A failed one, one that went well, one under way."""
    failed, well, running = (make_run(state=state) for state in ("failed", "success", "running"))
    make_task(failed, "a", "failed")
    make_task(failed, "b", "upstream_failed")
    make_task(failed, "c", "success")
    make_task(running, "a", "running")
    return failed, well, running


def fates(selection):
    return {item.run.state: item.words or item.refused for item in selection.items}


def test_what_would_happen_is_told_and_nothing_done(runs, scientist):
    found = selected.preview("clear-failed", [run.pk for run in runs], by=scientist)
    assert fates(found) == {
        "failed": "2 tasks run again",
        "success": "None of its tasks failed.",
        "running": "None of its tasks failed.",
    }
    assert (found.n_possible, found.button) == (1, "Run failed tasks of 1 run again")
    assert not Run.objects.exclude(wish="").exists()
    assert not AuditEntry.objects.exists()


def test_whole_runs_are_told_with_all_their_tasks(runs, scientist):
    make_task(runs[1], "a", "success")
    found = selected.preview("clear", [run.pk for run in runs], by=scientist)
    assert fates(found) == {
        "failed": "3 tasks run again",
        "success": "1 task runs again",
        "running": "1 task runs again; what is under way is stopped",
    }
    assert (found.button, found.is_harsh) == ("Run all tasks of 3 runs again", True)


@pytest.mark.parametrize(
    ("what", "wishes"),
    [
        ("clear-failed", ["clear", "", ""]),
        ("clear", ["clear", "clear", "clear"]),
        ("cancel", ["", "", "cancel"]),
        ("mark-success", ["succeed", "", "succeed"]),
        ("mark-failed", ["", "fail", "fail"]),
    ],
)
def test_each_run_has_its_own_fate(runs, scientist, sent, what, wishes):
    selected.apply(what, [run.pk for run in runs], by=scientist)
    assert [Run.objects.get(pk=run.pk).wish for run in runs] == wishes
    entries = AuditEntry.objects.all()
    assert len(entries) == len([wish for wish in wishes if wish])
    assert len({entry.after["batch"] for entry in entries}) == 1


def test_a_run_that_changed_meanwhile_stops_no_other(runs, scientist, monkeypatch):
    from core.lib.errors import Conflict
    from pipelines import run_changes

    failed, _well, running = runs
    mark = run_changes.mark_run

    def refuse_one(pk, state, **options):
        if pk == failed.pk:
            raise Conflict("It ended a moment ago.")
        return mark(pk, state, **options)

    monkeypatch.setattr(run_changes, "mark_run", refuse_one)
    found = selected.apply("mark-success", [failed.pk, running.pk, 10**9], by=scientist)
    assert fates(found) == {"failed": "It ended a moment ago.", "running": ""}
    assert Run.objects.get(pk=running.pk).wish == "succeed"


def test_no_other_thing_is_done(runs, scientist, viewer):
    with pytest.raises(InvalidRequest):
        selected.preview("delete", [1], by=scientist)
    with pytest.raises(PermissionDenied):
        selected.apply("cancel", [run.pk for run in runs], by=viewer)


def test_the_page_shows_then_confirms_once(page, runs):
    ids = [run.pk for run in runs]
    text = page.post("/runs/selected", {"run": [*ids, "x", 10**30], "what": "cancel"}).content.decode()
    assert "Cancel 1 run" in text
    assert text.count('name="run"') == 3
    assert not Run.objects.exclude(wish="").exists()
    done = page.post("/runs/selected", {"run": ids, "what": "cancel", "confirmed": "1"}).content.decode()
    assert "left as it is" in done
    assert "asked of Airflow" in done
    assert Run.objects.get(state="running").wish == "cancel"


def test_the_list_shows_those_runs_alone(page, runs):
    failed, well, running = runs
    text = page.get(f"/runs?ids={failed.pk},{well.pk},x").content.decode()
    assert f'id="run-{failed.pk}"' in text
    assert f'id="run-{running.pk}"' not in text
    assert 'value="clear-failed"' in text
    assert 'value="clear"' in text


def test_a_viewer_ticks_nothing(client, viewer, runs):
    client.force_login(viewer)
    text = client.get("/runs").content.decode()
    assert 'name="run"' not in text
    assert client.post("/runs/selected", {"what": "cancel"}).status_code == 403


def test_rest_tells_and_does(page, runs):
    ids = [run.pk for run in runs]

    def post(**body):
        return page.post("/api/v1/runs/selected", body, content_type="application/json")

    told = post(what="mark-success", run_ids=ids, dry_run=True)
    assert (told.status_code, len(told.json()["results"])) == (200, 3)
    done = post(what="mark-success", run_ids=ids)
    assert done.status_code == 202
    wishes = {
        item["run"]["state"]: (item["run"]["wish"], bool(item["refused"])) for item in done.json()["results"]
    }
    assert wishes == {"failed": ("succeed", False), "success": ("", True), "running": ("succeed", False)}
    assert post(what="cancel", run_ids=[]).status_code == 422
