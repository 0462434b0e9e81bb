"""Pages and fragments."""

from django.urls import path

from core.alerts import aside_views, channel_views, views

app_name = "alerts"

ALERT = "monitoring/alerts/<int:pk>"
CHANNEL = "monitoring/notifications/<int:pk>"

urlpatterns = [
    path("monitoring/alerts", views.alert_list, name="alert-list"),
    path("monitoring/alerts/-/acknowledge", views.acknowledge_selected, name="acknowledge-selected"),
    path("monitoring/alerts/-/bell", views.bell, name="bell"),
    path("monitoring/alerts/-/overview-box", views.overview_box, name="overview-box"),
    path("monitoring/notifications", channel_views.channel_list, name="channel-list"),
    path("monitoring/notifications/new", channel_views.channel_create, name="channel-create"),
    path(CHANNEL, channel_views.channel_detail, name="channel-detail"),
    path(f"{CHANNEL}/edit", channel_views.channel_edit, name="channel-edit"),
    path(f"{CHANNEL}/switch", channel_views.channel_switch, name="channel-switch"),
    path(f"{CHANNEL}/rotate", channel_views.channel_rotate, name="channel-rotate"),
    path(f"{CHANNEL}/test", channel_views.channel_test, name="channel-test"),
    path(f"{CHANNEL}/remove", channel_views.channel_remove, name="channel-remove"),
    path(
        f"{CHANNEL}/deliveries/<uuid:delivery_id>/resend",
        channel_views.delivery_resend,
        name="delivery-resend",
    ),
    path("system/set-aside", aside_views.set_aside_list, name="set-aside-list"),
    path(ALERT, views.alert_detail, name="alert-detail"),
    path(f"{ALERT}/acknowledge", views.alert_acknowledge, name="alert-acknowledge"),
    path(f"{ALERT}/mute", views.alert_mute, name="alert-mute"),
    path(f"{ALERT}/resolve", views.alert_resolve, name="alert-resolve"),
]
