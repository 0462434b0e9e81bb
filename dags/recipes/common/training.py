"""What every training pipeline does, step by step; a use case says only what is its own.

    class TitanicTraining(Training):
        dag_id, model, key = "titanic_training", "titanic", "PassengerId"
        @abstractmethod
    def take(self, run): …               # rows, and where they come from
        @abstractmethod
    def fields(self, table): …           # from rows to the fields of the spec, `label` and the key
        @abstractmethod
    def spec(self, train): …
        @abstractmethod
    def find(self, run, spec, train): …  # the best model
        @abstractmethod
    def shap(self, run, spec, model, train): …

    TRAINING = TitanicTraining()     # its tasks: load, validate, split, features, search, evaluate, …

Each step runs in a process of its own, from the files of its run to the next ones, so slow imports (MLflow
3 s, SHAP 2 s, scikit-learn 1 s) are made only where they are needed. What a step wrote, it writes again when
it is tried again.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from dags.recipes.common import decisions, fitting, holdout, run_folder
from dags.recipes.common.checks import DataInvalid, require_learnable, row_texts
from dags.recipes.common.decisions import Criterion, Decision
from dags.recipes.common.ledger import Origin
from dags.recipes.common.log import say
from dags.recipes.common.run_folder import DagRun, RunFolder
from scoring.spec import Spec
from scoring.spec_reading import read_spec

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

TELLING = frozenset({"baseline", "champion", "better", "not_worse"})  # checks that say how good a version is


@dataclass(frozen=True)
class Taken:
    """Rows to train on and where they come from. rejected: how many were left out before, in words.

    facts: what else is to be known of that; params and tags of the MLflow run.
    """

    table: pd.DataFrame
    origin: Origin
    rejected: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Tried:
    """A kind of model, or a combination of parameters, that was tried: its metrics on rows not trained on."""

    name: str
    params: Mapping[str, Any]
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Found:
    """The best pipeline, fitted on all training rows. scores: how it was chosen, such as `cv_accuracy`.

    tried: each becomes a run of its own inside the MLflow run.
    """

    model: "Pipeline"
    params: Mapping[str, Any]
    scores: Mapping[str, float]
    tried: Sequence[Tried] = field(default_factory=tuple)


class Training(ABC):
    """The steps of one training pipeline. `key`: the column that names a row; empty: all its columns do.

    params that every pipeline has: `seed`, `holdout_share`.
    """

    dag_id: ClassVar[str]
    model: ClassVar[str]
    usecase: ClassVar[str]
    key: ClassVar[str] = ""
    at_least: ClassVar[int] = 100  # rows, below which nothing is learnt

    # --- what a use case says

    @abstractmethod
    def take(self, run: DagRun) -> Taken:
        """Rows, and where they come from. Raises what says why there are none."""

    def check(self, table: pd.DataFrame) -> None:  # noqa: B027 - most rows were checked when they were kept
        """Raises DataInvalid with every fault of the rows that would spoil the model."""

    @abstractmethod
    def fields(self, table: pd.DataFrame) -> pd.DataFrame:
        """From rows to the fields of the spec, with `label` and the key beside them.

        Where a field is called `label` itself, the label is `atalaya.label`, see `Spec.label_column`.
        """

    @abstractmethod
    def spec(self, train: pd.DataFrame) -> Spec:
        """train: rows of `fields`; the ranges that they span become the seen ranges."""

    @abstractmethod
    def find(self, run: DagRun, spec: Spec, train: pd.DataFrame) -> Found:
        """The best model. train: fields and `label`."""

    @abstractmethod
    def shap(
        self, run: DagRun, spec: Spec, model: Any, train: pd.DataFrame
    ) -> tuple[bytes, dict[str, float]]:
        """A PNG, and the mean absolute SHAP value of each column."""

    def params(self, run: DagRun) -> Mapping[str, Any]:
        """Logged beside those of the search."""
        return {name: run.params[name] for name in ("seed", "holdout_share")}

    def is_held(self, run: DagRun, table: pd.DataFrame) -> Any:
        """One boolean a row: whether it is held out. By a hash of its key, for ever."""
        keys = table[self.key] if self.key else row_texts(table)
        return holdout.is_holdout(keys, run.params["holdout_share"])

    # --- the steps

    def load(self, run: DagRun) -> dict[str, Any]:
        """Take the rows; a pipeline's old folders go."""
        run_folder.remove_old(self.dag_id)
        taken = self.take(run)
        facts = dict(vars(taken.origin))
        run.folder.write_table("rows.parquet", taken.table)
        run.folder.write_json("source.json", facts | {"facts": dict(taken.facts)})
        say(f"{len(taken.table):,} rows from {taken.origin.data_source} ({taken.origin.origin}).")
        if taken.rejected:
            say(taken.rejected)
        return facts | {"rows": len(taken.table)}

    def validate(self, run: DagRun) -> dict[str, Any]:
        """Raises DataInvalid."""
        table = run.folder.read_table("rows.parquet")
        if len(table) < self.at_least:
            raise DataInvalid(f"{len(table):,} rows; at least {self.at_least:,} are needed.")
        self.check(table)
        for name, missing in table.isna().sum().items():
            if missing:
                say(f"  {name} is missing in {missing:,} of {len(table):,}.")
        return {"rows": len(table)}

    def split(self, run: DagRun) -> dict[str, Any]:
        """Rows to train on, and rows held out for ever."""
        table = run.folder.read_table("rows.parquet")
        is_held = self.is_held(run, table)
        train, held = table[~is_held], table[is_held]
        run.folder.write_table("train_rows.parquet", train)
        run.folder.write_table("holdout_rows.parquet", held)
        say(f"{len(train):,} rows to train on, {len(held):,} held out.")
        return {"train_rows": len(train), "holdout_rows": len(held)}

    def features(self, run: DagRun) -> dict[str, Any]:
        """Rows into fields, and the spec; what the spec refuses is set apart.

        Raises DataInvalid when nothing can be learnt, or too much is refused.
        """
        train, held = (
            self.fields(run.folder.read_table(name)).reset_index(drop=True)
            for name in ("train_rows.parquet", "holdout_rows.parquet")
        )
        label = "atalaya.label" if "atalaya.label" in train.columns else "label"
        require_learnable(train, beside=[label, self.key], label=label)
        spec = self.spec(train)
        sound, apart = fitting.set_apart(spec, {"train": train, "held": held})
        if apart.n_refused:
            say(apart.sentence)
            train, held = sound["train"], sound["held"]
            require_learnable(train, beside=[label, self.key], label=label)
            spec = self.spec(train)
        if held[label].nunique() < 2:
            raise DataInvalid("The rows held out are all alike: choose another share.")
        run.folder.write_json("set_apart.json", vars(apart))
        run.folder.write_table("train.parquet", train)
        run.folder.write_table("holdout.parquet", held)
        run.folder.write_bytes("spec.json", spec.to_json())
        say(f"{len(spec.fields)} fields and {len(spec.derived)} derived columns: {', '.join(spec.columns)}.")
        return {"columns": len(spec.columns), "rows_set_apart": apart.n_refused}

    def search(self, run: DagRun) -> dict[str, Any]:
        """Try, and keep the best."""
        found = self.find(run, _spec(run.folder), run.folder.read_table("train.parquet"))
        run.folder.write_model("model.bin", found.model)
        tried = [
            {"name": one.name, "params": dict(one.params), "metrics": dict(one.metrics)}
            for one in found.tried
        ]
        facts = {"params": dict(found.params), "scores": dict(found.scores)}
        run.folder.write_json("search.json", facts | {"tried": tried})
        say("Best: " + ", ".join(f"{name} {value}" for name, value in found.params.items()) + ".")
        return facts | {"n_tried": len(tried)}

    def evaluate(self, run: DagRun) -> dict[str, Any]:
        """Measure on the hold-out beside the baseline, and draw it."""
        from dags.recipes.common import evidence
        from scoring.originals import Original

        folder, spec = run.folder, _spec(run.folder)
        model, held = Original(folder.read_model("model.bin"), spec), folder.read_table("holdout.parquet")
        figures = evidence.figures(spec, model, folder.read_table("train.parquet"), held)
        folder.write_json("metrics.json", figures)
        name, picture = evidence.picture(spec, model, held)
        folder.write_json("pictures.json", [name])
        folder.write_bytes(name, picture)
        for name, value in figures["holdout"].items():
            trivial = figures["baseline"].get(name, float("nan"))
            say(f"{name} {value:.4f} on {len(held):,} hold-out rows; the baseline has {trivial:.4f}.")
        return {"holdout": figures["holdout"], "baseline": figures["baseline"]}

    def explain(self, run: DagRun) -> dict[str, Any]:
        """What moves the answers: SHAP values, as a picture and as numbers."""
        folder = run.folder
        picture, importance = self.shap(
            run, _spec(folder), folder.read_model("model.bin"), folder.read_table("train.parquet")
        )
        folder.write_bytes("shap_summary.png", picture)
        folder.write_json("shap.json", importance)
        ordered = sorted(importance.items(), key=lambda item: -item[1])[:5]
        say(
            "What moves the answer most: " + ", ".join(f"{name} {value:.3g}" for name, value in ordered) + "."
        )
        return {"most": [name for name, _ in ordered]}

    def register(self, run: DagRun) -> dict[str, Any]:
        """Log all to MLflow and register a version, once a run."""
        from dags.recipes.common import evidence, tracking
        from scoring.originals import Original

        folder = run.folder
        source, searched, figures = (
            folder.read_json(f"{name}.json") for name in ("source", "search", "metrics")
        )
        spec, model = _spec(folder), folder.read_model("model.bin")
        train = folder.read_table("train.parquet")
        reference = evidence.reference(
            spec,
            train.drop(columns=[self.key] if self.key else []),
            folder.read_table("holdout.parquet"),
            Original(model, spec),
            seed=run.params["seed"],
        )
        folder.write_bytes("reference.parquet", reference)
        package = tracking.Package(
            model=model,
            spec=spec,
            rows=train,
            params={**searched["params"], **self.params(run), **source["facts"]},
            tags=source["facts"],
            metrics=_logged(searched["scores"], figures),
            files={
                "serving/spec.json": folder.path / "spec.json",
                "serving/reference.parquet": folder.path / "reference.parquet",
                "evaluation/holdout.parquet": folder.path / "holdout.parquet",
                "evaluation/metrics.json": folder.path / "metrics.json",
                "evaluation/shap.json": folder.path / "shap.json",
                "evaluation/shap_summary.png": folder.path / "shap_summary.png",
                **{f"evaluation/{name}": folder.path / name for name in folder.read_json("pictures.json")},
            },
            tried=[Tried(**one) for one in searched["tried"]],
        )
        origin = tracking.Origin(
            dag_id=self.dag_id,
            dag_run_id=run.run_id,
            data_sha256=source["data_sha256"],
            data_source=source["data_source"],
            seed=run.params["seed"],
            requested_by=run.requested_by,
        )
        registered = tracking.register(self.model, package, origin)
        return {"model": self.model, "version": registered.version, "mlflow_run_id": registered.run_id}

    def gate(self, run: DagRun, registered: Mapping[str, Any]) -> dict[str, Any]:
        """Ask the console's gate, and keep its verdict as a decision."""
        from dags.recipes.common import console

        version = registered["version"]
        with console.connect(self.dag_id) as client:
            found = console.gate(client, self.model, version, key=f"{run.run_id}:gate:{version}")
        decision = self.verdict(run, version, found)
        decisions.decide(self.usecase, decision, run=run)
        return {"version": version, "state": found["state"], "reason": decision.reason}

    def verdict(self, run: DagRun, version: str, found: Mapping[str, Any]) -> Decision:
        """found: the gate as the console tells it."""
        champion, passed = found.get("champion_version"), found["state"] == "passed"
        told = [
            check["sentence"]
            for check in found["checks"]
            if check["verdict"] in ("passed", "look") and check["name"].partition(":")[0] in TELLING
        ]
        if not passed:
            failed = [check["sentence"] for check in found["checks"] if check["verdict"] == "failed"]
            reason = " ".join(failed) or found.get("reason") or "The gate did not say why."
        elif found.get("is_conclusive"):
            reason = " ".join(["It passed every check of the gate.", *told])
        else:
            undecided = "It passed, but is not surely better than the champion: a person decides."
            reason = " ".join([undecided, *told])
        shap = {"candidate": run.folder.read_json("shap.json")}
        if champion is not None:
            from dags.recipes.common import tracking

            if importance := tracking.importance(self.model, champion):
                shap["champion"] = importance
        return Decision(
            kind="promote",
            is_yes=passed,
            reason=reason,
            criteria=_set_apart(run.folder)
            + [
                Criterion(
                    check["name"],
                    {"passed": True, "failed": False}.get(check["verdict"]),
                    check["sentence"],
                    check["value"],
                    check["threshold"],
                )
                for check in found["checks"]
            ],
            model=self.model,
            version=int(version),
            champion_version=champion,
            metrics=found.get("metrics") or {},
            shap=shap,
        )


def _logged(scores: Mapping[str, float], figures: Mapping[str, Any]) -> dict[str, float]:
    logged = dict(scores)
    for part in ("holdout", "baseline"):
        logged |= {f"{part}_{name}": value for name, value in figures[part].items()}
    return logged | {"train_rows": figures["train_rows"], "holdout_rows": figures["holdout_rows"]}


def _set_apart(folder: RunFolder) -> list[Criterion]:
    """What was left out because the spec refuses it, as a ground that settles nothing."""
    if not (folder.path / "set_apart.json").is_file():  # a run that an earlier release began
        return []
    apart = fitting.Apart(**folder.read_json("set_apart.json"))
    if not apart.n_refused:
        return []
    return [Criterion("rows set apart", None, apart.sentence, apart.share, fitting.MOST_REFUSED)]


def _spec(folder: RunFolder) -> Spec:
    return read_spec(folder.read_bytes("spec.json"))
