"""Each use case from its first run to answers, by REST alone, as its users would: `run_usecase NAME`.

A journey is a function that takes a Traveller; it ends at the first thing that is not as it should be, and
what it found on its way stands in the Traveller's table of figures.
"""

from collections.abc import Callable
from typing import Final

from console.journeys import diabetes, forest_cover, real_estate, taxi, titanic
from console.journeys.traveller import Traveller

JOURNEYS: Final[dict[str, Callable[[Traveller], None]]] = {
    "diabetes": diabetes.travel,
    "taxi": taxi.travel,
    "forest_cover": forest_cover.travel,
    "real_estate": real_estate.travel,
    "titanic": titanic.travel,
}
