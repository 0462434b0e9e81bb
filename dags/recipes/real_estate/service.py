"""The data service, asked for the next batch of listings of a group and a day."""

import os
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec
from msgspec import Struct

from dags.recipes.common import collect
from dags.recipes.common.checks import shown
from dags.recipes.common.collect import Broken, CollectError, Refused


class Batch(Struct):
    """What the service answers; `data` is looked at row by row later."""

    group_number: int | str
    day: str
    batch_number: int
    data: list[Any]


@dataclass(frozen=True)
class Given:
    """batch: None when all has been given; words: the service's then. served_from: what it reads itself."""

    batch: Batch | None = None
    address: str = ""
    data_sha256: str = ""
    served_from: str = ""
    words: str = ""


def ask(group: int, day: str) -> Given:
    """One batch; asking moves the service on, so none is asked for twice. Raises CollectError."""
    address = os.environ.get("ATALAYA_COURSE_API")
    if not address:
        raise CollectError("The environment of Airflow's tasks lacks ATALAYA_COURSE_API; `make up` sets it.")
    with collect.connect(address) as course:
        try:
            answer = course.take("/data", group_number=group, day=day)
        except Refused as refused:
            if refused.status != httpx.codes.BAD_REQUEST:
                raise
            return Given(words=str(refused))  # group and day are known to be right: it has given all
    try:
        batch = msgspec.convert(answer.content, Batch)
    except msgspec.ValidationError as error:
        raise Broken(f"{answer.address} answered with no batch: {error}.") from error
    if (str(batch.group_number), batch.day) != (str(group), day):
        raise Broken(
            f"{answer.address} was asked for group {group} on {day}, and answered for group"
            f" {shown(batch.group_number)} on {shown(batch.day)}."
        )
    return Given(batch, answer.address, answer.sha256, answer.headers.get("X-Data-Source", ""))
