"""Rows like the real ones, for when there is no file. The course API uses it too: standard library only."""

import random
from collections.abc import Iterator

N_ROWS = 40_000

HEADER = (
    "Elevation,Slope,Horizontal_Distance_To_Hydrology,Vertical_Distance_To_Hydrology,"
    "Horizontal_Distance_To_Roadways,Hillshade_9am,Hillshade_Noon,Horizontal_Distance_To_Fire_Points,"
    "Wilderness_Area,Soil_Type,Cover_Type"
)

# Of each cover type: its share, mean elevation in metres, areas and soils that it prefers.
_COVERS = {
    0: (0.36, 3130, ("Rawah", "Commanche", "Neota"), ("C7745", "C7202", "C7756", "C7757")),
    1: (0.49, 2930, ("Rawah", "Commanche"), ("C7745", "C7202", "C7756", "C7746", "C4703", "C7201")),
    2: (0.06, 2390, ("Cache", "Commanche"), ("C4703", "C2705", "C4704", "C2717")),
    3: (0.01, 2220, ("Cache",), ("C2717", "C2703", "C2704")),
    4: (0.02, 2780, ("Commanche", "Rawah"), ("C7745", "C4758", "C7700")),
    5: (0.03, 2420, ("Cache", "Commanche"), ("C2705", "C4704", "C4703")),
    6: (0.03, 3360, ("Rawah", "Commanche", "Neota"), ("C8771", "C8772", "C8776")),
}


def lines(seed: int, n_rows: int = N_ROWS) -> Iterator[str]:
    """Lines of CSV, the header first. Elevation, area and soil tell most of the cover type."""
    dice = random.Random(seed)
    covers, shares = list(_COVERS), [share for share, *_ in _COVERS.values()]
    yield HEADER
    for cover in dice.choices(covers, shares, k=n_rows):
        yield ",".join(map(str, [*_row(dice, cover), cover]))


def _row(dice: random.Random, cover: int) -> list[int | str]:
    _, height, areas, soils = _COVERS[cover]
    slope = min(66, int(dice.gammavariate(3.5, 4)))
    water = min(1400, int(dice.expovariate(1 / 270)))
    return [
        int(min(3860, max(1860, dice.gauss(height, 110)))),
        slope,
        water,
        int(dice.gauss(water / 6, 30)),
        min(7100, int(dice.gammavariate(2.3, 1000))),
        _shade(dice, 218, slope),
        _shade(dice, 226, slope),
        min(7100, int(dice.gammavariate(2.3, 850))),
        dice.choice(areas),
        dice.choice(soils),
    ]


def _shade(dice: random.Random, level: int, slope: int) -> int:
    return int(min(254, max(0, dice.gauss(level - slope / 2, 14))))
