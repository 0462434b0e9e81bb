"""Signing in, signing out, and the ways in which neither works."""

import re

from playwright.sync_api import Browser, expect

from tests.api import PASSWORD, new_person
from tests.browser.visitors import People, sign_in
from tests.running_stack import RunningStack


def test_first_sign_in_leads_to_a_password_of_ones_own_and_out_again(people: People):
    visitor = people.visitor("sign-in-ana", "viewer")
    visitor.complaints.expected_statuses |= {401, 403}  # boxes and a socket still asked for as she signed out
    page = visitor.page()
    page.goto("/")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.get_by_label(re.compile("^Menu of sign-in-ana")).click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto("/pipelines")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    sign_in(page, visitor.name, PASSWORD)
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def test_sign_in_returns_to_the_page_that_was_asked_for(
    people: People, browser: Browser, stack: RunningStack
):
    ben = people.visitor("sign-in-ben", "viewer").name
    page = browser.new_context(base_url=stack.url).new_page()
    page.goto("/models")
    page.get_by_label("Name").fill(ben)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Models")).to_be_visible()


def test_wrong_passwords_bring_a_wait_and_say_for_how_long(browser: Browser, stack: RunningStack):
    new_person(stack, "sign-in-cleo", "viewer")
    page = browser.new_context(base_url=stack.url).new_page()
    for _attempt in range(6):
        sign_in(page, "sign-in-cleo", "not the password")
    expect(page.get_by_text(re.compile(r"Wait \d+ seconds"))).to_be_visible()


def test_viewer_sees_what_is_missing_instead_of_a_button_that_works(people: People):
    visitor = people.visitor("sign-in-dora", "viewer")
    visitor.complaints.expected_statuses.add(403)
    page = visitor.page()
    page.goto("/pipelines/titanic_training/trigger")
    expect(page.get_by_text(re.compile("pipelines.run")).first).to_be_visible()


def test_predictor_finds_no_way_into_the_machinery(people: People):
    visitor = people.visitor("sign-in-eva", "predictor")
    visitor.complaints.expected_statuses.add(403)
    page = visitor.page()
    page.goto("/")
    navigation = page.get_by_role("navigation", name="Main")
    expect(navigation.get_by_role("link", name="Predict")).to_be_visible()
    expect(navigation.get_by_role("link", name="Pipelines")).to_have_count(0)
    answer = page.goto("/models")
    assert answer is not None
    assert answer.status == 403
