"""Pages."""

from django.urls import path

from pipelines import views

app_name = "pipelines"

urlpatterns = [
    path("pipelines", views.pipeline_list, name="pipeline-list"),
    path("pipelines/<str:dag_id>", views.pipeline_detail, name="pipeline-detail"),
    path("pipelines/<str:dag_id>/graph", views.pipeline_graph, name="pipeline-graph"),
    path("pipelines/<str:dag_id>/runs", views.pipeline_runs, name="pipeline-runs"),
    path("pipelines/<str:dag_id>/details", views.pipeline_facts, name="pipeline-facts"),
    path("pipelines/<str:dag_id>/trigger", views.run_trigger, name="run-trigger"),
    path("pipelines/<str:dag_id>/pause", views.pipeline_pause, name="pipeline-pause"),
    path("runs", views.run_list, name="run-list"),
    path("runs/recent", views.recent_runs, name="recent-runs"),
    path("runs/<int:run_id>", views.run_detail, name="run-detail"),
    path("runs/<int:run_id>/log", views.run_log, name="run-log"),
    path("runs/<int:run_id>/cancel", views.run_cancel, name="run-cancel"),
    path("runs/<int:run_id>/clear", views.run_clear, name="run-clear"),
    path("runs/<int:run_id>/tasks/<str:task_id>/log", views.task_log, name="task-log"),
    path("runs/<int:run_id>/tasks/<str:task_id>/log.txt", views.task_log_text, name="task-log-text"),
]
