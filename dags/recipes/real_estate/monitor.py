"""The steps of `real_estate_monitor`: one batch, from the service to a decision, and from there to a model.

Those from `load` on are the steps of every training: see `common.training`.
"""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import pandas as pd

from dags.recipes.common import decisions, ledger, run_folder
from dags.recipes.common.checks import DataInvalid
from dags.recipes.common.ledger import Origin, Rejected
from dags.recipes.common.log import say
from dags.recipes.common.run_folder import DagRun
from dags.recipes.common.training import Found, Taken, Training
from dags.recipes.real_estate import data, features, service
from dags.recipes.real_estate.params import DAG_ID, MODEL, TOLD_AS, USECASE, Settings
from scoring.spec import Spec

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from dags.recipes.real_estate import worth

SHOWN = 5  # rejected rows that the log names


class Monitor(Training):
    """Judges each batch of listings when it comes, and trains when it is worth it."""

    dag_id = DAG_ID
    model = MODEL
    usecase = USECASE
    key = "house"

    # --- one batch

    def inputs(self, run: DagRun) -> dict[str, Any]:
        """What was asked of the model since the last time, into the raw rows."""
        from dags.recipes.common import console
        from dags.recipes.real_estate import asked

        with console.connect(self.dag_id) as client:
            return asked.keep(client, self.usecase, self.model, run=run)

    def fetch(self, run: DagRun) -> dict[str, Any]:
        """One request for one batch; a step that is tried again keeps the batch that it got."""
        run_folder.remove_old(self.dag_id)
        settings, folder = Settings.of(run.params), run.folder
        if not (folder.path / "fetched.json").is_file():
            given = service.ask(settings.group, settings.day)
            batch = given.batch
            folder.write_json(
                "fetched.json",
                {
                    "origin": given.address,
                    "data_sha256": given.data_sha256,
                    "served_from": given.served_from,
                    "over": given.words,
                    "number": batch.batch_number if batch else None,
                    "rows": batch.data if batch else [],
                },
            )
        fetched = folder.read_json("fetched.json")
        if fetched["over"]:
            say(f"The service has given all for group {settings.group} on {settings.day}: {fetched['over']}")
            return {"is_over": True}
        say(f"Batch {fetched['number']}: {len(fetched['rows']):,} rows, from {fetched['origin']}.")
        return {"is_over": False, "batch": fetched["number"], "rows": len(fetched["rows"])}

    def validate(self, run: DagRun) -> dict[str, Any]:
        """Rows that fit, and those that do not with their reasons. Raises DataInvalid for other columns."""
        checked = data.check(run.folder.read_json("fetched.json")["rows"])
        run.folder.write_table("batch.parquet", checked.table)
        told = {
            "rows": checked.rows,
            "rejected": [vars(row) for row in checked.rejected],
            "n_zips_mended": checked.n_zips_mended,
        }
        run.folder.write_json("checked.json", told)
        share = checked.share_rejected
        say(f"{len(checked.rows):,} rows fit, {len(checked.rejected):,} do not ({share:.1%}).")
        for row in checked.rejected[:SHOWN]:
            say(f"  row {row.position}: {row.reason}.")
        return {"fit": len(checked.rows), "rejected": len(checked.rejected)}

    def keep(self, run: DagRun) -> dict[str, Any]:
        """Into the ledger: raw rows, clean ones, rejected ones; a batch that comes again adds nothing."""
        settings, folder = Settings.of(run.params), run.folder
        fetched, checked = folder.read_json("fetched.json"), folder.read_json("checked.json")
        if fetched["over"]:
            return {"new": 0}
        facts = {
            "group": settings.group,
            "day": settings.day,
            "batch number": fetched["number"],
            TOLD_AS: fetched["served_from"] or "not told",
            "zip codes mended": checked["n_zips_mended"],
        }
        prefix = f"group {settings.group} {settings.day} batch "
        if missed := _missed(ledger.newest_facts(self.usecase, prefix), fetched["number"]):
            facts["batches missed"] = missed
            say(f"The service has moved on without us: batches missed are {missed}. It gives none twice.")
        added = ledger.add_batch(
            self.usecase,
            f"{prefix}{fetched['number']}",
            run=run,
            origin=Origin("api", fetched["origin"], fetched["data_sha256"]),
            rows=checked["rows"],
            rejected=[Rejected(**row) for row in checked["rejected"]],
            clean=data.clean_rows(folder.read_table("batch.parquet")),
            facts=facts,
        )
        n_new = ledger.clean_of_run(self.usecase, run=run)
        say(f"{n_new:,} of them are new to learn from.")
        return {"new": n_new, "is_known": added.is_known}

    def decide(self, run: DagRun) -> dict[str, Any]:
        """Whether to train, with its grounds, into the ledger."""
        from dags.recipes.common import console
        from dags.recipes.real_estate import worth

        with console.connect(self.dag_id) as client:
            champion = console.champion(client, self.model)
        decision = worth.decide(self.came(run), self.learnt(champion), Settings.of(run.params))
        for criterion in decision.criteria:
            say(f"  {criterion.name}: {'yes' if criterion.passed else 'no'}. {criterion.sentence}")
        decisions.decide(self.usecase, decision, run=run)
        return {"train": decision.is_yes, "reason": decision.reason}

    def came(self, run: DagRun) -> "worth.Came":
        """What this run brought."""
        from dags.recipes.real_estate import worth

        folder = run.folder
        over = folder.read_json("fetched.json")["over"]
        return worth.Came(
            rows=features.fields(folder.read_table("batch.parquet")),
            n_new=ledger.clean_of_run(self.usecase, run=run),
            n_rejected=len(folder.read_json("checked.json")["rejected"]),
            n_waiting=ledger.clean_since_training(self.usecase, run=run),
            n_rows=ledger.counts(self.usecase)["clean_row"],
            over=over,
        )

    def learnt(self, champion: int | None) -> "worth.Learnt | None":
        """What the champion learnt from."""
        if champion is None:
            return None
        from dags.recipes.common import tracking
        from dags.recipes.real_estate import worth

        spec, rows = tracking.learnt_from(self.model, champion)
        return worth.Learnt(champion, spec, rows)

    # --- and, where that was decided, a model

    def take(self, run: DagRun) -> Taken:
        """All clean rows that there are."""
        table = ledger.clean_rows(self.usecase).drop(columns=["key", "part"])
        if table.empty:
            raise DataInvalid("There are no rows to learn from.")
        digest = hashlib.sha256(
            pd.util.hash_pandas_object(table.astype(str), index=False).to_numpy().tobytes()
        )
        source = ledger.true_source(ledger.clean_sources(self.usecase, told_as=TOLD_AS), via="api")
        origin = Origin(source, "the ledger of this use case", digest.hexdigest())
        return Taken(table, origin, facts={"data_via": "api"})

    def fields(self, table: pd.DataFrame) -> pd.DataFrame:
        return features.fields(table)

    def spec(self, train: pd.DataFrame) -> Spec:
        return features.spec(train)

    def find(self, run: DagRun, spec: Spec, train: pd.DataFrame) -> Found:
        """And how far its answers usually are off, into the spec."""
        from dags.recipes.real_estate import train as trees

        settings = Settings.of(run.params)
        found, usual_error = trees.search(spec, train, n_iter=settings.n_iter, seed=settings.seed)
        output = msgspec.structs.replace(spec.output, usual_error=round(usual_error, -3))
        run.folder.write_bytes("spec.json", msgspec.structs.replace(spec, output=output).to_json())
        say(f"Three answers in four are within {usual_error:,.0f} USD.")
        return found

    def shap(
        self, run: DagRun, spec: Spec, model: "Pipeline", train: pd.DataFrame
    ) -> tuple[bytes, dict[str, float]]:
        from dags.recipes.common import tree_shap

        return tree_shap.summary(spec, model, train, seed=Settings.of(run.params).seed, is_by_column=True)

    def params(self, run: DagRun) -> dict[str, float]:
        settings = Settings.of(run.params)
        return {name: getattr(settings, name) for name in ("n_iter", "seed", "holdout_share")}

    def gate(self, run: DagRun, registered: Mapping[str, Any]) -> dict[str, Any]:
        """The gate's verdict, kept as a decision; what passed and is not live by itself, is asked for."""
        from dags.recipes.common import console

        version = str(registered["version"])
        judged = super().gate(run, registered)
        if judged["state"] != "passed":
            return judged
        with console.connect(self.dag_id) as client:
            state = console.version(client, self.model, version)["state"]
            if state != "passed":
                say(f"Version {version} is {state} by the policy of the model.")
                return judged
            key = f"{run.run_id}:promotion:{version}"
            console.request_promotion(client, self.model, version, reason=judged["reason"], key=key)
        return judged


def _missed(newest: Mapping[str, Any], number: int) -> str:
    """Numbers between the newest batch of the same group and day and this one; empty where there are none.

    The service counts from 1.
    """
    before = newest.get("batch number", 0)
    if number - before < 2:
        return ""
    return str(before + 1) if number - before == 2 else f"{before + 1} to {number - 1}"


MONITOR = Monitor()
