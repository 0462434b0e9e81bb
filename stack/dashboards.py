"""Grafana's dashboards, made from what is written here: `make dashboards` writes them, a test compares them.

By hand each would be hundreds of lines of JSON, in which nobody sees a panel that asks for what is gone.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from stack.config import REPO

FOLDER: Final = REPO / "deploy" / "observability" / "grafana" / "dashboards"
DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS: Final = 24
HEIGHT: Final = {"stat": 4, "timeseries": 8, "bargauge": 8}
# Of Grafana: https://grafana.com/docs/grafana/latest/panels-visualizations/configure-standard-options
SECONDS, SHARE, A_SECOND, NUMBER, BYTES = "s", "percentunit", "cps", "short", "bytes"


@dataclass(frozen=True)
class Panel:
    """One chart. series: legend and PromQL of each; a legend may name labels, `{{part}}`.

    is_stepped: whether the line holds its value until the next, as a version does.
    """

    title: str
    unit: str
    series: tuple[tuple[str, str], ...]
    words: str = ""
    kind: str = "timeseries"
    width: int = 12
    is_stepped: bool = False

    def drawn(self, number: int, place: dict[str, int]) -> dict[str, Any]:
        """As Grafana reads it. number: its id on the dashboard."""
        custom: dict[str, Any] = {"fillOpacity": 8, "showPoints": "never"}
        if self.is_stepped:
            custom["lineInterpolation"] = "stepAfter"
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.words,
            "datasource": DATASOURCE,
            "gridPos": place,
            "fieldConfig": {
                "defaults": {"unit": self.unit, "custom": custom if self.kind == "timeseries" else {}},
                "overrides": [],
            },
            "options": _OPTIONS[self.kind],
            "targets": [
                {
                    "refId": chr(ord("A") + index),
                    "datasource": DATASOURCE,
                    "expr": expression,
                    "legendFormat": legend,
                    "instant": self.kind == "bargauge",
                    "range": self.kind != "bargauge",
                }
                for index, (legend, expression) in enumerate(self.series)
            ],
        }


_LAST = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {"reduceOptions": _LAST, "colorMode": "value", "graphMode": "area"},
    "bargauge": {"reduceOptions": _LAST, "orientation": "horizontal", "displayMode": "basic"},
}


@dataclass(frozen=True)
class Dashboard:
    """A page of panels, from left to right and from top to bottom."""

    uid: str
    title: str
    panels: tuple[Panel, ...]

    def drawn(self) -> dict[str, Any]:
        """As Grafana imports it."""
        choice = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
        return {
            "uid": self.uid,
            "title": self.title,
            "tags": ["atalaya"],
            "schemaVersion": 38,
            "editable": False,
            "refresh": "30s",
            "time": {"from": "now-1h", "to": "now"},
            "timezone": "browser",
            "templating": {"list": [choice]},
            "links": [
                {
                    "type": "dashboards",
                    "tags": ["atalaya"],
                    "title": "Atalaya",
                    "asDropdown": True,
                    "keepTime": True,
                }
            ],
            "panels": [
                panel.drawn(number, place)
                for number, (panel, place) in enumerate(_placed(self.panels), start=1)
            ],
        }


def _placed(panels: Iterable[Panel]) -> Iterator[tuple[Panel, dict[str, int]]]:
    """Each panel and where it goes; a row is as high as the highest in it."""
    x = y = row_height = 0
    for panel in panels:
        height = HEIGHT[panel.kind]
        if x + panel.width > COLUMNS:
            x, y, row_height = 0, y + row_height, 0
        yield panel, {"x": x, "y": y, "w": panel.width, "h": height}
        x, row_height = x + panel.width, max(row_height, height)


def _one(title: str, unit: str, expression: str, words: str = "") -> Panel:
    """A single number, with how it went."""
    return Panel(title, unit, ((title, expression),), words, kind="stat", width=6)


def _quantiles(metric: str) -> tuple[tuple[str, str], ...]:
    """Half, nineteen of twenty, 99 of 100."""
    return tuple(
        (f"{share:g} %", f"histogram_quantile({share / 100:g}, sum by (le) (rate({metric}_bucket[5m])))")
        for share in (50, 95, 99)
    )


def _rate(metric: str, *, by: str = "", of: str = "") -> str:
    counted = f"rate({metric}{of}[5m])"
    return f"sum by ({by}) ({counted})" if by else f"sum({counted})"


def _mean(metric: str, *, by: str) -> str:
    return f"sum by ({by}) (rate({metric}_sum[5m])) / (sum by ({by}) (rate({metric}_count[5m])) > 0)"


HTTP, TASK, POLL = "console_http_answer_seconds", "console_task_run_seconds", "console_poll_run_seconds"
PREDICT, PRODUCE = "console_predict_answer_seconds", "console_kafka_produce_seconds"

# What is of all (rows, queues, parts) every web process tells alike: the largest or smallest is taken, so
# that two of them do not make twice as many. What a process counts of its own is added up.
DASHBOARDS: Final = (
    Dashboard(
        "atalaya-overview",
        "Atalaya: overview",
        (
            _one(
                "Parts that are not well",
                NUMBER,
                "count(min by (part) (console_part_healthy) == 0) or vector(0)",
            ),
            _one("Unresolved alerts", NUMBER, "sum(max by (severity) (console_alert_unresolved_count))"),
            _one("Predictions a second", A_SECOND, _rate("console_predict_score_rows_total")),
            _one("Pages and calls that fail", SHARE, "console:http_errors:share5m"),
            Panel(
                "Parts",
                NUMBER,
                (("{{part}}", "min by (part) (console_part_healthy)"),),
                "1 is well.",
                "bargauge",
            ),
            Panel(
                "Alerts by severity",
                NUMBER,
                (("{{severity}}", "max by (severity) (console_alert_unresolved_count)"),),
                is_stepped=True,
            ),
            Panel(
                "Pages and REST calls",
                A_SECOND,
                (("{{status}}", _rate(f"{HTTP}_count", by="status")), ("all", "console:http_answers:rate5m")),
            ),
            Panel(
                "Time until they are answered",
                SECONDS,
                (
                    *_quantiles(HTTP)[:1],
                    ("95 %", "console:http_answer_seconds:p95_5m"),
                    *_quantiles(HTTP)[2:],
                ),
            ),
            Panel(
                "Slowest views",
                SECONDS,
                (
                    (
                        "{{view}}",
                        f"topk(10, {_mean(HTTP, by='view')})",
                    ),
                ),
                "Mean of five minutes.",
                "bargauge",
            ),
            Panel("Live sockets", NUMBER, (("open", "sum(console_socket_open_count)"),), width=12),
            Panel(
                "Live messages",
                A_SECOND,
                (
                    ("sent", _rate("console_socket_send_messages_total")),
                    ("replaced by newer ones", _rate("console_socket_drop_messages_total")),
                    ("not sent, Redis away", _rate("console_live_lose_messages_total")),
                ),
            ),
            Panel(
                "What browsers and callers do wrong",
                A_SECOND,
                (
                    ("violations of the CSP", _rate("console_csp_report_total")),
                    ("Idempotency-Key: {{outcome}}", _rate("console_idempotency_decide_total", by="outcome")),
                ),
            ),
        ),
    ),
    Dashboard(
        "atalaya-serving",
        "Atalaya: serving",
        (
            _one("Calls a second", A_SECOND, "console:predict_answers:rate5m"),
            _one("Rows a second", A_SECOND, _rate("console_predict_score_rows_total")),
            _one("Calls that fail", SHARE, "console:predict_errors:share5m", "Answers of 5xx."),
            _one("95 % answered within", SECONDS, "console:predict_answer_seconds:p95_5m"),
            Panel("Time to answer", SECONDS, _quantiles(PREDICT)),
            Panel(
                "Rows of files",
                A_SECOND,
                (("{{outcome}}", _rate("console_batch_answer_rows_total", by="outcome")),),
            ),
            Panel(
                "Files of rows that end",
                A_SECOND,
                (("{{state}}", _rate("console_batch_end_batches_total", by="state")),),
            ),
            Panel(
                "Time until Kafka acknowledges",
                SECONDS,
                _quantiles(PRODUCE),
                "Part of the time to answer: no answer is given before.",
            ),
            Panel(
                "Answers by status",
                A_SECOND,
                (("{{status}}", _rate("console_predict_answer_calls_total", by="status")),),
            ),
            Panel(
                "Rows in flight",
                NUMBER,
                (("being answered", "sum(console_predict_flight_rows)"),),
                "Beyond CONSOLE_SERVING_MAX_IN_FLIGHT a process answers 429.",
            ),
            Panel(
                "Version that serves",
                "none",
                (("{{model}}", "max by (model) (console_model_champion_version)"),),
                "A step is a promotion or a rollback.",
                is_stepped=True,
            ),
            Panel(
                "Recorder",
                A_SECOND,
                (
                    ("rows written", _rate("console_recorder_write_rows_total")),
                    ("messages that are no record", _rate("console_recorder_skip_messages_total")),
                ),
            ),
        ),
    ),
    Dashboard(
        "atalaya-drift",
        "Atalaya: drift",
        (
            _one(
                "Models whose last window drifted",
                NUMBER,
                "count(max by (model) (console_drift_move_columns) > 0) or vector(0)",
            ),
            _one("Oldest last window", SECONDS, "max(console_drift_age_seconds)"),
            _one("Promotions to decide", NUMBER, "max(console_promotion_wait_requests)"),
            _one(
                "Models that serve",
                NUMBER,
                "count(max by (model) (console_model_champion_version)) or vector(0)",
            ),
            Panel(
                "Drifted columns of the last window",
                NUMBER,
                (("{{model}}", "max by (model) (console_drift_move_columns)"),),
                "Significant, and large enough to count.",
                is_stepped=True,
            ),
            Panel(
                "Predictions in the last window",
                NUMBER,
                (("{{model}}", "max by (model) (console_drift_judge_rows)"),),
                is_stepped=True,
            ),
            Panel(
                "Time since a window was judged",
                SECONDS,
                (("{{model}}", "max by (model) (console_drift_age_seconds)"),),
                "It grows while too few predictions come in.",
                width=24,
            ),
        ),
    ),
    Dashboard(
        "atalaya-pipelines",
        "Atalaya: pipelines",
        (
            _one("Runs that go on", NUMBER, "sum(max by (state) (console_run_open_runs))"),
            _one(
                "Failed within the hour",
                NUMBER,
                'sum(max by (state) (console_run_end_runs{state="failed"}))',
            ),
            _one(
                "Succeeded within the hour",
                NUMBER,
                'sum(max by (state) (console_run_end_runs{state="success"}))',
            ),
            _one("Polls that fail", SHARE, "max(console:poll_errors:share5m)", "The worst of them."),
            Panel(
                "Open runs by state",
                NUMBER,
                (("{{state}}", "max by (state) (console_run_open_runs)"),),
                is_stepped=True,
            ),
            Panel(
                "Runs that ended within the hour",
                NUMBER,
                (("{{state}}", "max by (state) (console_run_end_runs)"),),
                is_stepped=True,
            ),
            Panel(
                "Time of a poll",
                SECONDS,
                (
                    (
                        "{{poll}}",
                        _mean(POLL, by="poll"),
                    ),
                ),
                "Mean; what watch asks of Airflow, MLflow and Kafka.",
            ),
            Panel("Polls", A_SECOND, (("{{outcome}}", _rate(f"{POLL}_count", by="outcome")),)),
        ),
    ),
    Dashboard(
        "atalaya-airflow",
        "Atalaya: Airflow's own metrics",
        (
            _one("Tasks that run", NUMBER, "sum(airflow_executor_running_tasks)"),
            _one("Tasks in the executor's queue", NUMBER, "sum(airflow_executor_queued_tasks)"),
            _one(
                "Tasks without a place",
                NUMBER,
                "sum(airflow_scheduler_tasks_starving)",
                "Ready, but their pool has no slot.",
            ),
            _one("DAG files that cannot be read", NUMBER, "max(airflow_dag_processing_import_errors)"),
            Panel("Tasks that end", A_SECOND, (("{{state}}", _rate("airflow_ti_finish", by="state")),)),
            Panel(
                "Free slots by pool",
                NUMBER,
                (("{{pool_name}}", "min by (pool_name) (airflow_pool_open_slots)"),),
            ),
            Panel(
                "Round of the scheduler",
                SECONDS,
                (
                    (
                        "mean",
                        "sum(rate(airflow_scheduler_scheduler_loop_duration_sum[5m]))"
                        " / (sum(rate(airflow_scheduler_scheduler_loop_duration_count[5m])) > 0)",
                    ),
                ),
            ),
            Panel(
                "From a run's time to its first task",
                SECONDS,
                (("{{dag_id}}", _mean("airflow_dagrun_first_task_scheduling_delay", by="dag_id")),),
                "Mean; of runs by schedule.",
            ),
        ),
    ),
    Dashboard(
        "atalaya-streams",
        "Atalaya: streams and lag",
        (
            _one("Messages that wait in all", NUMBER, "sum(max by (part) (console_part_wait_messages))"),
            _one("The oldest waits for", SECONDS, "max(console_part_wait_seconds)"),
            _one("Streams that stand still", NUMBER, "sum(max by (part) (console_part_stuck_count))"),
            _one("Messages refused", SHARE, "console:stream_refused:share15m", "Of all, in 15 minutes."),
            Panel(
                "Messages that wait", NUMBER, (("{{part}}", "max by (part) (console_part_wait_messages)"),)
            ),
            Panel("Age of the oldest", SECONDS, (("{{part}}", "max by (part) (console_part_wait_seconds)"),)),
            Panel(
                "Messages",
                A_SECOND,
                (
                    ("counted", _rate("console_stream_count_events_total")),
                    ("refused", _rate("console_stream_refuse_messages_total")),
                ),
            ),
            Panel("Time to write windows and offsets", SECONDS, _quantiles("console_stream_write_seconds")),
            Panel(
                "Anomaly rules",
                A_SECOND,
                (
                    ("anomalies", _rate("console_stream_find_anomalies_total")),
                    ("not judged", _rate("console_stream_pass_over_events_total")),
                ),
            ),
            Panel("Lines replayed", A_SECOND, (("lines", _rate("console_replay_send_lines_total")),)),
        ),
    ),
    Dashboard(
        "atalaya-jobs",
        "Atalaya: jobs and tasks",
        (
            _one(
                "Jobs that run",
                NUMBER,
                'sum(max by (state) (console_job_open_jobs{state=~"starting|running"}))',
            ),
            _one("Jobs that wait", NUMBER, 'sum(max by (state) (console_job_open_jobs{state="queued"}))'),
            _one(
                "Jobs that failed in an hour",
                NUMBER,
                'sum(increase(console_job_end_jobs_total{state=~"failed|lost"}[1h]))',
            ),
            _one("Tasks that wait", NUMBER, "sum(max by (queue) (console_task_wait_messages))"),
            Panel(
                "Open jobs by state",
                NUMBER,
                (("{{state}}", "max by (state) (console_job_open_jobs)"),),
                is_stepped=True,
            ),
            Panel(
                "Jobs that ended in an hour",
                NUMBER,
                (("{{state}}", "sum by (state) (increase(console_job_end_jobs_total[1h]))"),),
            ),
            Panel(
                "Waiting tasks by queue",
                NUMBER,
                (("{{queue}}", "max by (queue) (console_task_wait_messages)"),),
            ),
            Panel("Tasks", A_SECOND, (("{{outcome}}", _rate(f"{TASK}_count", by="outcome")),)),
            Panel(
                "Tasks that take longest",
                SECONDS,
                (
                    (
                        "{{task}}",
                        f"topk(10, {_mean(TASK, by='task')})",
                    ),
                ),
                "Mean of five minutes.",
                "bargauge",
            ),
            Panel(
                "Tasks that fail",
                SHARE,
                (("{{task}}", "console:task_errors:share15m"),),
                "Of all runs of the task, in 15 minutes.",
            ),
            Panel(
                "Wishes sent again",
                A_SECOND,
                (
                    ("rows that the sweep sent", _rate("console_outbox_sweep_rows_total")),
                    ("tasks lost, broker away", _rate("console_task_lose_messages_total")),
                ),
                width=24,
            ),
            Panel(
                "Notifications",
                A_SECOND,
                (
                    (
                        "{{kind}}, {{outcome}}",
                        _rate("console_notification_try_messages_total", by="kind, outcome"),
                    ),
                ),
                "Tries to deliver them.",
            ),
            Panel(
                "Notifications that wait",
                NUMBER,
                (("{{kind}}", "max by (kind) (console_notification_wait_messages)"),),
                is_stepped=True,
            ),
            Panel(
                "Oldest notification that waits",
                SECONDS,
                (("{{kind}}", "max by (kind) (console_notification_wait_seconds)"),),
                width=24,
            ),
        ),
    ),
    Dashboard(
        "atalaya-stack",
        "Atalaya: the stack itself",
        (
            _one("Targets that do not answer", NUMBER, "count(up == 0) or vector(0)"),
            _one("Alerts that fire", NUMBER, 'count(ALERTS{alertstate="firing"}) or vector(0)'),
            _one("Series", NUMBER, "prometheus_tsdb_head_series", "In memory."),
            _one(
                "Alerts not delivered",
                A_SECOND,
                "sum(rate(prometheus_notifications_errors_total[5m]))",
                "From Prometheus to Alertmanager.",
            ),
            Panel(
                "Parts",
                NUMBER,
                (("{{part}}", "min by (part) (console_part_healthy)"),),
                "1 is well.",
                is_stepped=True,
            ),
            Panel(
                "Items set aside",
                NUMBER,
                (("{{loop}}", "max by (loop) (console_items_set_aside) > 0"),),
                is_stepped=True,
            ),
            Panel("Targets", NUMBER, (("{{job}}", "up"),), "1 answers.", is_stepped=True),
            Panel(
                "Connections",
                NUMBER,
                (
                    ("PostgreSQL", "max(console_postgres_open_connections)"),
                    ("PostgreSQL allows", "max(console_postgres_allow_connections)"),
                    ("Redis", "max(console_redis_open_connections)"),
                ),
            ),
            Panel(
                "Size",
                BYTES,
                (
                    ("the console's database", "max(console_postgres_size_bytes)"),
                    ("Redis", "max(console_redis_memory_bytes)"),
                ),
            ),
            Panel(
                "Kafka",
                NUMBER,
                (
                    ("brokers", "max(console_kafka_answer_brokers)"),
                    ("partitions with a replica that lags", "max(console_kafka_lag_partitions)"),
                    ("partitions without a leader", "max(console_kafka_leaderless_partitions)"),
                ),
                is_stepped=True,
            ),
            Panel(
                "Airflow's last sign of life",
                SECONDS,
                (("{{component}}", "max by (component) (console_airflow_heartbeat_seconds)"),),
            ),
            Panel("Time of a scrape", SECONDS, (("{{job}}", "scrape_duration_seconds"),)),
            Panel("Memory of Prometheus' own", BYTES, (("{{job}}", "process_resident_memory_bytes"),)),
            Panel(
                "Notifications of Alertmanager",
                A_SECOND,
                (
                    ("{{integration}}", _rate("alertmanager_notifications_total", by="integration")),
                    (
                        "{{integration}}, failed",
                        _rate("alertmanager_notifications_failed_total", by="integration"),
                    ),
                ),
            ),
        ),
    ),
)


def files() -> dict[str, str]:
    """Name and content of each file."""
    return {
        f"{dashboard.uid}.json": json.dumps(dashboard.drawn(), indent=1, ensure_ascii=False) + "\n"
        for dashboard in DASHBOARDS
    }


def write() -> None:
    """Bring the folder up to what is written here."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path in FOLDER.glob("*.json"):
        path.unlink()
    for name, text in files().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    write()
