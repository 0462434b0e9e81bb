"""All three ask the champion about passengers, by the console and by the serving process alone.

Each answer is recorded once, under the id that it was given with. Some are told afterwards what was true.
"""

from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from console.demo import inputs
from console.demo.errors import NotAsExpected, Refused
from console.demo.inputs import Passenger
from console.demo.rest import Caller
from console.demo.scene import Scene, check
from console.demo.steps.gate import MODEL

N_ROWS = 500  # as many as a window of drift takes
N_ALONE = 20  # of them in calls with one row
BATCH = 40
READY_WITHIN_S = 60
RECORDED_WITHIN_S = 60
NOT_READY = {HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}


def play(scene: Scene) -> str:
    passengers = inputs.passengers()
    rows = [passengers[number % len(passengers)] for number in range(N_ROWS)]
    answered = ask_about(scene, rows, what="call")
    n_recorded = check_recorded(scene, [given["id"] for given in answered])
    scene.step.keep(ids=[given["id"] for given in answered])
    _label(scene, rows, answered)
    _check_bad_row(scene)
    n_right = sum(
        given["value"] == passenger.survived for given, passenger in zip(answered, rows, strict=True)
    )
    return (
        f"{len(answered)} answers by web and serving, {n_recorded} of them recorded once; "
        f"{n_right} were right; a row that cannot be was refused"
    )


def is_there(scene: Scene) -> bool:
    return scene.engineer.find(f"/predictions/{scene.facts['ids'][0]}") is not None


def ask_about(scene: Scene, rows: list[Passenger], *, what: str) -> list[dict[str, Any]]:
    """The champion's answers, in the order of the rows."""
    version = scene.of("gate")["version"]
    doors = _doors(scene)
    for door in doors[:2]:
        _wait_until_ready(scene, door, version)
    answered: list[dict[str, Any]] = []
    for number, part in enumerate(_parts(rows)):
        body = {"rows": [passenger.row for passenger in part]}
        answer = doors[number % len(doors)].post(
            f"/models/{MODEL}/predict", body, key=scene.key(f"{what}-{number}")
        )
        check(answer["version"] == version, f"an answer of version {version}", f"one of {answer['version']}")
        check(len(answer["predictions"]) == len(part), f"{len(part)} answers", len(answer["predictions"]))
        answered += answer["predictions"]
        scene.meanwhile()
    return answered


def check_recorded(scene: Scene, ids: list[str]) -> int:
    """Wait until each of these is recorded; once, by its id."""
    wanted = set(ids)
    check(len(wanted) == len(ids), "every answer to have an id of its own", f"{len(wanted)} ids")
    found: Counter[str] = Counter()

    def all_there() -> bool:
        found.clear()
        rows = scene.engineer.every(
            "/predictions", all="true", model=MODEL, version=scene.of("gate")["version"]
        )
        found.update(row["id"] for row in rows if row["id"] in wanted and row["is_answered"])
        return found.keys() == wanted

    scene.wait(f"a record of each of {len(ids)} answers", all_there, timeout_s=RECORDED_WITHIN_S)
    check(set(found.values()) == {1}, "every record once", found.most_common(1))
    return len(found)


def _doors(scene: Scene) -> list[Caller]:
    """Who asks where, in turn: each by the console, then by the serving process alone."""
    return [caller for person in scene.callers for caller in (person, person.at(scene.serving_url))]


def _parts(rows: list[Passenger]) -> Iterator[list[Passenger]]:
    yield from ([row] for row in rows[:N_ALONE])
    for start in range(N_ALONE, len(rows), BATCH):
        yield rows[start : start + BATCH]


def _wait_until_ready(scene: Scene, door: Caller, version: str) -> None:
    """A fresh token and a fresh champion take seconds to be known everywhere. Nothing is recorded here."""
    body = {"rows": [inputs.passengers()[0].row]}

    def answers() -> bool:
        try:
            return bool(door.ask(f"/models/{MODEL}/explain", body)["version"] == version)
        except Refused as error:
            if error.status in NOT_READY:
                return False
            raise

    scene.wait(f"version {version} in memory of {door.base}", answers, timeout_s=READY_WITHIN_S)


def _label(scene: Scene, rows: list[Passenger], answered: list[dict[str, Any]]) -> None:
    """Who asked about a single passenger by the console says what was true."""
    doors = _doors(scene)
    for number in range(0, N_ALONE, 2):
        body = {"actual": rows[number].survived}
        path = f"/predictions/{answered[number]['id']}/feedback"
        doors[number % len(doors)].post(path, body, key=scene.key(f"label-{number}"))


def _check_bad_row(scene: Scene) -> None:
    row = {**inputs.passengers()[0].row, "Sex": 7}
    try:
        scene.engineer.post(f"/models/{MODEL}/predict", {"rows": [row]}, key=scene.key("bad"))
    except Refused as error:
        fields = {found.get("field") for found in error.problem.get("errors", [])}
        check(error.status == HTTPStatus.UNPROCESSABLE_ENTITY and fields == {"Sex"}, "a fault at Sex", error)
        return
    raise NotAsExpected("a row with the sex 7 to be refused", "an answer")
