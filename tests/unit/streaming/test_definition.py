"""What a definition may say, and what its faults are called."""

import copy
from importlib import import_module

import pytest
from django.apps import apps as real_apps

from streaming import defaults
from streaming.definition import DefinitionError, parse
from streaming.models import Stream

RULE = {"kind": "threshold", "field": "fare_amount", "limit": 1}


def changed(**values):
    return {**copy.deepcopy(defaults.TAXI_TRIPS), **values}


def test_the_default_streams_are_right():
    assert parse(defaults.TAXI_TRIPS).measured_fields == ["fare_amount", "tip_amount", "trip_distance"]
    assert parse(defaults.PREDICTIONS).window_s == 10


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"event_time_field": "no"}, "event_time_field: 'no' is not a field"),
        ({"event_time_field": "fare_amount"}, "event_time_field: must be text"),
        ({"group_by": "no"}, "group_by: 'no' is not a field"),
        ({"window_s": 0}, "window_s: must be 1 to 86400 seconds"),
        ({"lateness_s": -1}, "lateness_s: must be 0 to"),
        ({"measures": [{"name": "m", "kind": "sum", "field": "no"}]}, "measures (m): 'no' is not a field"),
        ({"measures": [{"name": "m", "kind": "sum", "field": "vendor_id"}]}, "vendor_id is text, no number"),
        ({"measures": [{"name": "m", "kind": "median", "field": "fare_amount"}]}, "measures[0].kind"),
        ({"measures": [{"name": "1 2", "kind": "sum", "field": "fare_amount"}]}, "only letters, digits"),
        ({"fields": [{"name": 'a"b', "type": "text"}]}, "fields: name 'a\"b': quotation marks"),
        ({"fields": [{"name": "a\\b", "type": "text"}]}, "quotation marks and backslashes are not possible"),
        ({"fields": [{"name": "a\nb", "type": "text"}]}, "it holds a control character"),
        ({"fields": [{"name": " ", "type": "text"}]}, "fields: name ' ': it is empty"),
        ({"fields": []}, "fields: there must be one at least"),
        ({"fields": [{"name": "a", "type": "blob"}]}, "fields[0].type"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_fault_says_where_it_is(values, fault):
    with pytest.raises(DefinitionError) as error:
        parse(changed(**values))
    assert any(fault in one for one in error.value.faults), error.value.faults


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ({"kind": "guess", "field": "fare_amount"}, "anomaly_rule.kind"),
        ({"kind": "threshold", "limit": 1}, "field"),
        ({"kind": "threshold", "field": "no", "limit": 1}, "'no' is not a field"),
        ({"kind": "threshold", "field": "vendor_id", "limit": 1}, "vendor_id is text, no number"),
        ({"kind": "threshold", "field": "fare_amount"}, "give a limit"),
        ({"kind": "threshold", "field": "fare_amount", "limit": "ten"}, "anomaly_rule.limit"),
        ({"kind": "threshold", "field": "fare_amount", "limit": float("nan")}, "finite numbers"),
        (
            {"kind": "threshold", "field": "fare_amount", "limit": 1, "n": 50},
            "n is no part of a rule of kind",
        ),
        ({"kind": "model", "field": "tip_amount"}, "give the name of a model"),
        ({"kind": "model", "field": "tip_amount", "model": " "}, "give the name of a model"),
        ({"kind": "model", "field": "tip_amount", "model": "m", "sigma": 0}, "sigma and k must be above 0"),
        ({"kind": "model", "field": "tip_amount", "model": "m", "k": -1}, "sigma and k must be above 0"),
        ({"kind": "model", "field": "tip_amount", "model": "m", "limit": 1}, "limit is no part of a rule"),
        ({"kind": "robust_z", "field": "tip_amount", "n": 29}, "n must be 30 to 5000"),
        ({"kind": "robust_z", "field": "tip_amount", "n": 5001}, "n must be 30 to 5000"),
        ({"kind": "robust_z", "field": "tip_amount", "surprise": 1}, "surprise"),
        ([], "anomaly_rule"),
    ],
)
def test_a_fault_of_a_rule_says_where_it_is(rule, fault):
    with pytest.raises(DefinitionError) as error:
        parse(changed(anomaly_rule=rule))
    assert any("anomaly_rule" in one and fault in one for one in error.value.faults), error.value.faults


def test_a_rule_is_optional_and_has_defaults():
    assert parse(changed(anomaly_rule=None)).anomaly_rule is None
    rule = parse(changed(anomaly_rule={"kind": "robust_z", "field": "tip_amount"})).anomaly_rule
    assert (rule.k, rule.n) == (2.8, 500)
    assert parse(changed(anomaly_rule=None)).shape == parse(changed(anomaly_rule={**RULE})).shape


def test_what_is_no_object_is_refused():
    with pytest.raises(DefinitionError):
        parse([1])


@pytest.mark.django_db
def test_the_default_streams_come_with_the_migration_and_go_with_it():
    migration = import_module("streaming.migrations.0002_default_streams")
    assert set(Stream.objects.values_list("name", flat=True)) == {"predictions", "taxi_trips"}
    migration.remove(real_apps, None)
    assert not Stream.objects.exists()
    migration.add(real_apps, None)
    assert Stream.objects.get(name="taxi_trips").parsed.window_s == 10
