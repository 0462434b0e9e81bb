"""Pages and fragments."""

from django.urls import path

from predictions.drift import views

app_name = "drift"

MODEL = "monitoring/drift/<str:model>"

urlpatterns = [
    path("monitoring/drift", views.model_list, name="model-list"),
    path(MODEL, views.model_detail, name="model-detail"),
    path(f"{MODEL}/filling", views.model_filling, name="model-filling"),
    path(f"{MODEL}/box", views.model_box, name="model-box"),
    path(f"{MODEL}/rules", views.model_rules, name="model-rules"),
    path(f"{MODEL}/<int:pk>", views.window_detail, name="window-detail"),
    path(f"{MODEL}/<int:pk>/evidence", views.window_evidence, name="window-evidence"),
]
