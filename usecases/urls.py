"""Pages and fragments."""

from django.urls import path

from usecases import views

app_name = "usecases"

USECASE = "usecases/<str:name>"

urlpatterns = [
    path("usecases", views.usecase_list, name="usecase-list"),
    path(USECASE, views.usecase_detail, name="usecase-detail"),
    path(f"{USECASE}/batches", views.batch_list, name="batch-list"),
    path(f"{USECASE}/batches/<int:batch_id>", views.batch_detail, name="batch-detail"),
    path(f"{USECASE}/decisions", views.decision_list, name="decision-list"),
    path(f"{USECASE}/features", views.feature_list, name="feature-list"),
    path(f"{USECASE}/outliers", views.outliers, name="outliers"),
    path(f"{USECASE}/load-tests", views.load_test_list, name="load-test-list"),
]
