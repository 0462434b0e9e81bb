"""Airflow's own example DAGs, run from this console as an operator would.

`make test-examples`, outside `make test`: a stack of its own with CONSOLE_LOAD_EXAMPLES=1, whose hundred DAGs
would slow every other test. It tries what nobody here wrote: the pages of each pipeline, their forms with
values of every type, questions of tasks, assets that start another pipeline.
"""

import json
import os
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.api import Caller, ok, wait_for
from tests.browser.visitors import People
from tests.running_stack import RunningStack

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("CONSOLE_TEST_EXAMPLES") != "1",
        reason="`make test-examples` runs it: a stack with Airflow's examples",
    ),
    pytest.mark.timeout(1200),
]
ENDED = {"success", "failed"}
LEAST = 90  # examples that Airflow brings
TUTORIAL = "example_params_ui_tutorial"


@pytest.fixture(scope="module")
def operator(stack: RunningStack) -> Caller:
    return Caller(stack, f"examples-{uuid.uuid4().hex[:8]}", "engineer")


@pytest.fixture
def page(people: People) -> Page:
    visitor = people.visitor(f"operator-{uuid.uuid4().hex[:8]}", "engineer")
    visitor.complaints.expected_statuses.add(422)
    return visitor.page()


@pytest.fixture(scope="module")
def examples(operator: Caller) -> list[str]:
    """Names of the pipelines that are not the console's own."""

    def listed() -> list[str]:
        found = [one["dag_id"] for one in ok(operator.get("/pipelines?limit=200"))["results"]]
        return found if len(found) >= LEAST else []

    return wait_for("Airflow's examples", listed, timeout_s=300)


def test_each_opens_with_its_graph_and_its_form(examples: list[str], page: Page):
    for name in examples:
        for tab in ("", "/graph", "/trigger"):
            answer = page.goto(f"/pipelines/{name}{tab}")
            assert answer is not None
            assert answer.status == 200, answer.url
            too_wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert too_wide <= 0, f"{answer.url} is {too_wide} px too wide"
        for tab in ("/code", "/details", "/runs", "/durations", "/backfills"):
            looked = page.request.get(f"/pipelines/{name}{tab}")
            assert looked.status == 200, looked.url


def test_the_tutorial_left_as_it_is_sends_its_defaults(examples: list[str], operator: Caller, page: Page):
    params = ok(operator.get(f"/pipelines/{TUTORIAL}"))["params"]
    unpause(operator, TUTORIAL)
    page.goto(f"/pipelines/{TUTORIAL}/trigger")
    send(page)
    told = page.get_by_text("This is required: fill it in.", exact=True)
    expect(told).to_have_count(1)  # the one without a default
    box(page, "required_field").fill("exactly ten")
    run = ran(page, operator)
    sent = {name: one["value"] for name, one in params.items()} | {"required_field": "exactly ten"}
    assert run["conf"] == sent
    assert seen_by_the_task(operator, run) == sent


# What an operator does to the field, and the value that the task is to see.
FILLED: dict[str, tuple[Callable[[Page, str], None], Any]] = {
    "number_param": (lambda page, name: box(page, name).fill("7.5"), 7.5),
    "text_param": (lambda page, name: box(page, name).fill('Ünï "quoted" — 你好 '), 'Ünï "quoted" — 你好 '),
    "bool_param": (lambda page, name: box(page, name).check(), True),
    "list_param": (
        lambda page, name: box(page, name).fill("one line\ntwo, three"),
        ["one line", "two, three"],
    ),
    "dict_param": (
        lambda page, name: box(page, name).fill('{"a": [1, null, {"b": 1.5}]}'),
        {"a": [1, None, {"b": 1.5}]},
    ),
    "most_loved_number": (lambda page, name: box(page, name).fill("0"), 0),
    "pick_one": (lambda page, name: box(page, name).select_option(label="value 16"), "value 16"),
    "bool": (lambda page, name: box(page, name).uncheck(), False),
    "date_time": (
        lambda page, name: box(page, name).fill("2026-02-28T23:59:58"),
        "2026-02-28T23:59:58+00:00",
    ),
    "duration": (lambda page, name: box(page, name).fill("P1DT2H"), "P1DT2H"),
    "date": (lambda page, name: box(page, name).fill("2024-02-29"), "2024-02-29"),
    "time": (lambda page, name: box(page, name).fill(""), None),
    "required_field": (lambda page, name: box(page, name).fill("x" * 30), "x" * 30),
    "optional_field": (lambda page, name: box(page, name).fill(""), None),
    "pick_with_label": (
        lambda page, name: box(page, name).select_option(label="None (clear selection)"),
        None,
    ),
    "proposals": (lambda page, name: box(page, name).fill("none of them"), "none of them"),
    "multi_select": (lambda page, name: tick(page, name, "one", "five"), ["one", "five"]),
    "multi_select_with_label": (lambda page, name: tick(page, name), []),
    "array_of_numbers": (lambda page, name: box(page, name).fill("[1, 2.5, -3e2]"), [1, 2.5, -300.0]),
    "multiline_text": (lambda page, name: box(page, name).fill("a\n\n\tb\n"), "a\n\n\tb\n"),
    "object": (lambda page, name: box(page, name).fill(""), None),
    "array_of_objects": (lambda page, name: box(page, name).fill('[{"name": "n"}]'), [{"name": "n"}]),
    "batch_size": (lambda page, name: box(page, name).fill("all"), "all"),
    "notify": (lambda page, name: box(page, name).fill("false"), False),
    "pipeline_config": (
        lambda page, name: box(page, name).fill('{"name": "nightly", "retries": 2}'),
        {"name": "nightly", "retries": 2},
    ),
    "priority": (lambda page, name: box(page, name).fill("12"), 12),
}


def test_the_tutorial_takes_values_of_every_type(examples: list[str], operator: Caller, page: Page):
    params = ok(operator.get(f"/pipelines/{TUTORIAL}"))["params"]
    hidden = {name: one["value"] for name, one in params.items() if "const" in one["schema"]}
    assert FILLED.keys() == params.keys() - hidden.keys()
    unpause(operator, TUTORIAL)
    page.goto(f"/pipelines/{TUTORIAL}/trigger")
    for name, (fill, _value) in FILLED.items():
        fill(page, name)
    box(page, "note", prefix="").fill("Ça va?\nOui.")
    run = ran(page, operator)
    wanted = {name: value for name, (_fill, value) in FILLED.items()} | hidden
    assert run["conf"] == wanted
    assert run["note"] == "Ça va?\nOui."
    assert seen_by_the_task(operator, run) == wanted


def test_wrong_values_are_told_at_their_fields_and_start_nothing(
    examples: list[str], operator: Caller, page: Page
):
    before = runs_of(operator, TUTORIAL)
    page.goto(f"/pipelines/{TUTORIAL}/trigger")
    wrong = {
        "most_loved_number": "129",
        "required_field": "too short",
        "dict_param": "{",
        "array_of_numbers": '["a"]',
        "array_of_objects": '[{"country": "no name"}]',
    }
    for name, text in wrong.items():
        box(page, name).fill(text)
    send(page)
    for name in wrong:
        expect(page.locator(f"#id_conf-{name}")).to_have_attribute("aria-invalid", "true")
        expect(page.locator(f"#id_conf-{name}_error")).to_be_visible()
        expect(box(page, name)).to_have_value(wrong[name])
    assert runs_of(operator, TUTORIAL) == before


def test_greetings_go_to_those_who_are_named(examples: list[str], operator: Caller, page: Page):
    name = "example_params_trigger_ui"
    unpause(operator, name)
    page.goto(f"/pipelines/{name}/trigger")
    box(page, "names").fill("Ana\nBjörk")
    box(page, "german").uncheck()
    run = ran(page, operator)
    assert run["conf"] == {"names": ["Ana", "Björk"], "english": True, "german": False, "french": True}
    states = {(one["task_id"], one["map_index"]): one["state"] for one in tasks_of(operator, run)}
    assert states["generate_english_greeting", 1] == "success"
    assert {state for (task, _index), state in states.items() if "german" in task} == {"skipped"}
    greeted = log_of(operator, run, "print_greetings")
    assert "Hello Björk!" in greeted
    assert "Bonjour Ana!" in greeted
    page.goto(f"/runs/{run['id']}")
    expect(page.locator("#run-state")).to_have_text(re.compile("success"))


@pytest.mark.parametrize(
    "name",
    ["example_complex", "example_task_group", "example_dynamic_task_mapping", "example_setup_teardown"],
)
def test_it_ends_well_and_its_run_can_be_looked_at(
    examples: list[str], operator: Caller, page: Page, name: str
):
    unpause(operator, name)
    page.goto(f"/pipelines/{name}/trigger")
    run = ran(page, operator)
    assert run["state"] == "success"
    page.goto(f"/runs/{run['id']}")
    expect(page.locator("#run-state")).to_have_text(re.compile("success"))
    page.goto(f"/pipelines/{name}/graph")
    expect(page.locator("svg.graph-svg")).to_be_visible()


def test_a_changed_asset_starts_who_waits_for_it(examples: list[str], operator: Caller, page: Page):
    for name in ("asset_produces_1", "asset_consumes_1"):
        unpause(operator, name)
    before = runs_of(operator, "asset_consumes_1")
    page.goto("/pipelines/asset_produces_1/trigger")
    assert ran(page, operator)["state"] == "success"
    started = wait_for(
        "the run of who consumes", lambda: runs_of(operator, "asset_consumes_1") - before, timeout_s=60
    )
    assert {ended(operator, run)["state"] for run in started} == {"success"}
    page.goto("/assets")
    page.get_by_role("link", name=re.compile("output_1.txt")).first.click()
    expect(page.get_by_text("asset_produces_1").first).to_be_visible()


def test_questions_of_tasks_are_answered_from_the_inbox(examples: list[str], operator: Caller, page: Page):
    name = "example_hitl_operator"
    unpause(operator, name)
    page.goto(f"/pipelines/{name}/trigger")
    send(page)
    run = run_id(page)
    answers = {"wait_for_input": ["OK"], "wait_for_option": ["option 2"]}
    answers["wait_for_multiple_options"] = ["option 4", "option 6"]
    for task, chosen in answers.items():
        page.goto(f"/runs/questions/{question(operator, run, task)['id']}")
        if task == "wait_for_input":
            page.get_by_label("information").fill("from the inbox, ünï")
        for one in chosen:
            page.get_by_label(one, exact=True).check()
        page.get_by_role("button", name="Send the answer").click()
        wait_for(
            f"{task} goes on", lambda task=task: state_of(operator, run, task) == "success", timeout_s=120
        )
    asked = question(operator, run, "valid_input_and_options")
    said = asked["body"]
    assert "Input: from the inbox, ünï" in said
    assert "['option 4', 'option 6']" in said
    assert "['option 7']" in said  # nobody answered within its second
    assert asked["assigned"]
    page.goto("/runs/questions")
    expect(page.get_by_text("Are the following input and options valid?").first).to_be_visible()
    page.get_by_role("link", name=re.compile("Are the following input")).first.click()
    expect(page.get_by_text("alone")).to_be_visible()  # Airflow asks other accounts
    expect(page.get_by_role("button", name="Send the answer")).to_have_attribute("aria-disabled", "true")
    ok(operator.post(f"/runs/{run}/cancel"))


def box(page: Page, name: str, prefix: str = "conf-") -> Any:
    return page.locator(f"#id_{prefix}{name}")


def tick(page: Page, name: str, *texts: str) -> None:
    for one in page.locator(f"input[name='conf-{name}']").all():
        one.set_checked(json.loads(one.get_attribute("value") or "null") in texts)


def send(page: Page) -> None:
    page.get_by_role("button", name="Run now").click()


def run_id(page: Page) -> str:
    expect(page).to_have_url(re.compile(r"/runs/\d+"))
    return page.url.split("/runs/")[1].split("?")[0]


def ran(page: Page, operator: Caller) -> dict[str, Any]:
    """Presses the button, and answers the run at its end."""
    send(page)
    return ended(operator, run_id(page))


def ended(operator: Caller, run: str | int, *, timeout_s: float = 300) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = ok(operator.get(f"/runs/{run}"))
        return found if found["state"] in ENDED else None

    found: dict[str, Any] = wait_for(f"the end of run {run}", look, timeout_s=timeout_s)
    return found


def unpause(operator: Caller, name: str) -> None:
    ok(operator.patch(f"/pipelines/{name}", {"is_paused": False}))


def runs_of(operator: Caller, name: str) -> set[int]:
    return {one["id"] for one in ok(operator.get(f"/pipelines/{name}/runs"))["results"]}


def tasks_of(operator: Caller, run: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ok(operator.get(f"/runs/{run['id']}/tasks?limit=200"))["results"]
    return found


def state_of(operator: Caller, run: str, task: str) -> str:
    return next((one["state"] for one in tasks_of(operator, {"id": run}) if one["task_id"] == task), "")


def log_of(operator: Caller, run: dict[str, Any], task: str) -> str:
    def look() -> str:
        found = ok(operator.get(f"/runs/{run['id']}/tasks/{task}/log"))
        return "\n".join(one["message"] for one in found["lines"]) if found["has_end"] else ""

    found: str = wait_for(f"the log of {task}", look, timeout_s=60)
    return found


def seen_by_the_task(operator: Caller, run: dict[str, Any]) -> dict[str, Any]:
    """The parameters as the tutorial's own task printed them; Airflow writes its own lines in between."""
    lines = log_of(operator, run, "show_params").splitlines()
    printed = lines[lines.index("{") : lines.index("}") + 1]
    found: dict[str, Any] = json.loads("".join(line for line in printed if line[:1] in {"{", " ", "}"}))
    return found


def question(operator: Caller, run: str, task: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        asked = ok(operator.get("/runs/questions"))["results"]
        return next((one for one in asked if str(one["run_id"]) == run and one["task_id"] == task), None)

    found: dict[str, Any] = wait_for(f"the question of {task}", look, timeout_s=120)
    return found
