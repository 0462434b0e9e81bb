"""Submit an application, watch it run, read its result."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.looking import look
from tests.browser.visitors import People
from tests.running_stack import RunningStack
from tests.unit.jobs.spark_apps.made_trips import table, write

RUNS_MS = 180_000  # a cold JVM beside everything else on a small machine


@pytest.mark.journey
def test_clean_trips_is_submitted_and_its_result_is_read(people: People, stack: RunningStack):
    trips = table({}, {"trip_distance": 0.0}, {"trip_distance": 0.0}, {"tip_amount": 14.0})
    source = write(Path(stack.env["CONSOLE_OUTPUT_DIR"]) / "journey" / "month.parquet", trips)
    visitor = people.visitor("jobs-ana", "engineer")
    visitor.complaints.expected_statuses.add(422)
    page = visitor.page()
    page.goto("/jobs")
    page.get_by_role("link", name="New job").click()
    page.get_by_role("link", name=re.compile("Clean trips")).click()
    page.get_by_label("Source").fill("../elsewhere.parquet")
    page.get_by_role("button", name="Submit job").click()
    expect(page.get_by_text(re.compile("lies outside")).first).to_be_visible()
    look(page, "job-refused")

    page.get_by_label("Source").fill(str(source))
    page.get_by_role("button", name="Submit job").click()
    expect(page.get_by_role("heading", name="Clean trips")).to_be_visible()
    expect(page.get_by_role("log", name="Log of the driver")).to_contain_text("SparkContext", timeout=RUNS_MS)
    expect(page.locator("#job-state")).to_have_text(re.compile("succeeded"), timeout=RUNS_MS)
    result = page.get_by_role("region", name="Result")
    expect(result.get_by_role("row", name=re.compile("no distance"))).to_contain_text("2")
    expect(result.get_by_role("row", name=re.compile("large tip"))).to_contain_text("1")
    expect(result).to_contain_text("25.0")
    look(page, "job")

    page.get_by_role("link", name="Jobs").first.click()
    expect(page.get_by_role("row", name=re.compile("Clean trips")).first).to_contain_text("succeeded")
    look(page, "jobs-with-rows")
