"""The steps in their order. Each function takes a scene, does its part by REST, and says what came of it.

A step that is begun again, after a crash or by `run_demo` once more, first looks for what it did already.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from console.demo.scene import Scene
from console.demo.steps import approve, drift, gate, predict, spark, stream, train


@dataclass(frozen=True)
class Act:
    """play: does the step and returns a sentence. is_there: whether what an earlier walk did still is."""

    name: str
    title: str | Promise
    play: Callable[[Scene], str]
    is_there: Callable[[Scene], bool]


ACTS: Final = (
    Act("train", _("Train a model"), train.play, train.is_there),
    Act("gate", _("Judge it at the gate"), gate.play, gate.is_there),
    Act("approve", _("Ask for promotion, approve it"), approve.play, approve.is_there),
    Act("predict", _("Predict"), predict.play, predict.is_there),
    Act("stream", _("Count a stream of events"), stream.play, stream.is_there),
    Act("spark", _("Clean trips on Spark"), spark.play, spark.is_there),
    Act("drift", _("Watch for drift"), drift.play, drift.is_there),
)
TITLES: Final = {act.name: act.title for act in ACTS}
