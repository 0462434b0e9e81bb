"""Graph and grid: places worked out by hand."""

from types import SimpleNamespace

from pipelines import graph, grid
from pipelines.graph import BOX_H, BOX_W, GAP_X, GAP_Y, PAD

# a -> b, c -> d
DIAMOND = [
    {"id": "d", "downstream": []},
    {"id": "a", "downstream": ["b", "c"]},
    {"id": "b", "downstream": ["d"]},
    {"id": "c", "downstream": ["d"]},
]


def test_a_diamond_has_three_layers():
    boxes = {box.id: box for box in graph.draw(DIAMOND).boxes}
    step = BOX_W + GAP_X
    assert [boxes[name].x for name in "abcd"] == [PAD, PAD + step, PAD + step, PAD + 2 * step]
    assert abs(boxes["b"].y - boxes["c"].y) == BOX_H + GAP_Y
    assert boxes["a"].y == boxes["d"].y == (boxes["b"].y + boxes["c"].y) / 2


def test_tasks_stand_before_what_follows_them():
    assert graph.topological(DIAMOND) == ["a", "b", "c", "d"]


def test_lines_do_not_cross_where_they_need_not():
    tasks = [
        {"id": "a", "downstream": ["y"]},
        {"id": "b", "downstream": ["x"]},
        {"id": "x", "downstream": []},
        {"id": "y", "downstream": []},
    ]
    boxes = {box.id: box for box in graph.draw(tasks).boxes}
    assert (boxes["a"].y < boxes["b"].y) == (boxes["y"].y < boxes["x"].y)


def test_a_cycle_and_an_unknown_task_are_drawn_all_the_same():
    tasks = [{"id": "a", "downstream": ["b"]}, {"id": "b", "downstream": ["a", "ghost"]}]
    assert len(graph.draw(tasks).boxes) == 2


def test_nothing_to_draw_is_empty():
    assert graph.draw([]).boxes == []


def test_a_long_name_is_shortened_in_the_middle():
    label = graph.draw([{"id": "a_very_long_name_of_a_task", "downstream": []}]).boxes[0].label
    assert (len(label), label) == (15, "a_very_…_a_task")


def run_of(seconds, **states):
    instances = [SimpleNamespace(task_id=name, state=state) for name, state in states.items()]
    duration = SimpleNamespace(total_seconds=lambda: seconds)
    return SimpleNamespace(duration=duration, task_instances=SimpleNamespace(all=lambda: instances))


def test_the_longest_run_has_the_tallest_bar_and_unreached_tasks_are_empty():
    drawn = grid.draw(DIAMOND, [run_of(10, a="success", b="failed"), run_of(20, a="success", old="success")])
    assert drawn.columns[0].bar_height < drawn.columns[1].bar_height == grid.BARS_H
    states = [[square.state for square in column.squares] for column in drawn.columns]
    assert states == [["success", "failed", "", "", ""], ["success", "", "", "", "success"]]
    assert [row.full_label for row in drawn.rows] == ["a", "b", "c", "d", "old"]


def test_of_mapped_tasks_the_worst_state_is_shown():
    assert grid.worst(["success", "failed", "running"]) == "failed"
    assert grid.worst(["", "success"]) == "success"
    assert grid.worst([""]) == ""
