"""Hospital stays of diabetics: their columns, what must hold of them, a generator for when there are none.

Of 130 hospitals in the United States, 1999 to 2008. `?` is missing; the word None in max_glu_serum and
A1Cresult is a value: not measured. One row is one encounter; a patient may have several.
Source: B. Strack et al., Impact of HbA1c measurement on hospital readmission rates, BioMed Research
International, 2014, article 781670.
"""

import io
import re
import zipfile

import numpy as np
import pandas as pd

from dags.recipes.common.checks import Column, DataInvalid, Sound, sort_out
from dags.recipes.common.ledger import Rejected
from dags.recipes.diabetes.archive import Table

DRUGS = [
    "metformin", "repaglinide", "nateglinide", "chlorpropamide", "glimepiride", "acetohexamide", "glipizide",
    "glyburide", "tolbutamide", "pioglitazone", "rosiglitazone", "acarbose", "miglitol", "troglitazone",
    "tolazamide", "examide", "citoglipton", "insulin", "glyburide-metformin", "glipizide-metformin",
    "glimepiride-pioglitazone", "metformin-rosiglitazone", "metformin-pioglitazone",
]  # fmt: skip
COLUMNS = [
    "encounter_id", "patient_nbr", "race", "gender", "age", "weight", "admission_type_id",
    "discharge_disposition_id", "admission_source_id", "time_in_hospital", "payer_code", "medical_specialty",
    "num_lab_procedures", "num_procedures", "num_medications", "number_outpatient", "number_emergency",
    "number_inpatient", "diag_1", "diag_2", "diag_3", "number_diagnoses", "max_glu_serum", "A1Cresult",
    *DRUGS, "change", "diabetesMed", "readmitted",
]  # fmt: skip
AGES = [f"[{low}-{low + 10})" for low in range(0, 100, 10)]
GLUCOSE = ["None", "Norm", ">200", ">300"]
A1C = ["None", "Norm", ">7", ">8"]
DOSES = ["No", "Down", "Steady", "Up"]
OUTCOMES = ["<30", ">30", "NO"]

UNKNOWN = frozenset({"", "?"})
# those that models learn from, in their kinds; the others are kept as they came
_COUNTS = {
    "time_in_hospital": 366, "num_lab_procedures": 1_000, "num_procedures": 100, "num_medications": 500,
    "number_outpatient": 500, "number_emergency": 500, "number_inpatient": 500, "number_diagnoses": 100,
}  # fmt: skip
_TEXTS = {"max_glu_serum": GLUCOSE, "A1Cresult": A1C, "insulin": DOSES, "diabetesMed": ["No", "Yes"]}
CLEAN = [
    Column("encounter_id", "integer", low=1, high=2**53),
    Column("patient_nbr", "integer", low=1, high=2**53),
    Column("race", may_be_missing=True),
    Column(
        "gender", allowed=frozenset({"Female", "Male"}), may_be_missing=True,
        missing_words=UNKNOWN | {"unknown/invalid"},
    ),
    Column("age", allowed=frozenset(AGES)),
    Column("discharge_disposition_id", "integer", low=1, high=99),
    Column("admission_source_id", "integer", low=1, high=99),
    *(Column(name, "integer", low=0, high=high) for name, high in _COUNTS.items()),
    *(Column(f"diag_{n}", may_be_missing=True) for n in (1, 2, 3)),
    *(Column(name, allowed=frozenset(values), missing_words=UNKNOWN) for name, values in _TEXTS.items()),
    Column("readmitted", allowed=frozenset(OUTCOMES)),
]  # fmt: skip

MOST_REJECTED_SHARE = 0.2  # of more it is another kind of file, or a broken one
_AGE = re.compile(r"[\[(]?\s*(\d{1,3})\s*[-–]\s*(\d{1,3})\s*[)\]]?\Z")


def clean(table: Table) -> Sound:
    """Rows that fit, as numbers and texts, by the columns of CLEAN. Raises DataInvalid."""
    if table.rows.empty:
        raise DataInvalid("The table has no whole row.")
    rows = table.rows[[column.name for column in CLEAN]].copy()
    rows["age"] = rows["age"].map(age)
    sound = sort_out(rows, CLEAN, unique=["encounter_id"])
    sound = Sound(sound.table, sound.rejected + table.torn)
    if sound.share_rejected > MOST_REJECTED_SHARE:
        first = sound.rejected[0]
        n_rows = len(sound.table) + len(sound.rejected)
        raise DataInvalid(
            f"{len(sound.rejected):,} rows of {n_rows:,} do not fit, so none is"
            f" taken. The first is row {first.position + 1}: {first.reason}."
        )
    if sound.table["readmitted"].nunique() < 2:
        raise DataInvalid(
            f"Every row has the outcome {sound.table['readmitted'].iloc[0]}: nothing can be learnt."
        )
    return sound


def age(text: str) -> str:
    """[50-60) for 50-60, (50-60], [50 – 60) and the like; what is no band of ten years stays as it is."""
    found = _AGE.match(text.strip())
    return f"[{int(found[1])}-{int(found[2])})" if found else text


def positions_of_file(rejected: list[Rejected], table: Table) -> list[Rejected]:
    """Rejected rows by their place in the file: whole rows are counted without the torn ones before."""
    torn = {row.position for row in table.torn}
    if not torn:
        return rejected
    places = [place for place in range(len(table.rows) + len(torn)) if place not in torn]
    whole = len(rejected) - len(torn)
    moved = [Rejected(places[row.position], row.reason, row.row) for row in rejected[:whole]]
    return sorted([*moved, *rejected[whole:]], key=lambda row: row.position)


def generate(seed: int, n_rows: int) -> bytes:
    """A zip like the known one, with a signal like its own: who came before comes again, not who died."""
    dice = np.random.default_rng(seed)
    inpatient = np.minimum(dice.geometric(0.62, n_rows) - 1, 15)
    emergency = np.minimum(dice.geometric(0.83, n_rows) - 1, 20)
    n_diagnoses = np.clip(dice.normal(7.4, 1.9, n_rows).round(), 1, 16).astype(int)
    age_place = dice.choice(
        10, n_rows, p=[0.002, 0.007, 0.016, 0.037, 0.095, 0.17, 0.22, 0.256, 0.169, 0.028]
    )
    discharge = dice.choice(
        [1, 3, 6, 11, 13, 2, 22, 18], n_rows, p=[0.6, 0.14, 0.13, 0.02, 0.01, 0.03, 0.03, 0.04]
    )
    odds = -1.3 + 0.75 * inpatient + 0.4 * emergency + 0.09 * n_diagnoses + 0.03 * age_place
    odds = np.where(np.isin(discharge, [11, 13]), -6.0, odds)
    is_back = dice.random(n_rows) < 1 / (1 + np.exp(-odds))
    is_soon = dice.random(n_rows) < 0.2 + 0.06 * np.minimum(inpatient, 5)
    table = pd.DataFrame(dict.fromkeys(COLUMNS, "No"), index=range(n_rows), dtype=object)
    table["encounter_id"] = 1_000_000_000 + np.arange(n_rows)  # the known ones are all below that
    table["patient_nbr"] = 500_000_000 + dice.integers(0, max(1, int(n_rows * 0.7)), n_rows)
    table["race"] = dice.choice(
        ["Caucasian", "AfricanAmerican", "?", "Hispanic", "Other"], n_rows, p=[0.75, 0.19, 0.02, 0.02, 0.02]
    )
    table["gender"] = dice.choice(["Female", "Male"], n_rows, p=[0.54, 0.46])
    table["age"] = np.array(AGES)[age_place]
    table["weight"] = "?"
    table["admission_type_id"] = dice.choice([1, 2, 3], n_rows, p=[0.6, 0.2, 0.2])
    table["discharge_disposition_id"] = discharge
    table["admission_source_id"] = dice.choice([7, 1, 17, 4], n_rows, p=[0.57, 0.3, 0.1, 0.03])
    table["payer_code"] = dice.choice(["?", "MC", "HM"], n_rows)
    table["medical_specialty"] = dice.choice(["?", "InternalMedicine", "Cardiology"], n_rows)
    table["time_in_hospital"] = np.clip(dice.gamma(2.2, 2.0, n_rows).round(), 1, 14).astype(int)
    table["num_lab_procedures"] = np.clip(dice.normal(43, 19, n_rows).round(), 1, 130).astype(int)
    table["num_procedures"] = np.minimum(dice.poisson(1.3, n_rows), 6)
    table["num_medications"] = np.clip(dice.gamma(4, 4, n_rows).round(), 1, 80).astype(int)
    table["number_outpatient"] = np.minimum(dice.geometric(0.75, n_rows) - 1, 40)
    table["number_emergency"], table["number_inpatient"] = emergency, inpatient
    for name in ("diag_1", "diag_2", "diag_3"):
        table[name] = dice.choice(["428", "250.83", "414", "V57", "486", "276", "?"], n_rows)
    table["number_diagnoses"] = n_diagnoses
    table["max_glu_serum"] = dice.choice(GLUCOSE, n_rows, p=[0.95, 0.02, 0.015, 0.015])
    table["A1Cresult"] = dice.choice(A1C, n_rows, p=[0.83, 0.05, 0.04, 0.08])
    table["insulin"] = dice.choice(DOSES, n_rows, p=[0.47, 0.12, 0.3, 0.11])
    table["diabetesMed"] = dice.choice(["Yes", "No"], n_rows, p=[0.77, 0.23])
    table["readmitted"] = np.where(is_back, np.where(is_soon, "<30", ">30"), "NO")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        member = zipfile.ZipInfo(
            "dataset_diabetes/diabetic_data.csv"
        )  # of a fixed date: same seed, same bytes
        archive.writestr(member, table.to_csv(index=False), zipfile.ZIP_DEFLATED)
    return packed.getvalue()
