"""REST paths, in the namespace `api`."""

from django.urls import path

from core.alerts import api, aside_api, channel_api

urlpatterns = [
    path("set-aside", aside_api.SetAsideListView.as_view(), name="set-aside-list"),
    path("alerts", api.AlertListView.as_view(), name="alert-list"),
    path("alerts/prometheus", api.PrometheusView.as_view(), name="alert-prometheus"),
    path("alerts/acknowledge", api.AcknowledgeManyView.as_view(), name="alerts-acknowledge"),
    path("alerts/<int:pk>", api.AlertDetailView.as_view(), name="alert-detail"),
    path("alerts/<int:pk>/acknowledge", api.AcknowledgeView.as_view(), name="alert-acknowledge"),
    path("alerts/<int:pk>/mute", api.MuteView.as_view(), name="alert-mute"),
    path("alerts/<int:pk>/resolve", api.ResolveView.as_view(), name="alert-resolve"),
    path("channels", channel_api.ChannelListView.as_view(), name="channel-list"),
    path("channels/<int:pk>", channel_api.ChannelDetailView.as_view(), name="channel-detail"),
    path("channels/<int:pk>/rotate", channel_api.ChannelRotateView.as_view(), name="channel-rotate"),
    path("channels/<int:pk>/test", channel_api.ChannelTestView.as_view(), name="channel-test"),
    path("channels/<int:pk>/deliveries", channel_api.DeliveryListView.as_view(), name="delivery-list"),
    path(
        "channels/<int:pk>/deliveries/<uuid:delivery_id>/resend",
        channel_api.DeliveryResendView.as_view(),
        name="delivery-resend",
    ),
]
