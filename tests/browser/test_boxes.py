"""Boxes that load by themselves, in pages that fetch themselves again."""

from playwright.sync_api import expect

from tests.browser.looking import settle
from tests.browser.visitors import People
from tests.second_path import SecondPath


def test_box_is_still_there_after_the_page_around_it_is_fetched_again(
    people: People, second_path: SecondPath
):
    page = people.visitor("all-seeing", "admin", "scientist", "engineer").page()
    page.goto("/models/titanic")
    settle(page)
    box = page.get_by_role("region", name="Drift")
    expect(box).to_contain_text("Current window")
    with page.expect_response("**/models/titanic"):
        page.evaluate("document.body.dispatchEvent(new CustomEvent('live:models'))")
    page.wait_for_load_state("networkidle")
    settle(page)
    expect(box).to_contain_text("Current window")
    page.context.close()
