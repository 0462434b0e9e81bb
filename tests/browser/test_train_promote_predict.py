"""The whole path as three people walk it: one trains and asks, one approves, one predicts."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.api import wait_for
from tests.browser.visitors import PHONE, People, shoot
from tests.first_path import FirstPath

A_TRAINING_S = 240_000


@pytest.mark.journey
def test_model_is_trained_promoted_by_two_people_and_answers(people: People, path: FirstPath):
    trainer = people.visitor("journey-scientist", "scientist")
    trainer.complaints.expected_statuses.add(422)
    scientist = trainer.page()
    approver = people.visitor("journey-approver", "approver").page()
    asker = people.visitor("journey-predictor", "predictor")
    asker.complaints.expected_statuses.add(422)
    predictor = asker.page(viewport=PHONE)
    version = train(scientist)
    request_promotion(scientist, version)
    approve(approver, version)
    predict(predictor, version)


def train(page: Page) -> str:
    """Trigger by the form, follow the run while it works; answers the version it registered."""
    page.goto("/pipelines")
    page.get_by_role("link", name="titanic_training").first.click()
    page.get_by_role("link", name="Run now").click()
    page.get_by_label("Forests to try").fill("999")
    page.get_by_role("button", name="Run now").click()
    expect(page.get_by_text("Write 50 or less.").first).to_be_visible()
    page.get_by_label("Forests to try").fill("1")
    page.get_by_label("Folds").fill("2")
    page.get_by_role("button", name="Run now").click()
    expect(page).to_have_url(re.compile(r"/runs/\d+"))
    expect(page.get_by_text("running").first).to_be_visible(timeout=60_000)
    expect(page.locator(".log-line").first).to_be_visible(timeout=90_000)
    shoot(page, "journey-run-while-it-works")
    expect(page.locator("#run-state")).to_have_text(re.compile("success"), timeout=A_TRAINING_S)
    page.goto("/models/titanic")
    version = page.get_by_role("link", name=re.compile(r"^v\d+$")).first.inner_text()
    return version.removeprefix("v")


def request_promotion(page: Page, version: str) -> None:
    page.goto(f"/models/titanic/versions/{version}")
    expect(page.get_by_text("Better than the baseline")).to_be_visible(timeout=60_000)
    page.get_by_role("textbox", name="Your reason").fill("A second look at the same passengers.")
    page.get_by_role("button", name="Request promotion").click()
    expect(page.get_by_text(f"asks to make v{version} the champion")).to_be_visible()
    expect(page.get_by_text("somebody else has to decide").first).to_be_visible()


def approve(page: Page, version: str) -> None:
    page.goto("/promotions")
    page.get_by_role("link", name=re.compile(rf"titanic v{version}")).first.click()
    page.get_by_label(re.compile("reason", re.IGNORECASE)).fill("No slice is worse.")
    shoot(page, "journey-decision")
    page.get_by_role("button", name=f"Approve v{version}").click()
    expect(page.get_by_text(f"v{version} is the champion of titanic")).to_be_visible()


def predict(page: Page, version: str) -> None:
    def shows_it() -> bool:
        page.goto("/predict/titanic")
        return page.get_by_text(f"Champion v{version} of titanic").is_visible()

    wait_for("the champion in the memory of web", shows_it, timeout_s=60)
    page.get_by_role("button", name="Fill with an example").or_(
        page.get_by_role("link", name="Fill with an example")
    ).click()
    expect(page.get_by_label("Age")).to_have_value("22")
    page.get_by_label("Age").fill("abc")
    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_text(re.compile("number", re.IGNORECASE)).first).to_be_visible()
    page.get_by_label("Age").fill("22")
    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_role("heading", name=re.compile("^(Did not survive|Survived)$"))).to_be_visible()
    shoot(page, "journey-answer")
    page.goto("/predict/titanic/mine")
    expect(page.get_by_role("rowheader").get_by_role("link").first).to_be_visible()
