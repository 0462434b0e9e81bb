"""An alias that somebody sets in a real MLflow: an alert within seconds, over as soon as it is taken away."""

import uuid
from typing import Any

from tests.api import Caller, ok, wait_for
from tests.real_mlflow import RealMlflow
from tests.running_stack import RunningStack


def test_an_alias_set_elsewhere_raises_an_alert_until_it_is_gone(stack: RunningStack):
    name = f"alias_{uuid.uuid4().hex[:12]}"
    engineer = Caller(stack, name, "engineer")

    def alert(state: str) -> Any:
        return lambda: ok(engineer.get("/alerts", params={"subject": name, "state": state}))["results"]

    with stack.mlflow_client() as client:
        mlflow = RealMlflow(client)
        mlflow.register(name, mlflow.create_run(mlflow.create_experiment(name), "training"))
        mlflow.set_champion(name, 1)
        [found] = wait_for("the alert", alert("open"), timeout_s=60)
        assert (found["rule"], found["url"]) == ("alias-changed", f"/models/{name}")
        alias = {"name": name, "alias": "champion"}
        answer = client.request("DELETE", "/api/2.0/mlflow/registered-models/alias", json=alias)
        assert answer.status_code == 200, answer.text
        [over] = wait_for("its end", alert("resolved"), timeout_s=60)
    assert over["id"] == found["id"]
    assert ok(engineer.get(f"/alerts/{over['id']}"))["steps"][-1]["by"] == ""
