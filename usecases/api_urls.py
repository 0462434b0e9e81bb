"""REST paths, in the namespace `api`."""

from django.urls import path

from usecases import api

urlpatterns = [
    path("usecases", api.UseCaseListView.as_view(), name="usecase-list"),
    path("usecases/<str:name>", api.UseCaseDetailView.as_view(), name="usecase-detail"),
    path("usecases/<str:name>/batches", api.BatchListView.as_view(), name="usecase-batch-list"),
    path(
        "usecases/<str:name>/batches/<int:batch_id>/rejected",
        api.RejectedListView.as_view(),
        name="usecase-rejected-list",
    ),
    path("usecases/<str:name>/decisions", api.DecisionListView.as_view(), name="usecase-decision-list"),
    path("features/<str:entity>/<path:id>", api.FeaturesView.as_view(), name="features"),
    path("usecases/<str:name>/load-tests", api.LoadTestListView.as_view(), name="usecase-load-test-list"),
]
