"""Frames around groups of tasks: they hold their own tasks and no other, nested as the groups are."""

import random
import time

import pytest

from pipelines import graph
from pipelines.graph import BOX_H
from tests.pipeline_rows import make_pipeline, make_run, make_task

PREFIXES = ["", "", "load.", "load.check.", "load.check.deep.", "report.", "mail.people."]


def some_tasks(seed: int, n: int, *, prefixes: list[str]) -> list[dict]:
    chance = random.Random(seed)
    ids = [f"{chance.choice(prefixes)}t{number}" for number in range(n)]
    return [
        {"id": name, "downstream": [other for other in ids[place + 1 :] if chance.random() < 0.12]}
        for place, name in enumerate(ids)
    ]


def overlaps(a, b, *, a_height, b_height) -> bool:
    beside = a.x + a.width <= b.x or b.x + b.width <= a.x
    return not beside and a.y < b.y + b_height and b.y < a.y + a_height


@pytest.mark.parametrize("seed", range(40))
def test_a_frame_holds_its_tasks_and_no_other(seed):
    drawn = graph.draw(some_tasks(seed, 18, prefixes=PREFIXES))
    for frame in drawn.frames:
        for box in drawn.boxes:
            is_over = overlaps(frame, box, a_height=frame.height, b_height=BOX_H)
            assert is_over == box.id.startswith(f"{frame.id}."), (frame, box)
        for other in drawn.frames:
            is_one_in_other = f"{frame.id}.".startswith(f"{other.id}.") or f"{other.id}.".startswith(
                f"{frame.id}."
            )
            is_over = overlaps(frame, other, a_height=frame.height, b_height=other.height)
            assert is_over == is_one_in_other, (frame, other)
        assert frame.x >= 0
        assert frame.y >= 0
        assert frame.x + frame.width <= drawn.width
        assert frame.y + frame.height <= drawn.height


@pytest.mark.parametrize("seed", range(20))
def test_no_box_stands_on_another(seed):
    boxes = graph.draw(some_tasks(seed, 18, prefixes=PREFIXES)).boxes
    for place, box in enumerate(boxes):
        assert not any(overlaps(box, other, a_height=BOX_H, b_height=BOX_H) for other in boxes[place + 1 :])


def test_frames_are_named_and_the_outer_come_first():
    tasks = [{"id": "load.check.a", "downstream": ["b"]}, {"id": "b", "downstream": []}]
    drawn = graph.draw(tasks)
    assert [(frame.id, frame.label) for frame in drawn.frames] == [("load", "load"), ("load.check", "check")]
    outer, inner = drawn.frames
    assert outer.x < inner.x
    assert outer.y < inner.y
    assert graph.draw(graph.folded(tasks, ["load"])).frames == []


def test_two_hundred_tasks_in_groups_are_drawn_at_once():
    tasks = some_tasks(1, 200, prefixes=[f"group{number}." for number in range(10)])
    for task in tasks:
        del task["downstream"][6:]
    began = time.process_time()
    assert len(graph.draw(tasks).frames) == 10
    assert time.process_time() - began < 5


def test_the_page_draws_frames(page, airflow):
    tasks = [
        {"id": "load.a", "label": "a", "operator": "@task", "downstream": [], "is_mapped": False},
        {"id": "load.b", "label": "b", "operator": "@task", "downstream": [], "is_mapped": False},
    ]
    make_pipeline(tasks=tasks)
    text = page.get("/pipelines/titanic_training/graph").content.decode()
    assert text.count('class="graph-frame"') == 1
    assert "graph-frame" not in page.get("/pipelines/titanic_training/graph?fold=load").content.decode()


def many_tasks(n):
    """n tasks in the groups `one` and `two`, and one before them."""
    names = ["start", *(f"{'one' if place % 2 else 'two'}.t{place}" for place in range(n))]
    return [
        {"id": name, "label": name, "operator": "@task", "downstream": [], "is_mapped": False}
        for name in names
    ]


def test_groups_fold_in_the_graph_of_a_run(page, airflow):
    make_pipeline(tasks=many_tasks(6))
    run = make_run(state="failed")
    for name, state in (("start", "success"), ("one.t1", "failed"), ("two.t2", "success")):
        make_task(run, name, state=state)
    whole = page.get(f"/runs/{run.pk}").content.decode()
    assert 'href="?fold=one#graph-title"' in whole
    assert 'href="?fold=one&amp;fold=two#graph-title"' in whole
    shown = page.get(f"/runs/{run.pk}?fold=one&fold=two")
    assert {item.box.id: item.state for item in shown.context["graph"].boxes} == {
        "start": "success",
        "one": "failed",
        "two": "success",
    }
    text = shown.content.decode()
    assert 'href="?fold=two#graph-title"' in text  # to unfold `one`
    assert 'href="?#graph-title"' in text
    # What leads to a task leaves them folded: its row, its box and its bar.
    assert text.count("task=start&amp;map_index=-1&amp;fold=one&amp;fold=two#log") >= 2
    assert "?task=start&amp;fold=one&amp;fold=two#log" in text


def test_a_large_graph_is_drawn_on_its_pipelines_page_once_it_is_folded(page, airflow):
    make_pipeline(tasks=many_tasks(80))
    run = make_run()
    large = page.get("/pipelines/titanic_training")
    assert large.context["graph"].boxes == []
    text = large.content.decode()
    assert "Its 81 boxes are too many for this page." in text
    assert f'href="/runs/{run.pk}#graph-title"' in text
    assert 'href="?fold=one&amp;fold=two#graph-title"' in text
    folded = page.get("/pipelines/titanic_training?fold=one&fold=two")
    assert len(folded.context["graph"].boxes) == 3
    assert "too many" not in folded.content.decode()
