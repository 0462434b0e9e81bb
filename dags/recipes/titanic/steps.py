"""The tasks of `titanic_training`, each from the files of its run to the next ones.

Each runs in a process of its own, so slow imports (MLflow 3 s, SHAP 2 s) are made only where they are needed.
"""

from collections.abc import Mapping
from typing import Any

from dags.recipes.common import console, holdout, run_folder, sources
from dags.recipes.common.log import say
from dags.recipes.common.run_folder import RunFolder
from dags.recipes.titanic import data, features
from dags.recipes.titanic.params import DAG_ID, FILE_NAME, MODEL, Settings
from scoring.spec import Spec
from scoring.spec_reading import read_spec


def load(run_id: str, params: Mapping[str, Any]) -> dict[str, Any]:
    settings = Settings.of(params)
    run_folder.remove_old(DAG_ID)
    loaded = sources.load(
        settings.source, file_name=FILE_NAME, url=settings.url, generate=lambda: data.generate(settings.seed)
    )
    facts = {"data_source": loaded.data_source, "origin": loaded.origin, "data_sha256": loaded.sha256}
    folder = _folder(run_id)
    folder.write_bytes("passengers.csv", loaded.data)
    folder.write_json("source.json", facts)
    say(f"Took {len(loaded.data):,} bytes from {loaded.data_source} ({loaded.origin}).")
    say(f"SHA-256 {loaded.sha256}.")
    return facts


def validate(run_id: str) -> dict[str, Any]:
    table = data.read(_folder(run_id).read_bytes("passengers.csv"))
    data.validate(table)
    share = float(table["Survived"].mean())
    say(f"{len(table):,} passengers, all sound; {share:.1%} survived.")
    for name, missing in table.isna().sum().items():
        if missing:
            say(f"  {name} is missing in {missing} of them.")
    return {"rows": len(table), "survived_share": share}


def split(run_id: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Held out for ever: by a hash of PassengerId."""
    folder = _folder(run_id)
    table = data.read(folder.read_bytes("passengers.csv"))
    is_held = holdout.is_holdout(table["PassengerId"], Settings.of(params).holdout_share)
    train_rows, held_rows = table[~is_held], table[is_held]
    if train_rows["Survived"].nunique() < 2 or held_rows["Survived"].nunique() < 2:
        raise data.DataInvalid("Training rows or hold-out rows are all of one class: choose another share.")
    folder.write_table("train_passengers.parquet", train_rows)
    folder.write_table("holdout_passengers.parquet", held_rows)
    say(f"{len(train_rows):,} rows to train on, {len(held_rows):,} held out.")
    return {"train_rows": len(train_rows), "holdout_rows": len(held_rows)}


def make_features(run_id: str) -> dict[str, Any]:
    folder = _folder(run_id)
    train_rows = features.fields(folder.read_table("train_passengers.parquet"))
    spec = features.spec(train_rows)
    folder.write_table("train.parquet", train_rows)
    folder.write_table("holdout.parquet", features.fields(folder.read_table("holdout_passengers.parquet")))
    folder.write_bytes("spec.json", spec.to_json())
    say(f"{len(spec.fields)} fields and {len(spec.derived)} derived columns: {', '.join(spec.columns)}.")
    return {"columns": len(spec.columns)}


def search(run_id: str, params: Mapping[str, Any]) -> dict[str, Any]:
    from dags.recipes.titanic import train

    folder, settings = _folder(run_id), Settings.of(params)
    say(f"Trying up to {settings.n_iter} forests in {settings.cv} folds, seed {settings.seed}.")
    found = train.search(
        _spec(folder),
        folder.read_table("train.parquet"),
        n_iter=settings.n_iter,
        cv=settings.cv,
        seed=settings.seed,
    )
    facts = {"params": found.params, "cv_accuracy": found.accuracy, "cv_accuracy_std": found.accuracy_std}
    folder.write_model("model.bin", found.model)
    folder.write_json("search.json", facts | {"n_tried": found.n_tried})
    say(f"Best of {found.n_tried}: accuracy {found.accuracy:.4f} ± {found.accuracy_std:.4f}.")
    say(", ".join(f"{name} {value}" for name, value in found.params.items()))
    return facts


def evaluate(run_id: str) -> dict[str, Any]:
    from dags.recipes.common import evidence
    from scoring.originals import Original

    folder, spec = _folder(run_id), _spec(_folder(run_id))
    model = Original(folder.read_model("model.bin"), spec)
    held_rows = folder.read_table("holdout.parquet")
    figures = evidence.figures(spec, model, folder.read_table("train.parquet"), held_rows)
    folder.write_json("metrics.json", figures)
    folder.write_bytes("confusion_matrix.png", evidence.confusion_picture(spec, model, held_rows))
    for name, value in figures["holdout"].items():
        trivial = figures["baseline"][name]
        say(f"{name} {value:.4f} on {len(held_rows):,} hold-out rows; the baseline has {trivial:.4f}.")
    return {"holdout": figures["holdout"], "baseline": figures["baseline"]}


def explain_model(run_id: str, params: Mapping[str, Any]) -> dict[str, Any]:
    from dags.recipes.titanic import explain

    folder = _folder(run_id)
    picture, importance = explain.summary(
        _spec(folder),
        folder.read_model("model.bin"),
        folder.read_table("train.parquet"),
        seed=Settings.of(params).seed,
    )
    folder.write_bytes("shap_summary.png", picture)
    ordered = sorted(importance.items(), key=lambda item: -item[1])[:5]
    say("What moves the answer most: " + ", ".join(f"{name} {value:.3f}" for name, value in ordered) + ".")
    return {"most": [name for name, _ in ordered]}


def register(run_id: str, params: Mapping[str, Any], requested_by: str) -> dict[str, Any]:
    from dags.recipes.common import evidence, tracking
    from scoring.originals import Original

    folder, settings = _folder(run_id), Settings.of(params)
    source, searched, figures = (folder.read_json(f"{name}.json") for name in ("source", "search", "metrics"))
    spec, model = _spec(folder), folder.read_model("model.bin")
    train_rows = folder.read_table("train.parquet")
    reference = evidence.reference(spec, train_rows, Original(model, spec), seed=settings.seed)
    folder.write_table("reference.parquet", reference.drop(columns="PassengerId"))
    package = tracking.Package(
        model=model,
        spec=spec,
        rows=train_rows,
        params=searched["params"] | {"n_iter": settings.n_iter, "cv": settings.cv, "seed": settings.seed,
                                     "holdout_share": settings.holdout_share},
        metrics=_logged_metrics(searched, figures),
        files={
            "serving/spec.json": folder.path / "spec.json",
            "serving/reference.parquet": folder.path / "reference.parquet",
            "evaluation/holdout.parquet": folder.path / "holdout.parquet",
            "evaluation/metrics.json": folder.path / "metrics.json",
            "evaluation/confusion_matrix.png": folder.path / "confusion_matrix.png",
            "evaluation/shap_summary.png": folder.path / "shap_summary.png",
        },
    )  # fmt: skip
    origin = tracking.Origin(
        dag_id=DAG_ID,
        dag_run_id=run_id,
        data_sha256=source["data_sha256"],
        data_source=source["data_source"],
        seed=settings.seed,
        requested_by=requested_by,
    )
    registered = tracking.register(MODEL, package, origin)
    return {"model": MODEL, "version": registered.version, "mlflow_run_id": registered.run_id}


def gate(run_id: str, version: str) -> dict[str, Any]:
    with console.connect(DAG_ID) as client:
        found = console.gate(client, MODEL, version, key=f"{run_id}:gate:{version}")
    return {"version": version, "state": found["state"]}


def _logged_metrics(searched: Mapping[str, Any], figures: Mapping[str, Any]) -> dict[str, float]:
    scores = {"cv_accuracy": searched["cv_accuracy"], "cv_accuracy_std": searched["cv_accuracy_std"]}
    for part in ("holdout", "baseline"):
        scores |= {f"{part}_{name}": value for name, value in figures[part].items()}
    return scores | {"train_rows": figures["train_rows"], "holdout_rows": figures["holdout_rows"]}


def _folder(run_id: str) -> RunFolder:
    return RunFolder.of(DAG_ID, run_id)


def _spec(folder: RunFolder) -> Spec:
    return read_spec(folder.read_bytes("spec.json"))
