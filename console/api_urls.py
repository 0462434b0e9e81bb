"""REST, version 1: one namespace, each app's paths in its own `api_urls.py`."""

from django.urls import include, path

app_name = "api"

urlpatterns = [
    path("", include("core.access.api_urls")),
    path("", include("core.audit.api_urls")),
    path("", include("core.alerts.api_urls")),
    path("", include("pipelines.api_urls")),
    path("", include("models_registry.api_urls")),
    path("", include("streaming.api_urls")),
    path("", include("jobs.api_urls")),
    path("", include("predictions.api_urls")),
    path("", include("usecases.api_urls")),
]
