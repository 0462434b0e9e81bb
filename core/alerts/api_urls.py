"""REST paths, in the namespace `api`."""

from django.urls import path

from core.alerts import api, aside_api

urlpatterns = [
    path("set-aside", aside_api.SetAsideListView.as_view(), name="set-aside-list"),
    path("alerts", api.AlertListView.as_view(), name="alert-list"),
    path("alerts/prometheus", api.PrometheusView.as_view(), name="alert-prometheus"),
    path("alerts/<int:pk>", api.AlertDetailView.as_view(), name="alert-detail"),
    path("alerts/<int:pk>/acknowledge", api.AcknowledgeView.as_view(), name="alert-acknowledge"),
    path("alerts/<int:pk>/mute", api.MuteView.as_view(), name="alert-mute"),
    path("alerts/<int:pk>/resolve", api.ResolveView.as_view(), name="alert-resolve"),
]
