"""What a pipeline that assets start still waits for: changed assets, and partitions."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from core.lib import poll
from core.lib.errors import NotFound
from pipelines import asset_waits, conditions, mirror, sync
from pipelines.asset_answers import Asset as FoundAsset
from pipelines.asset_answers import AssetEvent, QueuedAsset, WaitingPartition
from pipelines.models import Asset, Pipeline
from tests.pipeline_rows import make_pipeline

pytestmark = pytest.mark.django_db
DAG = "taker"
AT = datetime(2026, 3, 1, 8, tzinfo=UTC)


def named(name, kind="asset"):
    return {kind: {"uri": f"s3://{name}", "name": name, "group": "asset"}}


BOTH = {"all": [named("orders"), named("prices")]}


@pytest.fixture
def assets():
    for number, name in enumerate(("orders", "prices", "other"), 1):
        Asset.objects.create(airflow_id=number, name=name, uri=f"s3://{name}")


@pytest.fixture
def pipeline(assets):
    return make_pipeline(DAG, asset_expression=BOTH)


def event(airflow, number, asset_id):
    airflow.found_events.append(
        AssetEvent(number, asset_id, AT + timedelta(minutes=number), "maker", "m", "make", -1, {}, [])
    )


def test_pages_and_rest_say_what_has_changed_and_what_is_missing(page, airflow, pipeline):
    airflow.queues[DAG] = [QueuedAsset(1, AT)]
    sync.sync_asset_events()
    found = page.get(f"/api/v1/pipelines/{DAG}").json()["awaited_assets"]
    assert found == [
        {"name": "orders", "changed_at": "2026-03-01T08:00:00Z"},
        {"name": "prices", "changed_at": None},
    ]
    for url in ("/pipelines", f"/pipelines/{DAG}"):
        assert "1 of 2 assets changed" in page.get(url).text
    text = page.get(f"/pipelines/{DAG}/details").text
    assert "Changed since it last began" in text
    assert "not yet" in text


def test_a_pipeline_that_waits_for_nothing_says_nothing(page, airflow):
    make_pipeline(DAG)
    sync.sync_asset_events()
    assert "queued_assets" not in airflow.calls
    assert page.get(f"/api/v1/pipelines/{DAG}").json()["awaited_assets"] == []
    assert "Changed since" not in page.get(f"/pipelines/{DAG}/details").text


def test_airflow_is_asked_after_an_event_of_its_assets_and_in_turn(airflow, assets):
    """Whatever is looked at: each round one pipeline in turn, beside those of which something happened."""
    for number in range(4):
        make_pipeline(f"other{number}", asset_expression=named("other"))
    make_pipeline(DAG, asset_expression=BOTH)
    sync.sync_asset_events()
    assert airflow.calls.count("queued_assets") == 5
    airflow.calls.clear()
    sync.sync_asset_events()
    assert airflow.calls.count("queued_assets") == 1
    event(airflow, 1, asset_id=2)
    sync.sync_asset_events()
    assert Pipeline.objects.filter(queue_read_at=None).count() == 0
    assert airflow.calls.count("queued_assets") == 3
    airflow.queues[DAG] = [QueuedAsset(2, AT)]
    event(airflow, 2, asset_id=2)
    sync.sync_asset_events()
    assert Pipeline.objects.get(pk=DAG).n_changed_assets == 1


@pytest.mark.parametrize("expression", [named("new"), {"alias": {"name": "all"}}])
def test_airflow_is_asked_again_when_an_asset_comes_to_be_known_after_its_event(airflow, assets, expression):
    for number in range(4):
        make_pipeline(f"other{number}", asset_expression=named("other"))
    make_pipeline(DAG, asset_expression=expression)
    sync.sync_asset_events()
    airflow.queues[DAG] = [QueuedAsset(7, AT)]
    event(airflow, 1, asset_id=7)
    sync.sync_asset_events()
    assert Pipeline.objects.get(pk=DAG).n_changed_assets == 0
    new = FoundAsset(7, "new", "s3://new", "", [], [], AT, ["all"])
    mirror.save_assets([new])
    sync.sync_asset_events()
    assert Pipeline.objects.get(pk=DAG).n_changed_assets == 1
    mirror.save_assets([replace(new, changed_at=AT + timedelta(hours=1))])
    assert not Pipeline.objects.filter(queue_read_at=None).exists()  # of that its event tells


def test_partitioned_pipelines_and_those_that_are_gone_are_not_asked_for(airflow, assets):
    make_pipeline("gone", asset_expression=BOTH, gone_at=AT)
    make_pipeline("parts", asset_expression=BOTH, is_partitioned=True, queued_assets=[{"at": "odd"}])
    sync.sync_asset_events()
    assert "queued_assets" not in airflow.calls
    assert Pipeline.objects.get(pk="parts").awaited_assets == []


def test_one_that_airflow_has_no_more_is_empty(airflow, pipeline, monkeypatch):
    def missing(_dag_id):
        raise NotFound("Dag not found", service="airflow")

    monkeypatch.setattr(airflow, "queued_assets", missing)
    asset_waits.save_queue(pipeline, [QueuedAsset(1, AT)])
    sync.sync_asset_events()
    assert Pipeline.objects.get().n_changed_assets == 0


def change(name, *aliases):
    return {"name": name, "uri": f"s3://{name}", "aliases": list(aliases), "at": AT.isoformat()}


@pytest.mark.parametrize(
    ("expression", "queued", "found"),
    [
        (None, [], []),
        (BOTH, [], [("orders", False), ("prices", False)]),
        ({"any": [BOTH, named("orders")]}, [change("prices")], [("orders", False), ("prices", True)]),
        ({"alias": {"name": "all"}}, [change("a", "all"), change("b", "all")], [("all", True)]),
        ({"asset_ref": {"uri": "s3://a"}}, [change("a")], [("s3://a", True)]),
        ({"asset_ref": {"name": "a"}}, [change("b")], [("a", False), ("b", True)]),
    ],
)
def test_what_is_awaited_stands_in_the_order_of_the_condition(expression, queued, found):
    awaited = conditions.awaited(expression, queued)
    assert [(one.name, one.changed_at is not None) for one in awaited] == found


def test_assets_of_an_alias_are_assets_of_the_pipeline_that_it_starts(page, assets):
    make_pipeline(DAG, asset_expression={"alias": {"name": "all_orders"}})
    found = FoundAsset(1, "orders", "s3://orders", "", [], [], None, ["all_orders"])
    mirror.save_assets([found])
    assert [one["name"] for one in page.get(f"/api/v1/assets?consumer={DAG}").json()["results"]] == ["orders"]
    assert "Assets in" in page.get(f"/pipelines/{DAG}/details").text
    asset = Asset.objects.get()
    assert page.get(f"/api/v1/assets/{asset.pk}").json()["aliases"] == ["all_orders"]
    assert "all_orders" in page.get(f"/assets/{asset.pk}").text


# --- partitions

YEAR = WaitingPartition("parts", "2026", 1, 3, AT)
HOUR = WaitingPartition("parts", "2026-03-01T08", 2, 3, AT - timedelta(hours=1))


@pytest.fixture
def partitioned():
    return make_pipeline("parts", asset_expression=BOTH, is_partitioned=True)


def test_partitions_that_wait_are_listed_the_longest_waiting_first(page, airflow, partitioned):
    airflow.partitions = [YEAR, HOUR, WaitingPartition("unknown here", "x", 0, 1, None)]
    sync.sync_partitions()
    found = page.get("/api/v1/pipelines/parts").json()["waiting_partitions"]
    assert [(one["partition_key"], one["n_received"], one["n_required"]) for one in found] == [
        ("2026-03-01T08", 2, 3),
        ("2026", 1, 3),
    ]
    text = page.get("/pipelines/parts/details").text
    assert "2 of 3 there" in text
    assert "2 partitions wait" in page.get("/pipelines").text
    airflow.partitions = []
    sync.sync_partitions()
    assert Pipeline.objects.get().waiting_partitions == []
    assert airflow.calls == ["waiting_partitions"] * 2


def test_of_many_partitions_the_first_are_kept(page, airflow, partitioned, monkeypatch):
    monkeypatch.setattr(asset_waits, "MOST_PARTITIONS", 12)
    airflow.partitions = [replace(YEAR, partition_key=f"{number:02}") for number in range(20)]
    sync.sync_partitions()
    assert len(Pipeline.objects.get().waiting_partitions) == 12
    assert "and others" in page.get("/pipelines/parts/details").text


def test_what_is_said_of_partitions_goes_with_the_last_pipeline_of_the_kind(airflow, partitioned):
    airflow.partitions = [YEAR]
    sync.sync_partitions()
    assert Pipeline.objects.get().waiting_partitions
    Pipeline.objects.update(is_partitioned=False)
    airflow.partitions = []
    sync.sync_partitions()
    assert Pipeline.objects.get().waiting_partitions == []
    airflow.calls.clear()
    sync.sync_partitions()
    assert airflow.calls == []


def test_where_no_pipeline_is_by_partitions_nobody_asks(airflow, pipeline):
    sync.sync_partitions()
    assert airflow.calls == []
    assert poll.POLLS["pipelines.sync.sync_partitions"].every_s == 30
