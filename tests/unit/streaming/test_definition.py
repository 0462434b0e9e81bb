"""What a definition may say, and what its faults are called."""

import copy
from importlib import import_module

import pytest
from django.apps import apps as real_apps

from streaming import defaults
from streaming.definition import DefinitionError, parse
from streaming.models import Stream


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
        ({"fields": []}, "fields: there must be one at least"),
        ({"fields": [{"name": "a", "type": "blob"}]}, "fields[0].type"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_fault_says_where_it_is(values, fault):
    with pytest.raises(DefinitionError) as error:
        parse(changed(**values))
    assert any(fault in one for one in error.value.faults), error.value.faults


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
