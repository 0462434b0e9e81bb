"""A column may be called whatever a data frame's column may: through spec, checks, ONNX and explanation."""

import io

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictions.spec_form import PredictForm
from scoring import features, self_test
from scoring.check import RowDecoder, RowsInvalid
from scoring.compile import compile_version
from scoring.drift import reference
from scoring.explain import shapley
from scoring.expressions import quote
from scoring.language import column_name_fault
from scoring.result import ChampionFiles
from scoring.score import Scorer
from scoring.spec import Spec
from scoring.spec_reading import read_spec
from tests.unit.scoring import fitted

NUMBERS = ["sepal length (cm)", "petal-width", "100%", 'the "real" one', "back\\slash", "a.b", "class", " x "]
TEXT = "kind de fleur, été `21`"


def spec_of(numbers: list[str], text: str = TEXT) -> Spec:
    plain = {
        "task": "classification",
        "fields": [{"name": name, "type": "number", "nullable": True, "required": False} for name in numbers]
        + [
            {
                "name": text,
                "type": "text",
                "choices": {"values": [{"value": "a"}, {"value": "b"}], "open": True},
            }
        ],
        "derived": [{"name": f"{numbers[0]} / 2", "expression": f"{quote(numbers[0])} / 2"}],
        "slices": [text],
        "output": {"labels": [{"value": 0}, {"value": 1}]},
        "primary_metric": "accuracy",
        "example": {**dict.fromkeys(numbers, 0.5), text: "a"},
    }
    return read_spec(msgspec.json.encode(plain))


def rows_of(spec: Spec, n_rows: int = 400) -> pd.DataFrame:
    dice = np.random.default_rng(3)
    numbers = [field.name for field in spec.fields if not field.is_text]
    table = pd.DataFrame({name: dice.random(n_rows).round(3) for name in numbers})
    table[spec.text_columns[0]] = dice.choice(["a", "b"], n_rows)
    truth = (table[numbers[0]] + table[numbers[1]] > 1).astype(int)
    return features.with_column(table, spec.label_column, truth)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("names")
    spec = spec_of(NUMBERS)
    rows = rows_of(spec)
    result = compile_version(fitted.job(folder, spec, rows, fitted.pipeline(spec, rows)))
    return folder, spec, rows, result


def test_such_a_model_is_compiled_and_serves(compiled):
    folder, spec, _rows, result = compiled
    assert (result.serve_as, result.self_test) == ("onnx", ""), result.reason
    assert result.parity.max_difference < 1e-5
    scorer = Scorer.from_onnx((folder / "model.onnx").read_bytes(), spec)
    sample = self_test.sample((folder / "reference.parquet").read_bytes(), spec)
    self_test.check(scorer.predict, spec, sample)
    alone = scorer.score_rows(sample.inputs[:1])
    together = scorer.score_rows(sample.inputs[:3])
    assert alone.values[0] == together.values[0]
    found = shapley(scorer, spec, sample.inputs[0], sample.inputs[:20])
    assert set(found.contributions) == {*NUMBERS, TEXT}


OURS = [
    *(
        "label",
        "score",
        "id",
        "version",
        "prediction",
        "class",
        "index",
        "name",
        "is_missing",
        "self",
        "example",
    ),
    *("rows", "value", "probabilities", "output_label", "output_probability", "variable", "model"),
]


@pytest.fixture(scope="module")
def named_as_ours(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ours")
    spec = spec_of(OURS, "text")
    rows = rows_of(spec)
    return folder, spec, rows, compile_version(fitted.job(folder, spec, rows, fitted.pipeline(spec, rows)))


def test_columns_that_are_called_as_ours_are_told_from_them(named_as_ours):
    folder, spec, rows, result = named_as_ours
    assert (spec.label_column, spec.score_column) == ("atalaya.label", "atalaya.score")
    assert (result.serve_as, result.self_test) == ("onnx", ""), result.reason
    assert result.parity.max_difference < 1e-5
    assert result.candidate.metrics["accuracy"] > 0.9  # the label itself is a number between 0 and 1
    sample = self_test.sample((folder / "reference.parquet").read_bytes(), spec)
    assert sample.inputs[0]["score"] == rows["score"][0]
    summed = reference.read((folder / "reference.parquet").read_bytes(), spec)
    assert [column.is_score for column in summed.columns] == [False] * (len(OURS) + 1) + [True]
    assert len({column.name for column in summed.columns}) == len(OURS) + 2
    expression = read_spec(
        msgspec.json.encode(
            msgspec.to_builtins(spec)
            | {"derived": [{"name": "gone", "expression": "is_missing(is_missing) + is_missing(self)"}]}
        )
    )
    row = {**dict.fromkeys(OURS, 0.5), "text": "a", "is_missing": None}
    assert features.frame(expression, [row])["gone"].tolist() == [1.0]


def test_a_champion_with_a_field_label_does_not_see_the_truth(named_as_ours, tmp_path):
    """Where the candidate has no such field, `label` in its hold-out is what is to be told."""
    folder, champion, _rows, _result = named_as_ours
    spec = spec_of(["score", "id"], "text")
    rows = rows_of(spec)
    files = ChampionFiles(spec="champion.json", onnx="champion.onnx")
    fitted.job(tmp_path, spec, rows, fitted.pipeline(spec, rows), files)
    (tmp_path / "champion.json").write_bytes(champion.to_json())
    (tmp_path / "champion.onnx").write_bytes((folder / "model.onnx").read_bytes())
    result = compile_version(tmp_path)
    assert result.champion is None
    assert "has no column 'label'" in result.champion_error


def test_the_same_model_has_the_same_hash_each_time(compiled, tmp_path):
    _folder, spec, rows, result = compiled
    again = compile_version(fitted.job(tmp_path, spec, rows, fitted.pipeline(spec, rows)))
    assert again.sha256 == result.sha256


def test_rows_come_as_json_and_as_a_form(compiled):
    _folder, spec, rows, _result = compiled
    decoder = RowDecoder(spec)
    row = rows.drop(columns="label").iloc[0].to_dict()
    body = msgspec.json.encode({"rows": [row]})
    assert decoder.decode(body).inputs == [row]
    form = PredictForm(decoder, {name: str(value) for name, value in row.items()})
    assert form.rows is not None, form.errors
    assert form.rows.inputs == [row]
    with pytest.raises(RowsInvalid) as refused:
        decoder.decode(msgspec.json.encode({"rows": [row | {NUMBERS[0]: "much"}]}))
    assert refused.value.errors[0]["field"] == NUMBERS[0]


def test_names_that_msgspec_takes_are_read_by_it():
    spec = spec_of(["sepal length (cm)", "petal-width"])
    decoder = RowDecoder(spec)
    assert decoder._decoder is not None
    row = {"sepal length (cm)": 5.1, "petal-width": 0.2, TEXT: "a"}
    assert decoder.decode(msgspec.json.encode({"rows": [row]})).inputs == [row]


def test_derived_columns_follow(compiled):
    _folder, spec, rows, _result = compiled
    columns = features.frame(spec, rows)
    expected = (rows[NUMBERS[0]] / 2).to_numpy(np.float32)
    assert np.array_equal(columns[f"{NUMBERS[0]} / 2"], expected)


def test_the_form_has_ids_that_stand_in_selectors_and_names_as_they_are():
    form = PredictForm(
        RowDecoder(spec_of(["petal width", "plain", "petal-width"])), given={"petal width": 0.2}
    )
    ids = [one.auto_id for one in form]
    assert ids[1] == "id_plain"
    assert len(set(ids)) == len(ids)
    assert all(id_.replace("-", "").replace("_", "").isalnum() for id_ in ids)
    drawn = form["petal width"].as_widget()
    assert 'name="petal width" value="0.2"' in drawn
    assert f'id="{ids[0]}"' in drawn


def test_drift_sums_such_columns_up(compiled):
    folder, spec, _rows, _result = compiled
    found = reference.read((folder / "reference.parquet").read_bytes(), spec)
    assert [column.name for column in found.columns] == [*NUMBERS, TEXT, "score"]


NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=60).filter(
    lambda name: name.strip() and not name.startswith("atalaya.")
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(NAMES, min_size=2, max_size=5, unique=True))
def test_any_name_goes_through_spec_checks_and_features(names):
    assert not any(column_name_fault(name) for name in names)
    spec = spec_of(names, text="a text of its own name")
    row = {**dict.fromkeys(names, 0.5), "a text of its own name": "a"}
    assert RowDecoder(spec).decode(msgspec.json.encode({"rows": [row]})).inputs == [row]
    assert features.frame(spec, [row])[f"{names[0]} / 2"].tolist() == [0.25]
    buffer = io.BytesIO()
    features.with_column(pd.DataFrame([row]), spec.score_column, 0.5).to_parquet(buffer)
    assert self_test.sample(buffer.getvalue(), spec).inputs == [row]
