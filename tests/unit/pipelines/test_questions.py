"""Questions of tasks: mirrored, answered once as whoever answers, closed when nobody waits any more."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from core.audit.models import AuditEntry
from core.lib.errors import Conflict, InvalidRequest, NotFound
from pipelines import answers, run_changes, sync, task_answers, tasks
from pipelines.models import InputRequest, Run
from tests.pipeline_rows import make_question

DAG = "approve_release"
PARAMS = [
    {"name": "budget", "value": 5, "schema": {"type": "integer", "maximum": 10}, "description": "Euro"},
]


@pytest.fixture
def question(db, airflow):
    airflow.add_dag(DAG, tasks=("ask",))
    airflow.as_user("ana", "user").trigger_run(DAG, dag_run_id="m", conf={})
    airflow.move_on(DAG, "m", "running", ask="awaiting_input")
    airflow.ask(DAG, "m", "ask", subject="Release <b>2</b>?", body="It is Friday.", param_list=PARAMS)
    sync.sync_runs()
    sync.sync_inputs()
    airflow.calls.clear()
    return InputRequest.objects.get()


def answer(question, by, chosen=("Approve",), **params_input):
    given = {"budget": 7, **params_input}
    return run_changes.answer_input(question.pk, chosen=list(chosen), params_input=given, by=by)


def test_an_answer_is_taken_to_airflow_once_as_the_person(question, airflow, scientist, sent):
    answer(question, scientist)
    tasks.deliver_answer(str(question.pk))
    tasks.deliver_answer(str(question.pk))
    assert airflow.answers == {("m", "ask"): ("ana", ["Approve"], {"budget": 7})}
    assert airflow.calls.count("answer_input") == 1
    question.refresh_from_db()
    assert (question.state, question.delivery_error) == ("closed", "")
    trail = AuditEntry.objects.order_by("pk").values_list("action", "actor_name")
    assert list(trail) == [("input.answer", "ana"), ("input.answered", "ana")]


def test_while_airflow_is_away_the_answer_waits(question, airflow, scientist):
    answer(question, scientist)
    airflow.is_away = True
    tasks.deliver_answer(str(question.pk))
    question.refresh_from_db()
    assert (question.state, question.delivery_error) == ("delivering", "Airflow is not answering.")
    airflow.is_away = False
    InputRequest.objects.update(next_attempt_at=timezone.now())
    tasks.deliver_answer(str(question.pk))
    question.refresh_from_db()
    assert (question.state, question.delivery_error) == ("closed", "")


def test_one_answered_elsewhere_is_closed(question, airflow):
    airflow.answers["m", "ask"] = ("bob", ["Reject"], {})
    sync.sync_inputs()
    question.refresh_from_db()
    assert (question.state, question.answered_by) == ("closed", None)
    tasks.deliver_answer(str(question.pk))
    tasks.deliver_answer(str(question.pk))
    assert airflow.calls.count("given_answer") == 1
    sync.sync_inputs()
    question.refresh_from_db()
    assert (question.state, question.outcome, question.next_attempt_at) == ("closed", "elsewhere", None)
    assert (question.chosen, question.answerer, question.answered_at) == (["Reject"], "bob", airflow.now)


def test_while_airflow_is_away_who_answered_there_is_asked_later(question, airflow):
    airflow.answers["m", "ask"] = ("bob", ["Reject"], {"budget": 2})
    sync.sync_inputs()
    airflow.is_away = True
    tasks.deliver_answer(str(question.pk))
    question.refresh_from_db()
    assert (question.outcome, question.delivery_error) == ("unawaited", "")
    airflow.is_away = False
    InputRequest.objects.update(next_attempt_at=timezone.now())
    tasks.deliver_answer(str(question.pk))
    question.refresh_from_db()
    assert (question.outcome, question.params_input) == ("elsewhere", {"budget": 2})


def test_one_that_nobody_awaits_any_more_has_no_answer(page, question, airflow):
    """The run was cancelled, say."""
    airflow.questions.clear()
    sync.sync_inputs()
    tasks.deliver_answer(str(question.pk))
    question.refresh_from_db()
    assert (question.outcome, question.answerer, question.next_attempt_at) == ("unawaited", "", None)
    assert "none: it is no longer awaited" in page.get(f"/runs/questions/{question.pk}").content.decode()


@pytest.mark.parametrize(
    ("by", "words", "state"),
    [
        ("bob", "bob", "answered in Airflow"),
        ("", "nobody in time: the task took its defaults", "nobody answered in time"),
    ],
)
def test_the_page_tells_who_answered_in_airflow(page, question, airflow, by, words, state):
    airflow.user_ids["bob"] = "7"
    airflow.answers["m", "ask"] = (by, ["Reject"], {"budget": 2})
    sync.sync_inputs()
    tasks.deliver_answer(str(question.pk))
    text = " ".join(page.get(f"/runs/questions/{question.pk}").content.decode().split())
    assert state in text
    assert f"<dt>Answered by</dt> <dd> {words}, <time" in text
    assert ("bob answered Reject" in page.get("/runs/questions?show=closed").content.decode()) is bool(by)


def test_one_refused_here_and_answered_in_airflow_is_answered_there(page, question, airflow, scientist):
    airflow.questions = [replace(one, assigned=["bob"]) for one in airflow.questions]
    answer(question, scientist)
    tasks.deliver_answer(str(question.pk))
    question.refresh_from_db()
    assert (question.state, question.outcome) == ("waiting", "refused")
    airflow.answers["m", "ask"] = ("bob", ["Reject"], {})
    sync.sync_inputs()
    question.refresh_from_db()
    assert question.outcome == "unawaited"  # until it is read
    tasks.deliver_answer(str(question.pk))
    question.refresh_from_db()
    assert (question.outcome, question.answerer, question.delivery_error) == ("elsewhere", "bob", "")
    assert "not a respondent" not in page.get(f"/runs/questions/{question.pk}").content.decode()


def test_an_answer_stays_one_of_a_person_who_has_gone(page, question, airflow, scientist):
    answer(question, scientist)
    tasks.deliver_answer(str(question.pk))
    InputRequest.objects.update(answered_by=None)  # as when that account is deleted
    question.refresh_from_db()
    assert question.outcome == "answered"
    text = page.get(f"/runs/questions/{question.pk}").content.decode()
    assert "somebody who has no account any more" in text
    assert "took its defaults" not in text


def test_of_one_that_airflow_was_never_asked_about_no_more_is_said_than_is_known(page, question):
    """As of those that an earlier release closed."""
    InputRequest.objects.update(closed_at=timezone.now(), next_attempt_at=None)
    text = page.get(f"/runs/questions/{question.pk}").content.decode()
    assert "given elsewhere, or no longer awaited" in text


def test_an_answer_that_may_not_be_read_is_not_asked_for_without_end(question, airflow):
    airflow.answers["m", "ask"] = ("bob", ["Reject"], {})
    sync.sync_inputs()
    airflow.knows_no_token = True
    tasks.deliver_answer(str(question.pk))
    question.refresh_from_db()
    assert question.next_attempt_at is not None
    long_ago = timezone.now() - timedelta(minutes=61)
    InputRequest.objects.update(next_attempt_at=timezone.now(), closed_at=long_ago)
    tasks.deliver_answer(str(question.pk))
    question.refresh_from_db()
    assert (question.outcome, question.next_attempt_at) == ("unawaited", None)


def test_one_that_airflow_lists_again_waits_again_though_its_answer_was_not_read(question, airflow):
    kept, airflow.questions = airflow.questions, []
    sync.sync_inputs()
    question.refresh_from_db()
    assert (question.state, question.next_attempt_at is None) == ("closed", False)
    airflow.questions = kept
    sync.sync_inputs()
    question.refresh_from_db()
    assert (question.state, question.next_attempt_at) == ("waiting", None)


def test_a_worker_that_died_after_airflow_took_the_answer_meets_its_own(question, airflow, scientist):
    airflow.user_ids["ana"] = "3"
    answer(question, scientist)
    airflow.answers["m", "ask"] = ("ana", ["Approve"], {"budget": 7})
    tasks.deliver_answer(str(question.pk))
    question.refresh_from_db()
    assert (question.state, question.outcome, question.delivery_error) == ("closed", "answered", "")


@pytest.mark.parametrize(
    "there",
    [("bob", ["Approve"], {"budget": 7}), ("ana", ["Reject"], {"budget": 7}), ("ana", ["Approve"], {})],
)
def test_an_answer_that_differs_in_anything_is_another(question, airflow, scientist, there):
    answer(question, scientist)
    airflow.answers["m", "ask"] = there
    tasks.deliver_answer(str(question.pk))
    question.refresh_from_db()
    assert (question.state, question.outcome) == ("closed", "refused")


def test_two_answers_at_once_leave_the_first(question, airflow, scientist):
    answer(question, scientist)
    airflow.answers["m", "ask"] = ("bob", ["Reject"], {})
    tasks.deliver_answer(str(question.pk))
    question.refresh_from_db()
    assert question.state == "closed"
    assert "already been updated" in question.delivery_error
    assert airflow.answers["m", "ask"][0] == "bob"


def test_a_question_that_airflow_keeps_from_this_person_waits_on(question, airflow, scientist):
    airflow.questions.clear()
    airflow.ask(DAG, "m", "ask", assigned=["bob"])
    answer(question, scientist)
    tasks.deliver_answer(str(question.pk))
    question.refresh_from_db()
    words = "User=ana (id=ana) is not a respondent for the task."
    assert (question.state, question.delivery_error, question.chosen) == ("waiting", words, None)
    assert (question.params_input, question.answered_by, question.answered_at) == ({}, None, None)


def test_a_refused_answer_is_nobodys_on_the_pages(page, question, airflow, scientist):
    airflow.questions.clear()
    airflow.ask(DAG, "m", "ask", assigned=["bob"])
    answer(question, scientist)
    tasks.deliver_answer(str(question.pk))
    for path in ("/runs/questions", f"/runs/questions/{question.pk}"):
        text = page.get(path).content.decode()
        assert "is not a respondent for the task." in text
        assert "ana answered" not in text
    [row] = page.get("/api/v1/runs/questions").json()["results"]
    assert (row["state"], row["answered_by"]) == ("waiting", None)


def test_an_answer_waits_while_airflow_takes_no_token_of_ours(question, airflow, scientist, sent):
    """Its secret was changed, or the clocks went apart: nobody has to answer again."""
    answer(question, scientist)
    airflow.knows_no_token = True
    tasks.deliver_answer(str(question.pk))
    question.refresh_from_db()
    assert (question.state, question.chosen) == ("delivering", ["Approve"])
    assert "credentials" in question.delivery_error
    airflow.knows_no_token = False
    InputRequest.objects.update(next_attempt_at=timezone.now())
    tasks.deliver_answer(str(question.pk))
    assert airflow.answers["m", "ask"] == ("ana", ["Approve"], {"budget": 7})


def ask_again(airflow, try_number=2):
    """The task was cleared, or failed and is tried again: Airflow's row stays, and when it was made."""
    airflow.now += timedelta(minutes=1)
    airflow.move_on(DAG, "m", "running", ask="awaiting_input", tries={"ask": try_number})
    airflow.ask(DAG, "m", "ask", subject="Release <b>2</b>?", param_list=PARAMS)


def states():
    return [(row.try_number, row.state) for row in InputRequest.objects.order_by("try_number")]


def test_a_question_is_added_once_and_again_when_the_task_asks_anew(question, airflow):
    sync.sync_inputs()
    assert states() == [(1, "waiting")]
    ask_again(airflow)
    sync.sync_inputs()
    assert states() == [(1, "closed"), (2, "waiting")]
    assert len(set(InputRequest.objects.values_list("asked_at", flat=True))) == 1


def test_one_that_was_answered_comes_back_when_the_task_asks_again(question, airflow, scientist):
    answer(question, scientist)
    tasks.deliver_answer(str(question.pk))
    sync.sync_inputs()
    assert states() == [(1, "closed")]
    ask_again(airflow)
    sync.sync_inputs()
    assert states() == [(1, "closed"), (2, "waiting")]
    answer(InputRequest.objects.get(try_number=2), scientist, ["Reject"])
    tasks.deliver_answer(str(InputRequest.objects.get(try_number=2).pk))
    assert airflow.answers["m", "ask"][1] == ["Reject"]
    assert [row.chosen for row in InputRequest.objects.order_by("try_number")] == [["Approve"], ["Reject"]]


def test_one_that_waits_in_airflow_is_open_here_again(
    question, airflow, told, django_capture_on_commit_callbacks
):
    InputRequest.objects.update(closed_at=timezone.now())
    with django_capture_on_commit_callbacks(execute=True):
        sync.sync_inputs()
    assert states() == [(1, "waiting")]
    assert "inputs" in told


def test_an_answer_that_airflow_lost_can_be_given_again(question, airflow, scientist):
    answer(question, scientist)
    airflow.is_away = True
    tasks.deliver_answer(str(question.pk))
    airflow.is_away = False
    InputRequest.objects.update(closed_at=timezone.now() - timedelta(minutes=5))
    sync.sync_inputs()
    assert states() == [(1, "closed")]  # ours is on its way there
    InputRequest.objects.update(next_attempt_at=None, closed_at=timezone.now())
    sync.sync_inputs()
    assert states() == [(1, "closed")]  # the list may be older than the answer
    InputRequest.objects.update(closed_at=timezone.now() - timedelta(minutes=5))
    sync.sync_inputs()
    assert states() == [(1, "waiting")]
    row = InputRequest.objects.get()
    assert (row.chosen, row.answered_by, row.delivery_error) == (None, None, "")


@pytest.mark.parametrize(
    ("is_closed", "expected"), [(False, [(1, "waiting")]), (True, [(0, "closed"), (1, "waiting")])]
)
def test_a_row_of_an_earlier_release_is_the_open_questions_own(question, is_closed, expected):
    InputRequest.objects.update(try_number=0, closed_at=timezone.now() if is_closed else None)
    sync.sync_inputs()
    assert states() == expected


def test_a_question_that_cannot_be_read_is_not_closed(question, airflow, monkeypatch):
    raw = {"dag_id": DAG, "dag_run_id": "m", "task_id": "ask", "map_index": -1, "try_number": 1}
    created_at = question.asked_at.isoformat().replace("+00:00", "Z")
    items = [{"task_instance": raw, "created_at": created_at}]  # without its subject
    found = answers.read(items, task_answers.input_request, task_answers.input_key)
    monkeypatch.setattr(airflow, "input_requests", lambda: found)
    sync.sync_inputs()
    assert states() == [(1, "waiting")]


def test_a_question_of_a_run_that_is_not_here_waits_for_it(db, airflow):
    airflow.ask(DAG, "later", "ask")
    sync.sync_inputs()
    assert not InputRequest.objects.exists()


@pytest.mark.parametrize(
    ("chosen", "given", "field"),
    [
        ([], {}, "chosen"),
        (["Maybe"], {}, "chosen"),
        (["Approve", "Reject"], {}, "chosen"),
        (["Approve"], {"budget": 11}, "conf.budget"),
        (["Approve"], {"budget": "a\x00"}, "conf"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused(question, scientist, chosen, given, field):
    with pytest.raises(InvalidRequest) as refused:
        answer(question, scientist, chosen, **given)
    assert [fault["field"] for fault in refused.value.errors] == [field]


TWO = [*PARAMS, {"name": "reason", "value": "none given", "schema": {"type": "string"}, "description": ""}]


@pytest.mark.parametrize("given", [{}, {"budget": 7}])
def test_values_that_are_left_out_get_their_defaults(question, airflow, scientist, sent, given):
    """Airflow takes any answer, and then fails the task where a value that it asked for is not in it."""
    InputRequest.objects.update(param_list=TWO)
    run_changes.answer_input(question.pk, chosen=["Approve"], params_input=given, by=scientist)
    tasks.deliver_answer(str(question.pk))
    assert airflow.answers["m", "ask"][2] == {"budget": 5, "reason": "none given", **given}


def test_a_value_without_a_default_has_to_be_given(question, scientist):
    InputRequest.objects.update(param_list=[{**PARAMS[0], "value": None}])
    with pytest.raises(InvalidRequest) as refused:
        run_changes.answer_input(question.pk, chosen=["Approve"], params_input={}, by=scientist)
    assert [fault["field"] for fault in refused.value.errors] == ["conf.budget"]


@pytest.mark.parametrize("params", [PARAMS, []])
def test_a_value_that_nobody_asked_for_is_refused_over_rest(page, question, params):
    InputRequest.objects.update(param_list=params)
    body = {"chosen": ["Approve"], "params_input": {"bugdet": 3}}
    url = f"/api/v1/runs/questions/{question.pk}/answer"
    answer = page.post(url, body, content_type="application/json")
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"field": "conf.bugdet", "message": "The question does not ask for this."}
    ]
    question.refresh_from_db()
    assert question.state == "waiting"


def test_an_answered_question_takes_no_other(question, scientist):
    answer(question, scientist)
    with pytest.raises(Conflict):
        answer(question, scientist)
    with pytest.raises(NotFound):
        run_changes.answer_input(10**9, chosen=["a"], params_input={}, by=scientist)


def test_only_those_who_are_asked_may_answer(question, scientist, viewer):
    with pytest.raises(PermissionDenied, match=r"pipelines\.run"):
        answer(question, viewer)
    InputRequest.objects.update(assigned=["bob"])
    with pytest.raises(Conflict, match="bob"):
        answer(question, scientist)


def test_the_form_says_when_others_are_asked(page, question):
    told = "The task asks others."
    assert told not in page.get(f"/runs/questions/{question.pk}").content.decode()
    InputRequest.objects.update(assigned=["bob"])
    text = page.get(f"/runs/questions/{question.pk}").content.decode()
    assert told in text
    assert "Asked of bob alone." in text


# --- pages


def test_the_inbox_leads_to_the_form_and_the_form_answers(page, question):
    text = page.get("/runs/questions").content.decode()
    assert "Release &lt;b&gt;2&lt;/b&gt;?" in text
    form = page.get(f"/runs/questions/{question.pk}").content.decode()
    assert "It is Friday." in form
    assert 'name="conf-budget"' in form
    assert 'value="Approve"' in form
    answer = page.post(f"/runs/questions/{question.pk}", {"chosen": "Reject", "conf-budget": "3"})
    assert (answer.status_code, answer["Location"]) == (302, "/runs/questions")
    question.refresh_from_db()
    assert (question.state, question.chosen, question.params_input) == (
        "delivering",
        ["Reject"],
        {"budget": 3},
    )


def test_faults_stand_in_the_form(page, question):
    answer = page.post(f"/runs/questions/{question.pk}", {"conf-budget": "11"})
    assert answer.status_code == 422
    text = answer.content.decode()
    assert "Choose an option." in text
    assert 'id="id_conf-budget_error"' in text
    assert 'value="11"' in text


def test_several_options_where_the_question_says_so(page, question):
    InputRequest.objects.update(is_multiple=True, defaults=["Reject"])
    form = page.get(f"/runs/questions/{question.pk}").content.decode()
    assert form.count('type="checkbox"') == 2
    page.post(f"/runs/questions/{question.pk}", {"chosen": ["Approve", "Reject"], "conf-budget": "3"})
    question.refresh_from_db()
    assert question.chosen == ["Approve", "Reject"]


def test_the_run_says_that_it_waits_for_a_person(page, question, real_redis):
    text = page.get(f"/runs/{Run.objects.get().pk}").content.decode()
    assert "ask awaits your answer" in text
    assert f"/runs/questions/{question.pk}" in text


def test_the_run_says_that_an_answer_is_on_its_way(page, question, scientist, airflow, real_redis):
    answer(question, scientist)
    airflow.is_away = True
    tasks.deliver_answer(str(question.pk))
    text = page.get(f"/runs/{Run.objects.get().pk}").content.decode()
    assert "awaits" not in text
    assert "The answer for ask is on its way to Airflow" in text
    assert "Airflow is not answering." in text


def test_the_run_asks_nobody_who_may_not_answer(client, page, viewer, question, real_redis):
    InputRequest.objects.update(assigned=["bo"])
    run_page = f"/runs/{Run.objects.get().pk}"
    text = page.get(run_page).content.decode()
    assert "ask awaits an answer" in text
    assert "Only these may answer: bo." in text
    InputRequest.objects.update(assigned=[])
    client.force_login(viewer)
    assert "ask awaits an answer" in client.get(run_page).content.decode()


def test_what_is_over_is_kept(page, question, scientist):
    answer(question, scientist)
    tasks.deliver_answer(str(question.pk))
    assert "No task waits for a person" in page.get("/runs/questions").content.decode()
    assert "ana answered Approve" in page.get("/runs/questions?show=closed").content.decode()
    assert "Approve" in page.get(f"/runs/questions/{question.pk}").content.decode()


def test_what_was_answered_is_shown_as_json_whatever_it_is_called(page, question):
    """A template takes `items` of a dict for the value that is called so."""
    given = {"items": ["ab", 5], "is_sure": True, "note": "<b>yes</b>", "nothing": None}
    InputRequest.objects.update(chosen=["Approve"], params_input=given, closed_at=timezone.now())
    text = page.get(f"/runs/questions/{question.pk}").content.decode()
    values = re.findall(r'<dt>(\w+)</dt>\s*<dd class="value">(.*?)</dd>', text)
    assert sorted(values) == [
        ("is_sure", "true"),
        ("items", "[&quot;ab&quot;, 5]"),
        ("note", "&lt;b&gt;yes&lt;/b&gt;"),
        ("nothing", "null"),
    ]


def test_what_is_asked_is_markdown_that_does_no_harm(page, question):
    body = """See [the report](https://example.org/r).

| model | f1 |
| --- | --- |
| new | 0.9 |

<script>alert(1)</script> [x](javascript:alert(1))"""
    InputRequest.objects.update(body=body)
    text = page.get(f"/runs/questions/{question.pk}").content.decode()
    assert '<a href="https://example.org/r" rel="noopener noreferrer nofollow">the report</a>' in text
    assert "<td>0.9</td>" in text
    assert "<script>alert" not in text
    assert 'href="javascript' not in text


def test_rest_lists_and_answers(page, question):
    [row] = page.get("/api/v1/runs/questions").json()["results"]
    assert (row["id"], row["dag_id"], row["options"]) == (question.pk, DAG, ["Approve", "Reject"])
    url = f"/api/v1/runs/questions/{question.pk}/answer"
    body = {"chosen": ["Approve"], "params_input": {"budget": 3}}
    answer = page.post(url, body, content_type="application/json")
    assert (answer.status_code, answer.json()["state"]) == (202, "delivering")
    assert page.post(url, body, content_type="application/json").status_code == 409


def test_rest_tells_what_became_of_an_answer(page, question, airflow):
    def one():
        return page.get(f"/api/v1/runs/questions/{question.pk}").json()

    def ids(state):
        return [row["id"] for row in page.get("/api/v1/runs/questions", {"state": state}).json()["results"]]

    InputRequest.objects.update(defaults=["Reject"])
    told = one()
    assert (told["state"], told["outcome"], told["chosen"], told["defaults"]) == (
        "waiting",
        "",
        None,
        ["Reject"],
    )
    body = {"chosen": ["Approve"], "params_input": {"budget": 3}}
    page.post(f"/api/v1/runs/questions/{question.pk}/answer", body, content_type="application/json")
    assert (ids("open"), ids("closed"), ids("")) == ([question.pk], [], [question.pk])
    tasks.deliver_answer(str(question.pk))
    told = one()
    assert (told["state"], told["outcome"], told["delivery_error"]) == ("closed", "answered", "")
    assert (told["chosen"], told["params_input"], told["answered_by"]) == (["Approve"], {"budget": 3}, "ana")
    assert told["answered_at"] is not None
    assert (ids("open"), ids("closed")) == ([], [question.pk])


def test_rest_has_the_closed_ones_page_by_page_the_latest_first(page, question):
    run, now = question.run, timezone.now()
    rows = [make_question(run, closed_at=now - timedelta(hours=n), try_number=n) for n in range(3)]
    first = page.get("/api/v1/runs/questions?state=closed&limit=2").json()
    rest = page.get(first["next"]).json()
    found = [row["id"] for row in [*first["results"], *rest["results"]]]
    assert (found, rest["next"]) == ([row.pk for row in rows], None)


def test_rest_says_which_questions_and_states_there_are(page, question):
    answer = page.get("/api/v1/runs/questions?state=over")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "state")
    assert page.get("/api/v1/runs/questions/999999999").status_code == 404


def test_an_answer_is_not_given_to_a_later_try(question, airflow, scientist):
    """The task asked again while the answer was on its way: nobody has seen that question."""
    answer(question, scientist)
    ask_again(airflow)
    sync.sync_inputs()
    tasks.deliver_answer(str(question.pk))
    assert ("m", "ask") not in airflow.answers
    question.refresh_from_db()
    assert question.state == "closed"
    assert "asked again since" in question.delivery_error
    assert states() == [(1, "closed"), (2, "waiting")]
