"""Looking at a page wide and on a phone, light and dark: no serious fault, nothing cut off."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.visitors import PHONE, SHOTS, WIDE, shoot

SERIOUS = {"serious", "critical"}
ALWAYS = {"landmark-unique"}  # only moderate, yet who jumps between landmarks is lost
# Once colours are no longer on their way from one theme to the other. A browser that draws nothing for a
# while (hidden, or on a busy machine) settles neither: the look is taken after 3 s all the same.
AT_REST = """() => Promise.race([
    new Promise((done) => setTimeout(done, 3000)),
    Promise.allSettled(
        document.getAnimations().filter((one) => one instanceof CSSTransition).map((one) => one.finished)
    ).then(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))),
])"""


def look(page: Page, name: str) -> None:
    """At the page as it stands; pictures are called `name`. Each width and each theme is checked once."""
    settle(page)
    for width, viewport, checked in (("wide", WIDE, "light"), ("phone", PHONE, "dark")):
        page.set_viewport_size(viewport)
        for theme in ("light", "dark") if SHOTS else (checked,):
            page.emulate_media(color_scheme=theme)
            page.evaluate(AT_REST)
            shoot(page, f"{name}-{width}-{theme}")
            if theme == checked:
                _check(page, f"{width}, {theme}")
        scrolls = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert scrolls <= 0, f"{width}: the page is {scrolls} px wider than its window"


def _check(page: Page, where: str) -> None:
    found = [
        f"{where}: {violation['help']}: {violation['nodes'][0]['html'][:200]}"
        for violation in Axe().run(page).response["violations"]
        if violation["impact"] in SERIOUS or violation["id"] in ALWAYS
    ]
    assert not found, "\n".join(found)


def settle(page: Page) -> None:
    """Wait until the boxes that load by themselves are there."""
    page.wait_for_load_state("load")
    expect(page.locator(".skeleton")).to_have_count(0)
