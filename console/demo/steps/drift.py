"""Predictions like those it was trained on leave the model in peace; others raise one alert."""

from typing import Any

from console.demo import inputs
from console.demo.inputs import Passenger
from console.demo.scene import Scene, check
from console.demo.steps import predict
from console.demo.steps.gate import MODEL

RULE = "drift"
JUDGED_WITHIN_S = 150


def play(scene: Scene) -> str:
    check(all(alert["is_demo"] for alert in _alerts(scene)), f"no alert that {MODEL} drifts", _alerts(scene))
    calm = scene.wait("a window without drift", lambda: _window(scene, "stable"), timeout_s=JUDGED_WITHIN_S)
    check(not _alerts(scene) or scene.step.attempt > 1, "no alert before anything shifted", _alerts(scene))
    if "n_drifted" not in scene.facts:
        scene.step.keep(n_drifted=len(_windows(scene, "drifted")))
    rows = [_shifted(passenger) for passenger in inputs.passengers()[: predict.N_ROWS]]
    answered = predict.ask_about(scene, [rows[n % len(rows)] for n in range(predict.N_ROWS)], what="shifted")
    predict.check_recorded(scene, [given["id"] for given in answered])
    window = scene.wait("a window with drift", lambda: _new_drift(scene), timeout_s=JUDGED_WITHIN_S)
    alerts = _alerts(scene)
    check(len(alerts) == 1 and alerts[0]["is_demo"], "exactly one alert of the demonstration", alerts)
    scene.step.keep(alert_id=alerts[0]["id"], ids=[given["id"] for given in answered])
    drifted = [column["name"] for column in window["columns"] if column["verdict"] == "drifted"]
    return (
        f"{calm['n']} predictions like the reference: no alert; {window['n']} shifted ones: alert "
        f"{alerts[0]['id']}, {', '.join(drifted)} drifted"
    )


def is_there(scene: Scene) -> bool:
    return scene.scientist.find(f"/alerts/{scene.facts['alert_id']}") is not None


def _shifted(passenger: Passenger) -> Passenger:
    """The same passenger, older and in a dearer class."""
    row = dict(passenger.row)
    row["Pclass"], row["HasCabin"] = 1, True
    row["Age"] = row["Age"] and min(row["Age"] + 25, 100)
    row["Fare"] = row["Fare"] and row["Fare"] * 4 + 60
    return Passenger(row, passenger.survived)


def _windows(scene: Scene, verdict: str) -> list[dict[str, Any]]:
    """Of the demonstration's predictions by its version, newest first."""
    version = scene.of("gate")["version"]
    return [
        window
        for window in scene.scientist.every(f"/models/{MODEL}/drift")
        if (window["version"], window["is_demo"], window["verdict"]) == (version, True, verdict)
    ]


def _window(scene: Scene, verdict: str) -> dict[str, Any] | None:
    return next(iter(_windows(scene, verdict)), None)


def _new_drift(scene: Scene) -> dict[str, Any] | None:
    found = _windows(scene, "drifted")
    return found[0] if len(found) > scene.facts["n_drifted"] else None


def _alerts(scene: Scene) -> list[dict[str, Any]]:
    """That stand now."""
    return list(scene.scientist.every("/alerts", rule=RULE, subject=MODEL, state="unresolved"))
