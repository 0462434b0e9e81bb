"""Two ASGI applications that answer the same call with the same model, for `benchmarks.predict` to compare.

`bare` does only what nobody can leave out: token, JSON, ONNX. `console` is the predict path as it is served.
"""

import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
django.setup()

import numpy as np  # noqa: E402
import onnxruntime as ort  # noqa: E402
import orjson  # noqa: E402
from django.conf import settings  # noqa: E402

from predictions.serving.service import Service  # noqa: E402
from predictions.serving.standalone import ServingApp  # noqa: E402
from scoring.expressions import compile_expression  # noqa: E402
from scoring.spec import Spec  # noqa: E402
from tests import champions  # noqa: E402

N_TREES = 100
TEXTS = ("Sex", "Embarked")


class Bare:
    """Token check, decode, score, encode: no check of values, no record, no limits."""

    def __init__(self) -> None:
        made = champions.packed(n_trees=N_TREES)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(made.onnx, options, providers=["CPUExecutionProvider"])
        spec = Spec.from_json(made.spec_json)
        self._numbers = [field.name for field in spec.fields if not field.is_text]
        self._family = compile_expression(spec.derived[0].expression, spec.columns)
        self._keys = {sha256(champions.KEY.encode()).hexdigest(): 7}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        key = dict(scope["headers"])[b"authorization"][7:]
        if sha256(key).hexdigest() not in self._keys:
            raise PermissionError
        row = orjson.loads((await receive())["body"])["rows"][0]
        body = orjson.dumps({"predictions": [self._answer(row)]})
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, row: dict[str, Any]) -> dict[str, Any]:
        feed = {name: np.array([[row[name]]], dtype=np.float32) for name in self._numbers}
        feed["FamilySize"] = np.array([[self._family.scalar(row)]], dtype=np.float32)
        feed |= {name: np.array([[row[name]]], dtype=object) for name in TEXTS}
        value, shares = self._session.run(None, feed)
        return {"value": value.tolist()[0], "probabilities": shares.tolist()[0]}


def _console() -> ServingApp:
    source = champions.FakeSource()
    source.promote("1", champions.packed(n_trees=N_TREES))
    folder = Path(os.environ["BENCH_DIR"])
    return ServingApp(Service(folder, source, settings.CONSOLE_PREDICTIONS_TOPIC))


app = Bare() if os.environ["BENCH_APP"] == "bare" else _console()
