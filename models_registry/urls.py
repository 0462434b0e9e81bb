"""Pages and fragments."""

from django.urls import path

from models_registry.views import experiments, registry, versions

app_name = "models"

VERSION = "models/<str:name>/versions/<int:version>"
RUN = "mlflow-runs/<str:run_id>"

urlpatterns = [
    path("models", registry.model_list, name="model-list"),
    path("models/-/champions", registry.champions, name="champions"),
    path("models/-/needs-you", registry.needs_you, name="needs-you"),
    path("models/<str:name>", registry.model_detail, name="model-detail"),
    path("models/<str:name>/policy", registry.policy_set, name="policy-set"),
    path("models/<str:name>/rollback", registry.model_rollback, name="model-rollback"),
    path(VERSION, versions.version_detail, name="version-detail"),
    path(f"{VERSION}/metrics", versions.version_metrics, name="version-metrics"),
    path(f"{VERSION}/artifacts", versions.version_artifacts, name="version-artifacts"),
    path(f"{VERSION}/spec", versions.version_spec, name="version-spec"),
    path(f"{VERSION}/history", versions.version_history, name="version-history"),
    path(f"{VERSION}/gate", versions.version_gate, name="version-gate"),
    path(f"{VERSION}/override", versions.version_override, name="version-override"),
    path(f"{VERSION}/request", versions.version_request, name="version-request"),
    path(f"{VERSION}/archive", versions.version_archive, name="version-archive"),
    path(f"{VERSION}/unarchive", versions.version_unarchive, name="version-unarchive"),
    path("promotions", versions.promotion_list, name="promotion-list"),
    path("promotions/<int:pk>/decide", versions.promotion_decide, name="promotion-decide"),
    path("promotions/<int:pk>/withdraw", versions.promotion_withdraw, name="promotion-withdraw"),
    path("experiments", experiments.experiment_list, name="experiment-list"),
    path("experiments/<str:experiment_id>", experiments.experiment_detail, name="experiment-detail"),
    path(
        "experiments/<str:experiment_id>/compare", experiments.experiment_compare, name="experiment-compare"
    ),
    path("mlflow-runs/by-dag-run", experiments.runs_of_dag_run, name="runs-of-dag-run"),
    path(RUN, experiments.run_detail, name="run-detail"),
    path(f"{RUN}/metric", experiments.run_metric, name="run-metric"),
    path(f"{RUN}/artifacts", experiments.run_artifacts, name="run-artifacts"),
    path(f"{RUN}/pictures", experiments.run_pictures, name="run-pictures"),
    path(f"{RUN}/artifact", experiments.run_artifact, name="run-artifact"),
    path(f"{RUN}/preview", experiments.run_preview, name="run-preview"),
]
