"""The scientist asks for the promotion, may not decide it, and the approver makes the version champion."""

from http import HTTPStatus
from typing import Any

from console.demo.errors import NotAsExpected, Refused
from console.demo.scene import Scene, check
from console.demo.steps.gate import MODEL

ALIAS_WITHIN_S = 120
REASON = "Better than the baseline on rows that it has never seen."


def play(scene: Scene) -> str:
    version = scene.of("gate")["version"]
    asked = _ask(scene, version)
    scene.step.keep(promotion_id=asked["id"])
    if asked["state"] == "requested":
        _check_not_by_the_asker(scene, asked["id"])
        _approve(scene, asked["id"])
    decided = scene.approver.get(f"/promotions/{asked['id']}")
    check(decided["state"] == "approved", "the request to be approved", decided["state"])
    scene.wait("MLflow's alias to follow", lambda: _delivered(scene, asked["id"]), timeout_s=ALIAS_WITHIN_S)
    champion = scene.approver.get(f"/models/{MODEL}")["champion"]
    check(champion == version, f"version {version} to be champion", f"version {champion}")
    return (
        f"promotion {asked['id']}: asked for by {asked['requested_by']}, approved by {decided['decided_by']}"
    )


def is_there(scene: Scene) -> bool:
    promotion = scene.approver.find(f"/promotions/{scene.facts['promotion_id']}")
    return promotion is not None and promotion["state"] == "approved"


def _ask(scene: Scene, version: str) -> dict[str, Any]:
    if there := _asked_before(scene, version):
        return there
    asked: dict[str, Any] = scene.scientist.post(
        f"/models/{MODEL}/versions/{version}/promotions",
        {"reason": REASON},
        key=scene.key("request"),
        found=lambda: _asked_before(scene, version),
    )
    return asked


def _asked_before(scene: Scene, version: str) -> dict[str, Any] | None:
    for promotion in scene.scientist.get("/promotions")["results"]:
        is_ours = promotion["requested_by"] == scene.scientist.name and promotion["version"] == version
        if is_ours and promotion["state"] in {"requested", "approved"}:
            return dict(promotion)
    return None


def _check_not_by_the_asker(scene: Scene, promotion_id: int) -> None:
    try:
        scene.scientist.post(f"/promotions/{promotion_id}/approve", {"reason": "mine"}, key=scene.key("own"))
    except Refused as error:
        if error.status == HTTPStatus.FORBIDDEN:
            return
        raise
    raise NotAsExpected("who asked to be refused the decision", "an approval")


def _approve(scene: Scene, promotion_id: int) -> None:
    def approved() -> Any:
        promotion = scene.approver.get(f"/promotions/{promotion_id}")
        return promotion if promotion["state"] == "approved" else None

    scene.approver.post(
        f"/promotions/{promotion_id}/approve", {"reason": REASON}, key=scene.key("approve"), found=approved
    )


def _delivered(scene: Scene, promotion_id: int) -> Any:
    return scene.approver.get(f"/promotions/{promotion_id}")["delivered_at"]
