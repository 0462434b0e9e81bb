"""Every URL of the console: REST under /api/v1, then pages. No path ends in a slash."""

from django.urls import include, path

from console import openapi, views

console_patterns = [
    path("", views.overview, name="overview"),
    path("overview/health", views.overview_health, name="overview-health"),
    path("health-dot", views.health_dot, name="health-dot"),
    path("search", views.search, name="search"),
    path("system/doctor", views.doctor_page, name="doctor"),
    path("system/doctor/findings", views.doctor_findings, name="doctor-findings"),
    path("livez", views.livez, name="livez"),
    path("readyz", views.readyz, name="readyz"),
    path("metrics", views.metrics_text, name="metrics"),
    path("csp-report", views.csp_report, name="csp-report"),
    path("api/schema", openapi.schema, name="api-schema"),
    path("api/docs", openapi.docs, name="api-docs"),
]

urlpatterns = [
    path("api/v1/", include("console.api_urls")),  # first: else each call would try the 250 pages before it
    path("", include((console_patterns, "console"))),
    path("", include("core.access.urls")),
    path("", include("core.audit.urls")),
    path("", include("core.alerts.urls")),
    path("", include("pipelines.urls")),
    path("", include("models_registry.urls")),
    path("", include("streaming.urls")),
    path("", include("jobs.urls")),
    path("", include("predictions.urls")),
    path("", include("predictions.inference_urls")),
    path("", include("predictions.drift.urls")),
    path("", include("usecases.urls")),
    path("", include("console.demo.urls")),
]

handler400 = "core.lib.error_pages.handler400"
handler403 = "core.lib.error_pages.handler403"
handler404 = "core.lib.error_pages.handler404"
handler500 = "core.lib.error_pages.handler500"
