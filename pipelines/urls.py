"""Pages."""

from django.urls import path

from pipelines.views import airflow, alert_rules, backfills, changes, inputs, logs, pipelines, runs, tasks

app_name = "pipelines"

urlpatterns = [
    path("airflow", airflow.home, name="airflow"),
    path("pipelines", pipelines.pipeline_list, name="pipeline-list"),
    # Beside the list, not below it: a pipeline may have any name.
    path("pipeline-switches", pipelines.pipeline_switches, name="pipeline-switches"),
    path("import-errors", pipelines.import_fault_list, name="import-fault-list"),
    path("pipelines/<str:dag_id>", pipelines.pipeline_detail, name="pipeline-detail"),
    path("pipelines/<str:dag_id>/graph", pipelines.pipeline_graph, name="pipeline-graph"),
    path("pipelines/<str:dag_id>/runs", pipelines.pipeline_runs, name="pipeline-runs"),
    path("pipelines/<str:dag_id>/durations", pipelines.pipeline_durations, name="pipeline-durations"),
    path("pipelines/<str:dag_id>/code", pipelines.pipeline_code, name="pipeline-code"),
    path("assets", pipelines.asset_list, name="asset-list"),
    path("assets/<int:asset_id>", pipelines.asset_detail, name="asset-detail"),
    path("pipelines/<str:dag_id>/backfills", backfills.pipeline_backfills, name="pipeline-backfills"),
    path("backfills", backfills.backfill_list, name="backfill-list"),
    path("backfills/<int:backfill_id>", backfills.backfill_detail, name="backfill-detail"),
    path("backfills/<int:backfill_id>/pause", backfills.backfill_pause, name="backfill-pause"),
    path("backfills/<int:backfill_id>/unpause", backfills.backfill_unpause, name="backfill-unpause"),
    path("backfills/<int:backfill_id>/cancel", backfills.backfill_cancel, name="backfill-cancel"),
    path("pipelines/<str:dag_id>/details", pipelines.pipeline_facts, name="pipeline-facts"),
    path("pipelines/<str:dag_id>/trigger", runs.run_trigger, name="run-trigger"),
    path("pipelines/<str:dag_id>/trigger/conf", runs.run_conf, name="run-conf"),
    path("presets/<int:preset_id>/remove", runs.preset_remove, name="preset-remove"),
    path("pipelines/<str:dag_id>/pause", pipelines.pipeline_pause, name="pipeline-pause"),
    path("pipelines/<str:dag_id>/airflow", airflow.pipeline, name="pipeline-in-airflow"),
    path("alert-rules", alert_rules.alert_rule_list, name="alert-rule-list"),
    path("alert-rules/new", alert_rules.alert_rule_create, name="alert-rule-create"),
    path("alert-rules/<int:rule_id>", alert_rules.alert_rule_edit, name="alert-rule-edit"),
    path("alert-rules/<int:rule_id>/switch", alert_rules.alert_rule_switch, name="alert-rule-switch"),
    path("alert-rules/<int:rule_id>/remove", alert_rules.alert_rule_remove, name="alert-rule-remove"),
    path("runs", runs.run_list, name="run-list"),
    path("runs/questions", inputs.input_list, name="input-list"),
    path("runs/questions/<int:input_id>", inputs.input_detail, name="input-detail"),
    path("runs/selected", changes.runs_selected, name="runs-selected"),
    path("runs/recent", runs.recent_runs, name="recent-runs"),
    path("runs/by-dag-run", runs.run_by_dag_run, name="run-by-dag-run"),
    path("runs/<int:run_id>", runs.run_detail, name="run-detail"),
    path("runs/<int:run_id>/airflow", airflow.run, name="run-in-airflow"),
    path("runs/<int:run_id>/log", logs.run_log, name="run-log"),
    path("runs/<int:run_id>/failure", runs.run_failure, name="run-failure"),
    path("runs/<int:run_id>/cancel", runs.run_cancel, name="run-cancel"),
    path("runs/<int:run_id>/clear", changes.run_clear, name="run-clear"),
    path("runs/<int:run_id>/clear/preview", changes.run_clear_preview, name="run-clear-preview"),
    path("runs/<int:run_id>/mark", changes.run_mark, name="run-mark"),
    path("runs/<int:run_id>/mark/preview", changes.run_mark_preview, name="run-mark-preview"),
    path("runs/<int:run_id>/withdraw", changes.run_withdraw, name="run-withdraw"),
    path("runs/<int:run_id>/note", changes.run_note, name="run-note"),
    path("runs/<int:run_id>/tasks/<str:task_id>/box", tasks.task_box, name="task-box"),
    path("runs/<int:run_id>/tasks/<str:task_id>/log", logs.task_log, name="task-log"),
    path("runs/<int:run_id>/tasks/<str:task_id>/log.txt", logs.task_log_text, name="task-log-text"),
]
