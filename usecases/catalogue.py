"""The use cases that the product brings: of what each consists, and what its page says before it has run."""

from dataclasses import dataclass
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from core.lib.errors import NotFound


@dataclass(frozen=True)
class UseCase:
    """Names of its parts elsewhere.

    pipelines: DAG ids in the order in which they are run by hand; its one button starts the first.
    entity: of its rows in the feature store. is_personal: its rows tell of people, so that rows as they came
    are for roles that see all predictions.
    """

    name: str
    title: Promise
    summary: Promise
    pipelines: tuple[str, ...]
    model: str = ""
    streams: tuple[str, ...] = ()
    applications: tuple[str, ...] = ()
    entity: str = ""
    is_personal: bool = False


USECASES: Final = (
    UseCase(
        "taxi",
        _("Taxi trips"),
        _(
            "A month of trips is cleaned and grouped by Spark, a model learns what is tipped, and trips that"
            " are streamed in are counted in windows and watched for odd ones."
        ),
        pipelines=("taxi_batch", "taxi_training"),
        model="taxi_tip",
        streams=("taxi_trips",),
        applications=("clean_trips", "trip_clusters", "trip_analyses", "stream_trips"),
    ),
    UseCase(
        "forest_cover",
        _("Forest cover"),
        _(
            "Batches are collected from an HTTP service that gives a new one every few minutes; two kinds of"
            " model compete to tell the cover of a piece of forest from its soil, slope and shade."
        ),
        pipelines=("forest_cover_load", "forest_cover_training", "forest_cover_clear"),
        model="forest_cover",
    ),
    UseCase(
        "titanic",
        _("Titanic"),
        _(
            "The passenger list is loaded into the database and its features into the feature store, from"
            " which a forest learns who survived."
        ),
        pipelines=("titanic_etl", "titanic_training"),
        model="titanic",
        entity="titanic",
    ),
    UseCase(
        "real_estate",
        _("House prices"),
        _(
            "Each batch of listings is judged when it comes: whether it is worth training on, and whether"
            " what was trained is good enough to go live. Every decision is kept with its reasons."
        ),
        pipelines=("real_estate_monitor",),
        model="real_estate",
    ),
    UseCase(
        "diabetes",
        _("Readmission of diabetics"),
        _(
            "Hospital stays are cleaned and split once; training takes them in batches, three kinds of"
            " model compete each time, and the best is held against the majority and the champion."
        ),
        pipelines=("diabetes_data", "diabetes_training"),
        model="diabetes",
        is_personal=True,
    ),
)


def find(name: str) -> UseCase:
    """Raises NotFound."""
    for usecase in USECASES:
        if usecase.name == name:
            return usecase
    raise NotFound(_("There is no use case %(name)s.") % {"name": name[:50]})
