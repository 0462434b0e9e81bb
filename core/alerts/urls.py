"""Pages and fragments."""

from django.urls import path

from core.alerts import aside_views, views

app_name = "alerts"

ALERT = "monitoring/alerts/<int:pk>"

urlpatterns = [
    path("monitoring/alerts", views.alert_list, name="alert-list"),
    path("monitoring/alerts/-/acknowledge", views.acknowledge_selected, name="acknowledge-selected"),
    path("monitoring/alerts/-/bell", views.bell, name="bell"),
    path("monitoring/alerts/-/overview-box", views.overview_box, name="overview-box"),
    path("system/set-aside", aside_views.set_aside_list, name="set-aside-list"),
    path(ALERT, views.alert_detail, name="alert-detail"),
    path(f"{ALERT}/acknowledge", views.alert_acknowledge, name="alert-acknowledge"),
    path(f"{ALERT}/mute", views.alert_mute, name="alert-mute"),
    path(f"{ALERT}/resolve", views.alert_resolve, name="alert-resolve"),
]
