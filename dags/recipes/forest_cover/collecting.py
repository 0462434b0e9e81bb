"""The steps of `forest_cover_load` and `forest_cover_clear`."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import httpx

from dags.recipes.common import collect, decisions, ledger
from dags.recipes.common.checks import DataInvalid
from dags.recipes.common.decisions import Criterion, Decision
from dags.recipes.common.ledger import Origin
from dags.recipes.common.log import say
from dags.recipes.common.run_folder import DagRun
from dags.recipes.forest_cover import data, waiting
from dags.recipes.forest_cover.params import N_GROUPS, TOLD_AS, USECASE

RESTART = "/restart_data_generation"


def look(run: DagRun) -> dict[str, Any]:
    """Which batches of the group were taken before."""
    group = run.params["group_number"]
    taken = _taken(group)
    say(f"Batches of group {group} taken before: {', '.join(map(str, taken)) or 'none'}.")
    return {"taken": taken, "is_over": False}


def take(run: DagRun, before: Mapping[str, Any]) -> dict[str, Any]:
    """Ask for the batch of now and keep it, once. The service's 400 is the end, if anything was collected.

    before: what `look`, or the last `take`, told. Raises CollectError, DataInvalid.
    """
    group, taken = run.params["group_number"], list(before["taken"])
    try:
        answer = _answer(run.params["address"], group, taken)
    except collect.Refused as refused:
        if refused.status != httpx.codes.BAD_REQUEST:
            raise
        if not taken:
            raise DataInvalid(
                f"{refused} Nothing of group {group} was collected. If the service has given all its batches"
                f" away, {RESTART}?group_number={group} lets it begin again; forest_cover_clear can do that."
            ) from refused
        say(f"{refused} That is the end: {len(taken)} batches of group {group} were taken.")
        return {"taken": taken, "is_over": True}
    try:
        batch = data.batch(answer.content, group=group)
        _require_onward(batch, taken)
        sound, raw = data.sound(batch.rows)
    except DataInvalid:
        waiting.forget(group)  # tried again, the service is asked again
        raise
    served = answer.headers.get("X-Data-Source", "")
    ledger.add_batch(
        USECASE,
        _key(group, batch.number),
        run=run,
        origin=Origin("api", answer.address, answer.sha256),
        rows=raw.to_dict("records"),
        rejected=sound.rejected,
        clean=data.clean(sound.table),
        facts={"group": group, "batch": batch.number} | ({TOLD_AS: served} if served else {}),
    )
    waiting.forget(group)
    return {"taken": sorted({*taken, batch.number}), "is_over": False}


def report(_run: DagRun) -> dict[str, Any]:
    """How much there is now. Raises DataInvalid for nothing."""
    found = ledger.counts(USECASE)
    if not found["clean_row"]:
        raise DataInvalid("Nothing was collected: there is no row to learn from.")
    say(f"{found['clean_row']:,} rows to learn from, out of {found['batch']} batches.")
    return found


def preview(_run: DagRun) -> dict[str, Any]:
    """What `clear` would remove."""
    found = ledger.counts(USECASE)
    say(
        f"There are {found['batch']} batches with {found['raw_row']:,} rows, {found['clean_row']:,} of them"
        f" to learn from, and {found['rejected_row']:,} rejected ones."
    )
    return found


def clear(run: DagRun, found: Mapping[str, int]) -> dict[str, Any]:
    """Remove all that was collected, when that is confirmed; the reason is kept.

    found: what `preview` saw.
    """
    if not run.params["confirm"]:
        say("Nothing is removed: run again with “Really remove” to do it.")
        return {"removed": 0}
    grounds = [
        Criterion(name, True, f"{number:,} rows of {name} removed", number) for name, number in found.items()
    ]
    decision = Decision("clear", is_yes=True, reason=run.params["reason"].strip(), criteria=grounds)
    decisions.decide(USECASE, decision, run=run)  # first: nothing goes without its reason
    removed = ledger.clear(USECASE)
    for group in range(1, N_GROUPS + 1):
        waiting.forget(group)
    say(f"Removed {removed['batch']} batches, {removed['raw_row']:,} rows.")
    if run.params["restart_service"]:
        with collect.connect(run.params["address"]) as service:
            service.ask(RESTART)
        say("The service starts all groups anew.")
    return {"removed": removed["batch"]}


def _require_onward(batch: data.Batch, taken: list[int]) -> None:
    if taken and batch.number < max(taken):
        raise DataInvalid(
            f"The service is at batch {batch.number} of group {batch.group}, but batch {max(taken)} was taken"
            " before: it has started anew. Run forest_cover_clear, or choose another group."
        )


def _answer(address: str, group: int, taken: list[int]) -> collect.Answer:
    """What the waiting was answered, else what is answered now."""
    if (kept := waiting.kept(address, group, taken)) is not None:
        data_sha256 = hashlib.sha256(kept.body.encode()).hexdigest()
        headers = {"X-Data-Source": kept.served_from}
        return collect.Answer(json.loads(kept.body), headers, data_sha256, f"{address.rstrip('/')}/data")
    with collect.connect(address) as service:
        return service.ask("/data", group_number=group)


def _key(group: int, number: int) -> str:
    return f"group {group} batch {number}"


def _taken(group: int) -> list[int]:
    keys = ledger.keys(USECASE)
    return [number for number in range(100) if _key(group, number) in keys]
