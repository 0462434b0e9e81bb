"""REST paths, in the namespace `api`."""

from django.urls import path

from predictions import api

urlpatterns = [
    path("models/<str:name>/predict", api.ModelPredict.as_view(), name="model-predict"),
    path("models/<str:name>/explain", api.ModelExplain.as_view(), name="model-explain"),
    path("predictions", api.PredictionList.as_view(), name="prediction-list"),
    path("predictions/<uuid:pk>", api.PredictionDetail.as_view(), name="prediction-detail"),
    path("predictions/<uuid:pk>/feedback", api.PredictionFeedback.as_view(), name="prediction-feedback"),
]
