"""Graph, grid and labels: places worked out by hand, and what must hold for any graph."""

import re
from collections import Counter
from types import SimpleNamespace

import pytest
from airflow_client.client.models.task_instance_state import TaskInstanceState

from pipelines import graph, grid, labels
from pipelines.graph import BOX_H, GAP_X, GAP_Y, PAD
from pipelines.grid import CELL, GAP, Cell


def tasks_of(**downstream):
    return [{"id": name, "downstream": list(after)} for name, after in downstream.items()]


DIAMOND = tasks_of(d="", a="bc", b="d", c="d")


def boxes_of(tasks):
    return {box.id: box for box in graph.draw(tasks).boxes}


# --- the graph


def test_a_diamond_has_three_layers():
    boxes = boxes_of(DIAMOND)
    lefts = [boxes[name].x for name in "abcd"]
    step = boxes["a"].width + GAP_X
    assert lefts == [PAD, PAD + step, PAD + step, PAD + 2 * step]
    assert abs(boxes["b"].y - boxes["c"].y) == BOX_H + GAP_Y
    assert boxes["a"].y == boxes["d"].y == (boxes["b"].y + boxes["c"].y) / 2


def test_tasks_stand_before_what_follows_them():
    assert graph.topological(DIAMOND) == ["a", "b", "c", "d"]


def test_lines_do_not_cross_where_they_need_not():
    boxes = boxes_of(tasks_of(a="y", b="x", x="", y=""))
    assert (boxes["a"].y < boxes["b"].y) == (boxes["y"].y < boxes["x"].y)


def test_a_cycle_and_an_unknown_task_are_drawn_all_the_same():
    tasks = [{"id": "a", "downstream": ["b"]}, {"id": "b", "downstream": ["a", "ghost"]}]
    assert len(graph.draw(tasks).boxes) == 2


def test_nothing_to_draw_is_empty():
    drawn = graph.draw([])
    assert (drawn.boxes, drawn.paths, drawn.width, drawn.height) == ([], [], 0, 0)


def points_of(path):
    """The path as points close to one another."""
    points, at = [], (0.0, 0.0)
    for letter, numbers in re.findall(r"([MCH])([^MCH]*)", path):
        values = [float(number) for number in re.findall(r"-?[\d.]+", numbers)]
        if letter == "M":
            at = (values[0], values[1])
        elif letter == "H":
            points += [(at[0] + (values[0] - at[0]) * part / 40, at[1]) for part in range(41)]
            at = (values[0], at[1])
        else:
            ends = [at, *zip(values[::2], values[1::2], strict=True)]
            points += [bezier(ends, part / 40) for part in range(41)]
            at = ends[-1]
    return points


def bezier(ends, t):
    weights = [(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3]
    return tuple(sum(w * end[axis] for w, end in zip(weights, ends, strict=True)) for axis in (0, 1))


@pytest.mark.parametrize(
    "tasks",
    [
        tasks_of(a="bcde", b="c", c="d", d="e", e=""),
        tasks_of(a="bf", b="c", c="d", d="f", e="f", f=""),
        tasks_of(a="bcdz", b="efz", c="ez", d="fz", e="gz", f="g", g="z", z=""),
        tasks_of(
            **{f"t{n}": [f"t{m}" for m in range(n + 1, 30) if (n * 7 + m * 3) % 11 == 0] for n in range(30)}
        ),
    ],
)
def test_no_line_runs_behind_a_box_and_no_box_over_another(tasks):
    drawn = graph.draw(tasks)
    for path in drawn.paths:
        for x, y in points_of(path):
            for box in drawn.boxes:
                is_inside = box.x + 1 < x < box.x + box.width - 1 and box.y + 1 < y < box.y + BOX_H - 1
                assert not is_inside, (path, box)
    for one in drawn.boxes:
        assert 0 <= one.x <= drawn.width - one.width
        assert 0 <= one.y <= drawn.height - BOX_H
        for other in drawn.boxes:
            assert one is other or one.x != other.x or abs(one.y - other.y) >= BOX_H


GROUPED = [
    {"id": "start", "downstream": ["one.a"]},
    {"id": "one.a", "downstream": ["one.in.b", "one.in.c"]},
    {"id": "one.in.b", "downstream": ["end"]},
    {"id": "one.in.c", "downstream": ["end"]},
    {"id": "end", "downstream": []},
]


def test_a_folded_group_is_one_box_with_the_edges_of_its_tasks():
    folded = graph.folded(GROUPED, ["one"])
    assert [(task["id"], task["downstream"], task["n_tasks"]) for task in folded] == [
        ("start", ["one"], 1),
        ("one", ["end"], 3),
        ("end", [], 1),
    ]
    inner = graph.folded(GROUPED, ["one.in"])
    assert [task["id"] for task in inner] == ["start", "one.a", "one.in", "end"]
    assert boxes_of(folded)["one"].n_tasks == 3
    assert boxes_of(folded)["start"].n_tasks == 0


# --- labels


GREETINGS = ["generate_english_greeting", "generate_german_greeting", "generate_french_greeting"]


def test_labels_that_fit_are_whole_and_others_cut_in_the_middle():
    assert labels.shortened(["load", "x" * 20 + "end"], 10) == ["load", "xxxxx…xend"]


def test_labels_that_would_look_alike_keep_what_differs():
    short = labels.shortened(GREETINGS, 16)
    assert len(set(short)) == 3
    assert all(len(label) <= 16 for label in short)
    assert [word in label for word, label in zip(("english", "german", "french"), short, strict=True)] == [
        True
    ] * 3


def test_labels_that_differ_in_much_are_still_short():
    alike = [f"begin{'a' * 30}{n}{'b' * 30}finish" for n in range(3)]
    short = labels.shortened(alike, 20)
    assert len(set(short)) == 3
    assert max(map(len, short)) <= 20


def test_the_three_greetings_are_told_apart_in_the_grid_and_the_graph():
    tasks = [{"id": name, "downstream": []} for name in GREETINGS]
    assert [box.label for box in graph.draw(tasks).boxes] == GREETINGS
    assert [row.label for row in grid.draw(tasks, [], {}).rows] == GREETINGS


def labelled():
    """check leads to save and, past `mend`, to done; both ways say why."""
    tasks = tasks_of(check=["save", "mend", "done"], mend=["done"], save=["done"], done=[])
    tasks[0]["edge_labels"] = {"save": "No errors", "done": "Nothing to do, whatever the weather"}
    return tasks


def test_what_is_written_on_edges_has_room_between_the_boxes():
    drawn = graph.draw(labelled())
    boxes = {box.id: box for box in drawn.boxes}
    assert {one.full_label for one in drawn.edge_labels} == set(labelled()[0]["edge_labels"].values())
    assert len({one.y for one in drawn.edge_labels}) == 2
    for one in drawn.edge_labels:
        half = labels.width(one.label) * graph.EDGE_LABEL_W / 2
        assert boxes["check"].x + boxes["check"].width < one.x - half
        assert one.x + half < boxes["save"].x
    assert boxes["done"].x - boxes["mend"].x - boxes["mend"].width == GAP_X


def test_labels_of_edges_into_a_folded_group_stand_on_its_one_edge():
    tasks = tasks_of(start=["g.a", "g.b", "g.c"], **{"g.a": [], "g.b": ["g.c"], "g.c": []})
    tasks[0]["edge_labels"] = {"g.a": "x", "g.b": "y", "g.c": "x"}
    tasks[2]["edge_labels"] = {"g.c": "within"}
    assert [one.label for one in graph.draw(graph.folded(tasks, ["g"])).edge_labels] == ["x / y"]


# --- the grid


def run_of(pk, seconds):
    return SimpleNamespace(pk=pk, duration=SimpleNamespace(total_seconds=lambda: seconds))


def cells_of(**states):
    return {name.replace("__", "."): Cell(Counter(words.split()), 2.5) for name, words in states.items()}


def states_in(column, n_rows):
    """The state of each row, as the strokes draw them."""
    states = [""] * n_rows
    for stroke in column.strokes:
        for y, length in re.findall(r"M[\d.]+ ([\d.]+)v([\d.]+)", stroke.path):
            first = (float(y) - grid.TOP - grid.BARS_H - GAP) / (CELL + GAP)
            for place in range(round((float(length) + GAP) / (CELL + GAP))):
                states[round(first) + place] = stroke.state
    return states


def test_the_longest_run_has_the_tallest_bar_and_unreached_tasks_are_empty():
    cells = {1: cells_of(a="success", b="failed"), 2: cells_of(a="success", old="success")}
    drawn = grid.draw(DIAMOND, [run_of(1, 10), run_of(2, 20)], cells)
    assert drawn.columns[0].bar_height < drawn.columns[1].bar_height == grid.BARS_H
    assert [row.full_label for row in drawn.rows] == ["a", "b", "c", "d", "old"]
    assert [states_in(column, 5) for column in drawn.columns] == [
        ["success", "failed", "", "", ""],
        ["success", "", "", "", "success"],
    ]


def test_facts_say_state_seconds_and_how_many():
    cells = {1: cells_of(a="success", b="failed success success")}
    drawn = grid.draw(DIAMOND, [run_of(1, 10)], cells)
    place = {state: number for number, state in enumerate(drawn.states)}
    assert drawn.columns[0].facts.split("|") == [
        f"{place['success']}:2.5",
        f"{place['failed']}:2.5:{place['failed']}=1,{place['success']}=2",
        "",
        "",
    ]


def test_groups_are_rows_that_fold():
    cells = {1: cells_of(start="success", one__a="success", one__in__b="failed")}
    whole = grid.draw(GROUPED, [run_of(1, 10)], cells)
    assert [(row.id, row.is_group, row.label) for row in whole.rows] == [
        ("start", False, "start"),
        ("one", True, "one"),
        ("one.a", False, "a"),
        ("one.in", True, "in"),
        ("one.in.b", False, "b"),
        ("one.in.c", False, "c"),
        ("end", False, "end"),
    ]
    assert states_in(whole.columns[0], 7) == ["success", "failed", "success", "failed", "failed", "", ""]
    folded = grid.draw(GROUPED, [run_of(1, 10)], cells, fold=["one"])
    assert [(row.id, row.is_folded, row.n_tasks) for row in folded.rows] == [
        ("start", False, 0),
        ("one", True, 3),
        ("end", False, 0),
    ]
    assert states_in(folded.columns[0], 3) == ["success", "failed", ""]


def test_few_runs_are_wide_and_many_fit():
    widths = {n: grid.draw(DIAMOND, [run_of(pk, 1) for pk in range(n)], {}).width for n in (1, 3, 24, 50)}
    assert widths[3] > 2.5 * widths[1] / 2
    assert all(width <= 800 for width in widths.values())


def test_of_mapped_tasks_the_worst_state_is_shown():
    assert grid.worst(["success", "failed", "running"]) == "failed"
    assert grid.worst(["", "success"]) == "success"
    assert grid.worst([""]) == ""


def test_every_state_of_airflow_has_its_place_among_the_worst():
    assert set(grid.WORST_FIRST) == {state.value for state in TaskInstanceState}


@pytest.mark.parametrize("other", ["success", "running", "skipped", "deferred"])
def test_a_task_that_asks_people_is_seen_among_others(other):
    """Of a mapped task, and of a folded group."""
    assert grid.Cell({other: 3, "awaiting_input": 1}).state == "awaiting_input"
    cells = {1: {"g.a": grid.Cell({other: 1}), "g.b": grid.Cell({"awaiting_input": 1})}}
    tasks = [{"id": name, "label": "", "operator": "", "downstream": []} for name in ("g.a", "g.b")]
    drawn = grid.draw(tasks, [SimpleNamespace(pk=1, duration=None)], cells, fold=["g"])
    assert [stroke.state for stroke in drawn.columns[0].strokes] == ["awaiting_input"]


def test_a_state_of_a_newer_airflow_is_seen_before_what_is_over():
    assert grid.worst(["success", "pondering"]) == "pondering"
    assert grid.worst(["running", "pondering"]) == "running"
