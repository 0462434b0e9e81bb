"""People in front of a browser: windows of theirs, and everything that the browser complained about."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, Response, expect

from tests.api import PASSWORD, new_person
from tests.running_stack import RunningStack

WIDE = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
SHOTS = os.environ.get("CONSOLE_TEST_SHOTS")

expect.set_options(timeout=15_000)


@dataclass
class Complaints:
    """What the browser's console, its network and its content policy had to say."""

    found: list[str] = field(default_factory=list)
    # Chromium writes every answer from 400 on into its console: tests of bad input list what they provoke.
    expected_statuses: set[int] = field(default_factory=set)

    def watch(self, page: Page) -> None:
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.found.append(f"script: {error}"))
        page.on("response", self._answered)

    def _said(self, message: ConsoleMessage) -> None:
        is_expected = any(
            ("Failed to load resource" in message.text and f"status of {status}" in message.text)
            or f"Unexpected response code: {status}" in message.text  # of a socket
            for status in self.expected_statuses
        )
        if message.type == "error" and not is_expected:
            self.found.append(f"console: {message.text}")

    def _answered(self, response: Response) -> None:
        if response.url.endswith("/csp-report"):
            self.found.append(f"content policy: {response.request.post_data}")
        if response.status >= 500 and response.status not in self.expected_statuses:
            self.found.append(f"{response.status}: {response.url}")


class Visitor:
    """One signed-in person; each `page` is a window of theirs."""

    def __init__(self, browser: Browser, stack: RunningStack, name: str, state: Any) -> None:
        self.name, self.stack = name, stack
        self._browser, self._state = browser, state
        self.complaints = Complaints()

    def page(self, *, viewport: dict[str, int] = WIDE, theme: str = "light") -> Page:
        context = self._browser.new_context(
            base_url=self.stack.url,
            viewport=viewport,
            color_scheme=theme,
            reduced_motion="reduce",  # a colour on its way from one theme to the other has no contrast
            storage_state=self._state,
        )
        page = context.new_page()
        self.complaints.watch(page)
        return page


class People:
    """Users by role, made when they are first asked for; each has changed their one-time password."""

    def __init__(self, browser: Browser, stack: RunningStack) -> None:
        self._browser, self._stack = browser, stack
        self._states: dict[str, Any] = {}
        self._visitors: list[Visitor] = []

    def visitor(self, name: str, *roles: str) -> Visitor:
        if name not in self._states:
            self._states[name] = self._first_sign_in(name, new_person(self._stack, name, *roles))
        made = Visitor(self._browser, self._stack, name, self._states[name])
        self._visitors.append(made)
        return made

    def _first_sign_in(self, name: str, one_time: str) -> Any:
        context = self._browser.new_context(base_url=self._stack.url)
        page = context.new_page()
        sign_in(page, name, one_time)
        choose_password(page, one_time)
        state = context.storage_state()
        context.close()
        return state

    def check(self) -> None:
        """Raises AssertionError with everything that browsers complained about since the last check."""
        visitors, self._visitors = self._visitors, []
        found = [f"{visitor.name}: {said}" for visitor in visitors for said in visitor.complaints.found]
        assert not found, "\n".join(found)


def sign_in(page: Page, name: str, password: str) -> None:
    page.goto("/sign-in")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def choose_password(page: Page, one_time: str) -> None:
    """Answer the page that the first sign-in leads to."""
    expect(page.get_by_role("heading", name="Choose your password")).to_be_visible()
    page.get_by_label("Current password").fill(one_time)
    page.get_by_label("New password", exact=True).fill(PASSWORD)
    page.get_by_label("New password again").fill(PASSWORD)
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def shoot(page: Page, name: str) -> None:
    """Keep a picture of the page in the folder that CONSOLE_TEST_SHOTS names, if it names one."""
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)
