"""Each page, wide and on a phone, light and dark: neither axe-core nor the browser finds a fault."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.looking import look
from tests.browser.visitors import Complaints, People
from tests.pages import PAGES
from tests.second_path import SecondPath

SEES_ALL = ("all-seeing", "admin", "scientist", "engineer")


@pytest.fixture(scope="module")
def window(_people: People) -> Iterator[tuple[Page, Complaints]]:
    """One for all pages, as somebody has who goes from each to the next."""
    visitor = _people.visitor(*SEES_ALL)
    page = visitor.page()
    yield page, visitor.complaints
    page.context.close()


@pytest.mark.parametrize("page", PAGES)
def test_page_is_accessible_wide_and_narrow_light_and_dark(
    window: tuple[Page, Complaints], second_path: SecondPath, page: str
):
    opened, complaints = window
    complaints.found.clear()
    answer = opened.goto(second_path.address(page))
    assert answer is not None
    assert answer.status == 200
    look(opened, re.sub(r"\W+", "-", page).strip("-") or "overview")
    assert complaints.found == []


def test_unknown_address_shows_the_way_on(people: People):
    visitor = people.visitor(*SEES_ALL)
    visitor.complaints.expected_statuses.add(404)
    page = visitor.page()
    page.goto("/no-such-page")
    expect(page.get_by_role("heading", name=re.compile("not found", re.IGNORECASE))).to_be_visible()
    expect(page.get_by_role("link", name="Overview").first).to_be_visible()
