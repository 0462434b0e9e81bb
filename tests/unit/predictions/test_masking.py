"""Personal fields, role by role: one's own are shown, others' only to roles that see all predictions."""

import json
from types import SimpleNamespace

import pytest

from core.access import policy
from core.lib.ids import uuid7
from predictions import answered, masking
from predictions.list_views import _csv
from predictions.models import Prediction
from predictions.serializers import PredictionSerializer
from scoring.spec_reading import read_spec
from tests.champions import SPEC
from tests.people import make_user
from tests.unit.predictions.test_ingestion import handle, message

pytestmark = pytest.mark.django_db
PERSONAL = {"Sex", "Age"}


@pytest.fixture
def spec(monkeypatch):
    fields = [field | {"personal": field["name"] in PERSONAL} for field in SPEC["fields"]]
    found = read_spec(json.dumps(SPEC | {"fields": fields}))
    monkeypatch.setattr(answered, "spec_of", lambda _prediction: found)
    return found


@pytest.fixture
def others():
    """A prediction that Ben asked for."""
    ben, id_ = make_user("ben", policy.PREDICTOR), uuid7()
    handle([message(id_, user_id=ben.pk, username="ben", version="1")])
    return Prediction.objects.get(pk=id_)


def masked(inputs: dict) -> set[str]:
    return {name for name, value in inputs.items() if value == masking.MASK}


@pytest.mark.parametrize("role", policy.ROLES)
def test_each_role_sees_others_personal_fields_as_the_table_says(role, spec, others):
    user = make_user(f"role_{role}", role)
    sees_all = role in policy.SCOPES["predictions.see_all"]
    hidden = set() if sees_all else PERSONAL
    assert masked(masking.inputs(others, by=user)) == hidden
    request = SimpleNamespace(user=user)
    assert masked(PredictionSerializer(others, context={"request": request}).data["inputs"]) == hidden
    lines = b"".join(_csv(Prediction.objects.all(), by=user)).decode()
    assert ("male" in lines) is sees_all


@pytest.mark.parametrize("role", policy.ROLES)
def test_ones_own_are_shown_to_every_role(role, spec):
    user, id_ = make_user(f"role_{role}", role), uuid7()
    handle([message(id_, user_id=user.pk, username=user.username, version="1")])
    assert masked(masking.inputs(Prediction.objects.get(pk=id_), by=user)) == set()


def test_without_a_spec_all_of_it_is_masked(others, monkeypatch):
    monkeypatch.setattr(answered, "spec_of", lambda _prediction: None)
    found = masking.inputs(others, by=make_user("vera", policy.VIEWER))
    assert found
    assert masked(found) == set(found)


@pytest.mark.parametrize("text", [json.dumps(SPEC | {"mood": "gone"}), "{", ""])
def test_where_the_spec_cannot_be_read_any_more_all_of_anothers_fields_are_masked(monkeypatch, others, text):
    monkeypatch.setattr(answered, "serving", lambda _prediction: None)
    monkeypatch.setattr(answered.registry, "spec_json", lambda *_names: text)
    assert answered.spec_of(others) is None
    assert masked(masking.inputs(others, by=make_user("cleo", policy.PREDICTOR))) == set(others.inputs)
