"""From clean stays to the fields of the spec, and the spec itself. Who a patient is, is no field."""

import json
import re
from typing import Any

import pandas as pd

from dags.recipes.diabetes import data
from scoring.spec import Spec
from scoring.spec_reading import read_spec

KEY = "encounter_id"
COUNTS = [
    "number_inpatient", "number_emergency", "number_outpatient", "time_in_hospital", "num_lab_procedures",
    "num_procedures", "num_medications", "number_diagnoses",
]  # fmt: skip
FIELDS = [
    "age", "gender", "race", "admission_source", "discharge", *COUNTS, "diag_1", "diag_2", "diag_3",
    "max_glu_serum", "A1Cresult", "insulin", "diabetesMed",
]  # fmt: skip

# first and last code, and the chapter of ICD-9 that they belong to; diabetes (250) stands for itself
_CHAPTERS = [
    (1, 139, "Infections"), (140, 239, "Neoplasms"), (250, 250, "Diabetes"), (240, 279, "Endocrine, other"),
    (280, 289, "Blood"), (290, 319, "Mental"), (320, 389, "Nervous system"), (390, 459, "Circulatory"),
    (460, 519, "Respiratory"), (520, 579, "Digestive"), (580, 629, "Genitourinary"), (630, 679, "Pregnancy"),
    (680, 709, "Skin"), (710, 739, "Musculoskeletal"), (740, 779, "Congenital and perinatal"),
    (780, 799, "Symptoms"), (800, 999, "Injury and poisoning"),
]  # fmt: skip
CHAPTERS = [*(name for *_, name in _CHAPTERS), "External causes", "Supplementary", "Other"]
_CODE = re.compile(r"(\d{1,3})(\.\d*)?\Z")

DISCHARGES = {
    "Home": {1, 8}, "Home with care": {6}, "Nursing facility": {3, 4, 15, 24},
    "Other hospital": {2, 5, 9, 10, 22, 23, 27, 28, 29, 30}, "Hospice": {13, 14}, "Died": {11, 19, 20, 21},
    "Against advice": {7}, "Outpatient": {12, 16, 17},
}  # fmt: skip
SOURCES = {
    "Referral": {1, 2, 3}, "Emergency room": {7}, "Transfer": {4, 5, 6, 10, 18, 19, 22, 25, 26},
    "Other": {8, 11, 12, 13, 14, 23, 24},
}  # fmt: skip
UNKNOWN = "Unknown"
RACES = ["AfricanAmerican", "Asian", "Caucasian", "Hispanic", "Other"]
_NO_RACE = frozenset({"unknown", "invalid", "unknown/invalid", "missing", "none", "notavailable"})


def fields(clean: pd.DataFrame) -> pd.DataFrame:
    """The fields, with `label` and the key beside them; the patient's number is left behind."""
    table = clean[[KEY, "age", "gender", "race"]].copy()
    table["admission_source"] = clean["admission_source_id"].map(_grouped(SOURCES)).fillna(UNKNOWN)
    table["discharge"] = clean["discharge_disposition_id"].map(_grouped(DISCHARGES)).fillna(UNKNOWN)
    table[COUNTS] = clean[COUNTS].astype("float64")
    table["race"] = clean["race"].map(race)
    for name in ("diag_1", "diag_2", "diag_3"):
        table[name] = clean[name].map(chapter)
    for name in ("max_glu_serum", "A1Cresult", "insulin", "diabetesMed"):
        table[name] = clean[name]
    table["label"] = clean["readmitted"]
    return table[[KEY, *FIELDS, "label"]].reset_index(drop=True)


def chapter(code: str | None) -> str | None:
    """The chapter of an ICD-9 code: 428 is Circulatory, 250.83 Diabetes, V57 Supplementary."""
    if code is None or pd.isna(code):
        return None
    if code[:1] in ("E", "V"):
        return "External causes" if code[0] == "E" else "Supplementary"
    found = _CODE.match(code.strip())
    number = int(found[1]) if found else 0
    return next((name for low, high, name in _CHAPTERS if low <= number <= high), "Other")


def race(text: str | None) -> str | None:
    """One of the five of the data dictionary, of which Other is the last; None where nobody knows it.

    However it is written: african american is AfricanAmerican.
    """
    if text is None or pd.isna(text):
        return None
    bare = re.sub(r"[\s_-]", "", text).lower()
    known = next((name for name in RACES if name.lower() == bare), "Other")
    return None if bare in _NO_RACE else known


def _grouped(groups: dict[str, set[int]]) -> dict[int, str]:
    return {number: name for name, numbers in groups.items() for number in numbers}


def spec(train: pd.DataFrame) -> Spec:
    """train: rows of `fields`; the ranges that they span become the seen ranges."""
    seen = {name: [float(train[name].min()), float(train[name].max())] for name in COUNTS}
    return read_spec(json.dumps(_spec(seen)))


def _spec(seen: dict[str, list[float]]) -> dict[str, Any]:
    return {
        "task": "classification",
        "title": "Will this patient come back?",
        "entity": "stay",
        "description": "Readmission after a hospital stay with diabetes: not, within 30 days, or later.",
        "fields": _fields(seen),
        "slices": ["gender", "insulin"],
        "output": {
            "labels": [
                {"value": "<30", "label": "Back within 30 days"},
                {"value": ">30", "label": "Back after 30 days"},
                {"value": "NO", "label": "Not back"},
            ]
        },
        "primary_metric": "accuracy",
        "example": {
            "age": "[70-80)", "gender": "Female", "race": "Caucasian", "admission_source": "Emergency room",
            "discharge": "Home", "number_inpatient": 1, "number_emergency": 0, "number_outpatient": 0,
            "time_in_hospital": 4, "num_lab_procedures": 44, "num_procedures": 1, "num_medications": 15,
            "number_diagnoses": 8,
            "diag_1": "Circulatory", "diag_2": "Diabetes", "diag_3": "Endocrine, other",
            "max_glu_serum": "None", "A1Cresult": "None", "insulin": "Steady", "diabetesMed": "Yes",
        },
    }  # fmt: skip


def _fields(seen: dict[str, list[float]]) -> list[dict[str, Any]]:
    patient, stay, before, found = "Patient", "This stay", "The year before", "Diagnoses and treatment"

    def count(
        name: str, label: str, group: str, usual: int, *, high: int, unit: str = "", **more: Any
    ) -> dict[str, Any]:
        return {
            "name": name,
            "type": "integer",
            "label": label,
            "group": group,
            "unit": unit,
            "min": 0,
            "max": high,
            "seen": seen[name],
            "required": False,
            "default": usual,
            **more,
        }

    def choice(
        name: str, label: str, group: str, values: list[Any], usual: str = "", **more: Any
    ) -> dict[str, Any]:
        known = [value if isinstance(value, dict) else {"value": value, "label": value} for value in values]
        default = {"default": usual} if usual else {"nullable": True}
        return {
            "name": name,
            "type": "text",
            "label": label,
            "group": group,
            "choices": {"values": known},
            "required": False,
            **default,
            **more,
        }

    ages = [
        {"value": band, "label": f"{low} to {low + 9}"}
        for low, band in zip(range(0, 100, 10), data.AGES, strict=True)
    ]
    measured = {
        "None": "Not measured",
        "Norm": "Normal",
        ">200": "Over 200",
        ">300": "Over 300",
        ">7": "Over 7 %",
        ">8": "Over 8 %",
    }
    doses = {"No": "None", "Down": "Lowered", "Steady": "Steady", "Up": "Raised"}
    return [
        choice("age", "Age", patient, ages, "[70-80)", personal=True),
        choice("gender", "Gender", patient, ["Female", "Male"], personal=True),
        choice(
            "race",
            "Race",
            patient,
            RACES,
            personal=True,
        ),
        choice("admission_source", "Came by", stay, [*SOURCES, UNKNOWN], "Emergency room"),
        choice("discharge", "Left for", stay, [*DISCHARGES, UNKNOWN], "Home"),
        count("number_inpatient", "Stays", before, 0, high=500, help="As an inpatient."),
        count("number_emergency", "Emergency visits", before, 0, high=500),
        count("number_outpatient", "Outpatient visits", before, 0, high=500),
        count("time_in_hospital", "Length", stay, 4, high=366, unit="days"),
        count("num_lab_procedures", "Laboratory tests", stay, 44, high=1_000),
        count("num_procedures", "Other procedures", stay, 1, high=100),
        count("num_medications", "Medicines", stay, 15, high=500, help="Different ones given."),
        count("number_diagnoses", "Diagnoses", found, 8, high=100),
        choice("diag_1", "First diagnosis", found, CHAPTERS, help="The chapter of its ICD-9 code."),
        choice("diag_2", "Second diagnosis", found, CHAPTERS, help="The chapter of its ICD-9 code."),
        choice("diag_3", "Third diagnosis", found, CHAPTERS, help="The chapter of its ICD-9 code."),
        choice("max_glu_serum", "Glucose in serum", found, _named(data.GLUCOSE, measured), "None"),
        choice("A1Cresult", "HbA1c", found, _named(data.A1C, measured), "None"),
        choice("insulin", "Insulin", found, _named(data.DOSES, doses), "No"),
        choice("diabetesMed", "Medicine for diabetes", found, ["No", "Yes"], "Yes"),
    ]


def _named(values: list[str], words: dict[str, str]) -> list[dict[str, str]]:
    return [{"value": value, "label": words[value]} for value in values]
