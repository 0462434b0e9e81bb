"""Every action that some part records has words for people."""

import ast
from collections.abc import Iterator
from pathlib import Path

from django.utils.translation import override

from core.alerts.actions import _ACTIONS
from core.audit import words
from models_registry.models import ChampionPeriod

ROOT = Path(__file__).parents[3]
APPS = ("console", "core", "jobs", "models_registry", "pipelines", "predictions", "streaming", "usecases")
RECORDERS = {"audited", "record", "_record", "_settle", "_settle_answer", "_wish"}
# What the code puts together, or keeps in a name first.
MADE = {
    *(f"alert.{verb}" for verb in _ACTIONS.values()),
    *(f"model.{kind}" for kind in ChampionPeriod.Kind.values),
    *(
        f"backfill.{verb}"
        for verb in ("pause", "paused", "not_paused", "unpause", "unpaused", "not_unpaused")
    ),
    "promotion.approve",
    "promotion.reject",
    "pipeline.pause",
    "pipeline.resume",
    "pipeline.paused",
    "pipeline.resumed",
    "run.note_refused",
    "run.noted",
    "topic.not_confirmed",
    "topic.refused",
    "consumer_group.not_confirmed",
    "consumer_group.refused",
    "user.activate",
    "user.deactivate",
}


def recorded() -> Iterator[str]:
    """Literal actions in the calls that record one."""
    for path in (path for app in APPS for path in (ROOT / app).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and _name(node.func) in RECORDERS:
                named = [keyword.value for keyword in node.keywords if keyword.arg == "action"]
                parts = [part for argument in [*node.args[:2], *named] for part in ast.walk(argument)]
                texts = [part.value for part in parts if isinstance(part, ast.Constant)]
                yield from (text for text in texts if isinstance(text, str) and _is_action(text))


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _is_action(text: str) -> bool:
    first, _dot, rest = text.partition(".")
    return bool(rest) and first.replace("_", "").isalpha() and rest.replace("_", "").isalpha()


def test_every_action_has_its_words_and_no_words_are_left_over():
    found = set(recorded())
    assert {"run.trigger", "run.cancelled", "session.lock"} <= found
    assert found | MADE == set(words.ACTIONS)


def test_an_action_of_old_is_shown_as_it_is():
    with override("en"):
        assert words.in_words("run.trigger") == "Asked for a run"
    assert words.in_words("thing.touch") == "thing.touch"
