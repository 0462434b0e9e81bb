"""What Airflow's answers and refusals mean, odd ones among them."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from pipelines import answers, run_answers, task_answers
from pipelines.backfill_answers import WantedRun, backfill_dates


def test_a_logical_date_may_lie_ahead():
    ahead = datetime.now(UTC).replace(microsecond=0) + timedelta(days=31)
    run = {"dag_id": "etl", "dag_run_id": "m", "state": "success", "logical_date": ahead.isoformat()}
    assert run_answers.dag_run(run).logical_date == ahead
    for name in ("logical_date", "partition_date"):
        assert backfill_dates({"backfills": [{name: ahead.isoformat()}]}) == [WantedRun(ahead)]


def test_a_line_that_is_no_message_is_shown_as_it_came():
    unlike = {"event": "x", "level": "error", "error_detail": [{"frames": [1]}], "words": "é" * 2000}
    odd = [7, {"timestamp": "2026-01-01T00:00:00Z", **unlike}, {"event": "sound"}, None]
    page = task_answers.log_page({"content": odd, "continuation_token": None}, own={})
    assert [line.message for line in page.lines] == [
        "7",
        '{"timestamp": "2026-01-01T00:00:00Z", "event": "x", "level": "error",'
        f' "error_detail": [{{"frames": [1]}}], "words": "{"é" * 2000}"}}',
        "sound",
        "null",
    ]
    assert (page.lines[1].at, page.lines[1].level) == (datetime(2026, 1, 1, tzinfo=UTC), "error")
    assert task_answers.stored_line(b"no JSON \xff") == "no JSON \ufffd"


def test_words_of_pydantics_findings_name_the_field():
    told = json.dumps({"detail": [{"loc": ["body", "logical_date"], "msg": "Field required"}]})
    assert answers.words_of_error(told) == "logical_date: Field required"


def test_the_field_is_found_in_the_schemas_sentence():
    words = "Invalid input for param n_iter: 0 is less than the minimum of 1\n\nFailed validating …"
    assert answers.fields_of_error(words) == [
        {"field": "conf.n_iter", "message": "0 is less than the minimum of 1"}
    ]
    assert answers.fields_of_error("something else") == []


@pytest.mark.parametrize(
    ("name", "known"), [("my param", ()), ("my param", ("my", "my param")), ("a: b", ("a", "a: b"))]
)
def test_the_field_is_found_whatever_the_parameter_is_called(name, known):
    words = f"Invalid input for param {name}: 'x: y' is not of type 'integer'"
    fault = {"field": f"conf.{name}", "message": "'x: y' is not of type 'integer'"}
    assert answers.fields_of_error(words, known) == [fault]


@pytest.mark.parametrize(
    "words",
    [
        "The run_id 'a..b' must not contain '..' to prevent path traversal",
        "The run_id provided 'a b' does not match regex pattern '^[A-Za-z]+$' or '^(?:manual)'",
        "A manual DAG run cannot use ID 'backfill__1' since it is reserved for backfill runs",
    ],
)
def test_a_fault_of_the_run_id_stands_at_it(words):
    assert answers.fields_of_error(words) == [{"field": "dag_run_id", "message": words}]


def test_a_run_of_a_partition_keeps_the_date_that_it_stands_for():
    item = {"dag_id": "dag", "dag_run_id": "r", "state": "queued", "partition_key": "2026-03-01T00:00:00"}
    assert run_answers.dag_run(item).partition_date is None
    found = run_answers.dag_run({**item, "partition_date": "2026-03-01T05:00:00Z"})
    assert found.partition_date == datetime(2026, 3, 1, 5, tzinfo=UTC)
