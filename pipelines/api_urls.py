"""REST paths, in the namespace `api`."""

from django.urls import path

from pipelines import alert_rule_api, api, backfill_api, list_api, run_api, task_api

TASK = "runs/<int:run_id>/tasks/<str:task_id>"

urlpatterns = [
    path("pipelines", list_api.PipelineListView.as_view(), name="pipeline-list"),
    path("pipeline-switches", api.PipelineSwitchesView.as_view(), name="pipeline-switches"),
    path("import-errors", api.ImportFaultListView.as_view(), name="import-fault-list"),
    path("pipelines/<str:dag_id>", api.PipelineDetailView.as_view(), name="pipeline-detail"),
    path("pipelines/<str:dag_id>/runs", list_api.PipelineRunListView.as_view(), name="pipeline-run-list"),
    path("pipelines/<str:dag_id>/presets", api.PresetListView.as_view(), name="preset-list"),
    path("presets/<int:preset_id>", api.PresetDetailView.as_view(), name="preset-detail"),
    path("pipelines/<str:dag_id>/durations", api.PipelineDurationsView.as_view(), name="pipeline-durations"),
    path("pipelines/<str:dag_id>/source", api.PipelineSourceView.as_view(), name="pipeline-source"),
    path(
        "pipelines/<str:dag_id>/backfills",
        backfill_api.PipelineBackfillListView.as_view(),
        name="pipeline-backfill-list",
    ),
    path(
        "pipelines/<str:dag_id>/backfills/preview",
        backfill_api.BackfillPreviewView.as_view(),
        name="backfill-preview",
    ),
    path("backfills", backfill_api.BackfillListView.as_view(), name="backfill-list"),
    path("backfills/<int:backfill_id>", backfill_api.BackfillDetailView.as_view(), name="backfill-detail"),
    path(
        "backfills/<int:backfill_id>/pause", backfill_api.BackfillPauseView.as_view(), name="backfill-pause"
    ),
    path(
        "backfills/<int:backfill_id>/unpause",
        backfill_api.BackfillUnpauseView.as_view(),
        name="backfill-unpause",
    ),
    path(
        "backfills/<int:backfill_id>/cancel",
        backfill_api.BackfillCancelView.as_view(),
        name="backfill-cancel",
    ),
    path("assets", api.AssetListView.as_view(), name="asset-list"),
    path("assets/<int:asset_id>", api.AssetDetailView.as_view(), name="asset-detail"),
    path("assets/<int:asset_id>/events", api.AssetEventListView.as_view(), name="asset-event-list"),
    path("alert-rules", alert_rule_api.AlertRuleListView.as_view(), name="alert-rule-list"),
    path("alert-rules/preview", alert_rule_api.AlertRulePreviewView.as_view(), name="alert-rule-preview"),
    path("alert-rules/<int:rule_id>", alert_rule_api.AlertRuleDetailView.as_view(), name="alert-rule-detail"),
    path("runs", list_api.RunListView.as_view(), name="run-list"),
    path("runs/selected", run_api.RunsSelectedView.as_view(), name="runs-selected"),
    path("runs/questions", task_api.InputListView.as_view(), name="input-list"),
    path("runs/questions/<int:input_id>", task_api.InputDetailView.as_view(), name="input-detail"),
    path("runs/questions/<int:input_id>/answer", task_api.InputAnswerView.as_view(), name="input-answer"),
    path("runs/<int:run_id>", run_api.RunDetailView.as_view(), name="run-detail"),
    path("runs/<int:run_id>/failure", run_api.RunFailureView.as_view(), name="run-failure"),
    path("runs/<int:run_id>/asset-events", run_api.RunAssetEventsView.as_view(), name="run-asset-events"),
    path("runs/<int:run_id>/cancel", run_api.RunCancelView.as_view(), name="run-cancel"),
    path("runs/<int:run_id>/clear", run_api.RunClearView.as_view(), name="run-clear"),
    path("runs/<int:run_id>/mark", run_api.RunMarkView.as_view(), name="run-mark"),
    path("runs/<int:run_id>/withdraw", run_api.RunWithdrawView.as_view(), name="run-withdraw"),
    path("runs/<int:run_id>/tasks", task_api.RunTaskListView.as_view(), name="run-task-list"),
    path(f"{TASK}/log", task_api.TaskLogView.as_view(), name="task-log"),
    path(f"{TASK}/tries", task_api.TaskTriesView.as_view(), name="task-tries"),
    path(f"{TASK}/details", task_api.TaskDetailsView.as_view(), name="task-details"),
    path(f"{TASK}/xcoms", task_api.TaskXComsView.as_view(), name="task-xcoms"),
    path(f"{TASK}/rendered", task_api.TaskRenderedView.as_view(), name="task-rendered"),
]
