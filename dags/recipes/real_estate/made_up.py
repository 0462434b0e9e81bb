"""Listings like the real ones, for when there is no file. Standard library only: the course API uses it."""

import random
from collections.abc import Iterator

N_ROWS = 12_000

HEADER = "brokered_by,status,price,bed,bath,acre_lot,street,city,state,zip_code,house_size,prev_sold_date"

# In this order: state, dollars per square foot, and towns with their zip codes.
_REGIONS = (
    ("Puerto Rico", 90, (("Ponce", "00731"), ("Mayaguez", "00680"), ("Adjuntas", "00601"))),
    ("Massachusetts", 210, (("Springfield", "01108"), ("Agawam", "01001"), ("Pittsfield", "01201"))),
    ("Connecticut", 190, (("Enfield", "06082"), ("Hartford", "06106"), ("Granby", "06035"))),
    ("New Hampshire", 170, (("Nashua", "03060"), ("Keene", "03431"))),
    ("Rhode Island", 260, (("Providence", "02905"), ("Cranston", "02910"), ("Johnston", "02919"))),
)
_MISSING = 0.2  # of rows: beds, baths and size unknown, as of land


def lines(seed: int, n_rows: int = N_ROWS) -> Iterator[str]:
    """Lines of CSV, the header first; ordered by region, so that later ones differ from earlier ones."""
    dice = random.Random(seed)
    yield HEADER
    for number in range(n_rows):
        region = _REGIONS[number * len(_REGIONS) // n_rows]
        yield ",".join(map(str, _row(dice, *region)))


def _row(
    dice: random.Random, state: str, square_foot: int, towns: tuple[tuple[str, str], ...]
) -> list[float | str]:
    bed = dice.choices(range(1, 8), (6, 18, 36, 24, 10, 4, 2))[0]
    bath = max(1, round(bed * 0.6 + dice.gauss(0, 0.6)))
    size = round(max(350, 450 * bed + 180 * bath + dice.gauss(0, 250)))
    acres = round(min(100, dice.lognormvariate(-1.2, 1)), 2)
    price = round(max(10_000, size * square_foot * dice.lognormvariate(0, 0.25) + 15_000 * acres), -2)
    town, zip_code = dice.choice(towns)
    sold = f"20{dice.randint(0, 21):02}-{dice.randint(1, 12):02}-{dice.randint(1, 28):02}"
    inside = ("", "", "") if dice.random() < _MISSING else (bed, bath, float(size))
    return [
        float(dice.randint(1, 110_000)),
        "for_sale" if dice.random() < 0.98 else "ready_to_build",
        float(price),
        inside[0],
        inside[1],
        acres,
        float(dice.randint(1, 2_000_000)),
        town,
        state,
        zip_code,
        inside[2],
        sold if dice.random() < 0.4 else "",
    ]
