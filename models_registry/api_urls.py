"""REST paths, in the namespace `api`."""

from django.urls import path

from models_registry import api, promotion_api

VERSION = "models/<str:name>/versions/<int:version>"
RUN = "mlflow-runs/<str:run_id>"

urlpatterns = [
    path("experiments", api.ExperimentListView.as_view(), name="experiment-list"),
    path(
        "experiments/<str:experiment_id>/runs",
        api.ExperimentRunListView.as_view(),
        name="experiment-run-list",
    ),
    path(RUN, api.MlflowRunDetailView.as_view(), name="mlflow-run-detail"),
    path(f"{RUN}/metrics/<path:key>", api.MlflowRunMetricView.as_view(), name="mlflow-run-metric"),
    path(f"{RUN}/artifacts", api.MlflowRunArtifactsView.as_view(), name="mlflow-run-artifacts"),
    path("models", api.ModelListView.as_view(), name="model-list"),
    path("models/<str:name>", api.ModelDetailView.as_view(), name="model-detail"),
    path("models/<str:name>/versions", api.VersionListView.as_view(), name="version-list"),
    path(VERSION, api.VersionDetailView.as_view(), name="version-detail"),
    path(f"{VERSION}/gate", api.VersionGateView.as_view(), name="version-gate"),
    path(f"{VERSION}/override", api.VersionOverrideView.as_view(), name="version-override"),
    path(f"{VERSION}/archive", api.VersionArchiveView.as_view(), name="version-archive"),
    path(f"{VERSION}/unarchive", api.VersionUnarchiveView.as_view(), name="version-unarchive"),
    path(f"{VERSION}/promotions", promotion_api.VersionPromotionsView.as_view(), name="version-promotions"),
    path("models/<str:name>/history", api.ModelHistoryView.as_view(), name="model-history"),
    path("models/<str:name>/rollback", promotion_api.ModelRollbackView.as_view(), name="model-rollback"),
    path("models/<str:name>/spec", api.ModelSpecView.as_view(), name="model-spec"),
    path("promotions", promotion_api.PromotionListView.as_view(), name="promotion-list"),
    path("promotions/<int:pk>", promotion_api.PromotionDetailView.as_view(), name="promotion-detail"),
    path(
        "promotions/<int:pk>/approve", promotion_api.PromotionApproveView.as_view(), name="promotion-approve"
    ),
    path("promotions/<int:pk>/reject", promotion_api.PromotionRejectView.as_view(), name="promotion-reject"),
    path(
        "promotions/<int:pk>/withdraw",
        promotion_api.PromotionWithdrawView.as_view(),
        name="promotion-withdraw",
    ),
]
