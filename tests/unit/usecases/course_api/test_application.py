import json

import pytest
from httpx import Client

from dags.recipes.forest_cover import made_up as forest_cover
from dags.recipes.real_estate import made_up as real_estate
from tests.asgi import client
from tests.made_data import data_file
from usecases.course_api import application, tables
from usecases.course_api.application import make
from usecases.course_api.settings import SettingInvalid, Settings

COVER, LISTINGS = list(forest_cover.lines(1, 3_000)), list(real_estate.lines(1))


@pytest.fixture(autouse=True)
def _generated_once(monkeypatch):
    monkeypatch.setattr(tables.forest_cover, "lines", lambda seed: COVER)
    monkeypatch.setattr(tables.real_estate, "lines", lambda seed: LISTINGS)


class Clock:
    now = 1_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(application, "time", clock)
    return clock


def opened(tmp_path, **settings) -> Client:
    settings = {"slow_s": 0.0, "wait_s": 300.0} | settings
    return client(make(Settings(tmp_path / "course_api" / "state.json", **settings)))


def numbers(client, group, clock, n_calls, *, seconds_apart) -> list[int]:
    found = []
    for _ in range(n_calls):
        found.append(client.get("/data", params={"group_number": group}).json()["batch_number"])
        clock.now += seconds_apart
    return found


def test_batch_goes_from_none_to_1_and_on_when_the_wait_is_over(tmp_path, clock):
    client = opened(tmp_path)
    assert numbers(client, 3, clock, 4, seconds_apart=100) == [1, 1, 1, 1]
    clock.now += 1
    assert numbers(client, 3, clock, 3, seconds_apart=301) == [2, 3, 4]


def test_the_same_batch_is_another_sample(tmp_path, clock):
    client = opened(tmp_path)
    first, again = (client.get("/data?group_number=3").json() for _ in range(2))
    assert first["batch_number"] == again["batch_number"] == 1
    assert first["data"] != again["data"]
    assert set(map(len, first["data"])) == {11}
    assert all(type(value) is str for value in first["data"][0])


def test_groups_do_not_know_of_each_other(tmp_path, clock):
    client = opened(tmp_path)
    numbers(client, 1, clock, 3, seconds_apart=301)
    assert numbers(client, 2, clock, 1, seconds_apart=0) == [1]


def test_ten_batches_are_all_that_there_is(tmp_path, clock):
    client = opened(tmp_path)
    assert numbers(client, 1, clock, 10, seconds_apart=301) == list(range(1, 11))
    answer = client.get("/data?group_number=1")
    assert answer.status_code == 400
    assert answer.json() == {"detail": "Ya se recolectó toda la información minima necesaria"}


@pytest.mark.parametrize("group", ["0", "11", "-1", "one", "", "1.5", "²"])
@pytest.mark.parametrize("path", ["/data", "/restart_data_generation"])
def test_group_that_is_none_is_refused(tmp_path, group: str, path: str):
    answer = opened(tmp_path).get(path, params={"group_number": group})
    assert (answer.status_code, answer.json()) == (400, {"detail": "Número de grupo inválido"})


def test_the_last_groups_slice_is_empty(tmp_path):
    answer = opened(tmp_path).get("/data?group_number=10")
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")


def test_batches_of_a_group_come_from_its_one_slice_of_the_file(tmp_path, clock):
    lines = data_file("covertype_course_variant.csv").read_text().splitlines()[1:]
    size = len(lines) // 10
    client, seen = opened(tmp_path, data_dir=data_file("covertype_course_variant.csv").parent), set()
    for _ in range(10):
        answer = client.get("/data?group_number=7")
        rows = [",".join(row) for row in answer.json()["data"]]
        assert (len(rows), answer.headers["X-Data-Source"]) == (size // 10, "file")
        seen.update(rows)
        clock.now += 301
    assert seen <= set(lines[7 * size : 8 * size])
    # a tenth ten times: 1 - 0.9 ** 10 = 0.651 of 11,620 is 7,568; within five standard deviations (48 rows)
    assert abs(len(seen) - 7_568) < 240


def test_rows_are_generated_without_a_file(tmp_path):
    client = opened(tmp_path, data_dir=tmp_path)
    for query in ("group_number=1", "group_number=1&day=Tuesday"):
        assert client.get(f"/data?{query}").headers["X-Data-Source"] == "synthetic"


def test_restart_forgets_one_group_or_all(tmp_path, clock):
    client = opened(tmp_path)
    for group in (1, 2):
        numbers(client, group, clock, 2, seconds_apart=301)
        listings(client, group, "Tuesday", 1)
    assert client.get("/restart_data_generation?group_number=1").json() == {"ok": True}
    assert numbers(client, 1, clock, 1, seconds_apart=0) == [1]
    assert listings(client, 1, "Tuesday", 1)[0]["batch_number"] == 1
    assert numbers(client, 2, clock, 1, seconds_apart=301) == [3]
    client.get("/restart_data_generation")
    assert numbers(client, 2, clock, 1, seconds_apart=0) == [1]


def test_service_that_starts_again_goes_on(tmp_path, clock):
    numbers(opened(tmp_path), 1, clock, 3, seconds_apart=301)
    listings(opened(tmp_path), 1, "Tuesday", 2)
    assert numbers(opened(tmp_path), 1, clock, 1, seconds_apart=0) == [4]
    assert listings(opened(tmp_path), 1, "Tuesday", 1)[0]["batch_number"] == 3


@pytest.mark.parametrize("text", ["{", "[]", '{"forest_cover": {"1": 3}, "real_estate": {}}', "{}"])
def test_broken_state_is_told_and_starts_anew(tmp_path, capsys, clock, text: str):
    path = tmp_path / "course_api" / "state.json"
    path.parent.mkdir()
    path.write_text(text)
    assert numbers(opened(tmp_path), 1, clock, 1, seconds_apart=0) == [1]
    assert "start anew" in capsys.readouterr().err
    assert json.loads(path.read_text())["forest_cover"]["1"]["batch_number"] == 1


# --- listings


def listings(client, group: int, day: str, n_calls: int) -> list[dict]:
    answers = [client.get("/data", params={"group_number": group, "day": day}) for _ in range(n_calls)]
    assert {answer.status_code for answer in answers} == {200}
    return [answer.json() for answer in answers]


def all_listings(client, day: str) -> list[dict]:
    found = []
    while (answer := client.get("/data", params={"group_number": 1, "day": day})).status_code == 200:
        found.append(answer.json())
    assert answer.status_code == 400
    assert answer.json() == {"detail": "Ya se recolectó toda la información mínima necesaria"}
    return found


def test_both_days_give_the_file_in_its_order_once_with_its_broken_end(tmp_path):
    path = data_file("realtor_head_12886.csv")
    client = opened(tmp_path, data_dir=path.parent, refuse_every=0)
    batches = all_listings(client, "Tuesday") + all_listings(client, "Wednesday")
    rows = [row for batch in batches for row in batch["data"]]
    # the file has no quotes: a comma parts two values
    assert [",".join(row.values()) for row in rows] == path.read_text().splitlines()[1:]
    assert rows[0]["zip_code"] == "00601"
    assert "prev_sold_date" not in rows[-1]
    assert rows[-1]["zip_code"] == "02910"
    assert [batch["batch_number"] for batch in batches] == [1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5]
    assert len({len(batch["data"]) for batch in batches}) > 3


def test_batches_of_listings_drift(tmp_path):
    batches = all_listings(opened(tmp_path, refuse_every=0), "Wednesday")
    assert {row["state"] for row in batches[0]["data"]}.isdisjoint(
        row["state"] for row in batches[-1]["data"]
    )


@pytest.mark.parametrize("day", ["Monday", "tuesday", ""])
def test_other_days_are_refused(tmp_path, day: str):
    answer = opened(tmp_path).get("/data", params={"group_number": 1, "day": day})
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("Día inválido")


def test_every_fifth_call_for_listings_is_refused_once_and_loses_no_batch(tmp_path):
    client = opened(tmp_path)
    answers = [client.get("/data?group_number=1&day=Tuesday") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 429, 200]
    assert answers[4].headers["Retry-After"] == "1"
    assert "detail" in answers[4].json()
    assert answers[5].json()["batch_number"] == 5


def test_every_third_answer_with_listings_is_slow(tmp_path, monkeypatch):
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(application.asyncio, "sleep", sleep)
    listings(opened(tmp_path, slow_s=1.5, refuse_every=0), 1, "Tuesday", 4)
    assert slept == [1.5]


# --- the rest


def test_livez(tmp_path):
    assert opened(tmp_path).get("/livez").status_code == 200


def test_settings_come_from_the_environment(tmp_path):
    said = {"CONSOLE_VAR_DIR": str(tmp_path), "COURSE_API_WAIT_S": "1", "COURSE_API_REFUSE_EVERY": "0"}
    found = Settings.from_environment(said)
    assert (found.wait_s, found.refuse_every, found.data_dir) == (1.0, 0, None)
    assert found.state_file == tmp_path / "course_api" / "state.json"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("COURSE_API_WAIT_S", "soon"),
        ("COURSE_API_WAIT_S", "-1"),
        ("COURSE_API_WAIT_S", "nan"),
        ("COURSE_API_SLOW_S", "60"),
    ],
)
def test_setting_that_cannot_be_is_named(name: str, value: str):
    with pytest.raises(SettingInvalid, match=name):
        Settings.from_environment({name: value})
