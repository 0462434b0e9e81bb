"""The steps in their order. Each function takes a scene, does its part by REST, and says what came of it.

A step that is begun again, after a crash or by `run_demo` once more, first looks for what it did already.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from console.demo.scene import Scene
from console.demo.steps import approve, drift, gate, predict, spark, stream, train


@dataclass(frozen=True)
class Act:
    """play: does the step and returns a sentence. is_there: whether what an earlier walk did still is.

    name: one of `models.TITLES`, which has the words for it.
    """

    name: str
    play: Callable[[Scene], str]
    is_there: Callable[[Scene], bool]


ACTS: Final = (
    Act("train", train.play, train.is_there),
    Act("gate", gate.play, gate.is_there),
    Act("approve", approve.play, approve.is_there),
    Act("predict", predict.play, predict.is_there),
    Act("stream", stream.play, stream.is_there),
    Act("spark", spark.play, spark.is_there),
    Act("drift", drift.play, drift.is_there),
)
