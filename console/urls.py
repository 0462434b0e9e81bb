"""Every URL of the console: pages first, then REST under /api/v1. No path ends in a slash."""

from django.urls import include, path

from console import views

console_patterns = [
    path("", views.overview, name="overview"),
]

urlpatterns = [
    path("", include((console_patterns, "console"))),
    path("", include("console.access.urls")),
    path("", include("console.audit.urls")),
    path("", include("pipelines.urls")),
    path("", include("models_registry.urls")),
    path("", include("predictions.urls")),
    path("api/v1/", include("console.api_urls")),
]
