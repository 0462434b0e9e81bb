"""Which series an expression asks for, and which there are: documented, recorded, Prometheus' own."""

import re
from functools import cache
from pathlib import Path

import yaml

REPO = Path(__file__).parents[3]
# Of Prometheus and Alertmanager themselves, as Debian's releases 2.42 and 0.25 export them.
OF_OTHERS = {
    "up",
    "ALERTS",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "process_resident_memory_bytes",
    "prometheus_rule_evaluation_failures_total",
    "prometheus_notifications_errors_total",
    "prometheus_tsdb_head_series",
    "prometheus_tsdb_storage_blocks_bytes",
    "alertmanager_notifications_failed_total",
    "alertmanager_notifications_total",
    "alertmanager_alerts",
    # of Airflow 3.3 by statsd_exporter 0.28
    "airflow_executor_running_tasks",
    "airflow_executor_queued_tasks",
    "airflow_scheduler_tasks_starving",
    "airflow_dag_processing_import_errors",
    "airflow_ti_finish",
    "airflow_pool_open_slots",
    "airflow_scheduler_scheduler_loop_duration_sum",
    "airflow_scheduler_scheduler_loop_duration_count",
    "airflow_dagrun_first_task_scheduling_delay_sum",
    "airflow_dagrun_first_task_scheduling_delay_count",
}
_ROW = re.compile(r"^\| `(\w+)` \| (\w+) \|", re.M)
_LABELS = re.compile(r"\{[^{}]*\}|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)")
_WORDS = re.compile(r"\"[^\"]*\"|\[[^\]]*\]|\$\w+")
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_:]*")
_FUNCTION_OR_KEYWORD = re.compile(r"\s*\(")
_KEYWORDS = {"and", "or", "unless", "by", "bool", "offset", "inf", "NaN"}


@cache
def series() -> set[str]:
    """Names of all series that our own configuration brings into Prometheus."""
    found = set(OF_OTHERS)
    for name, kind in _ROW.findall((REPO / "docs" / "metrics.md").read_text()):
        ends = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        found |= {f"{name}{end}" for end in ends}
    for path in (REPO / "deploy" / "observability" / "prometheus" / "rules").glob("*.yml"):
        groups = yaml.safe_load(path.read_text())["groups"]
        found |= {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}
    return found


def names_in(expression: str) -> set[str]:
    """Of the series that a PromQL expression asks for."""
    bare = _WORDS.sub(" ", _LABELS.sub(" ", expression))
    found = set()
    for match in _NAME.finditer(bare):
        is_number = match.start() and bare[match.start() - 1].isdigit()
        if not is_number and not _FUNCTION_OR_KEYWORD.match(bare, match.end()):
            found.add(match.group())
    return found - _KEYWORDS


def unknown(expression: str) -> set[str]:
    """Those of them that nobody exports."""
    return names_in(expression) - series()
