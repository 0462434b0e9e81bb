"""REST paths, in the namespace `api`."""

from django.urls import path

from predictions import api
from predictions.batches import api as batch_api
from predictions.drift import api as drift_api

urlpatterns = [
    path("models/<str:name>/predict", api.ModelPredict.as_view(), name="model-predict"),
    path("models/<str:name>/invocations", api.ModelInvocations.as_view(), name="model-invocations"),
    path("models/<str:name>/explain", api.ModelExplain.as_view(), name="model-explain"),
    path("models/<str:name>/drift", drift_api.ModelDrift.as_view(), name="model-drift"),
    path("models/<str:name>/drift/rules", drift_api.ModelDriftRules.as_view(), name="model-drift-rules"),
    path("models/<str:name>/batches", batch_api.BatchList.as_view(), name="batch-list"),
    path("models/<str:name>/batches/<uuid:pk>", batch_api.BatchDetail.as_view(), name="batch-detail"),
    path("models/<str:name>/batches/<uuid:pk>/result", batch_api.BatchResult.as_view(), name="batch-result"),
    path("models/<str:name>/batches/<uuid:pk>/cancel", batch_api.BatchCancel.as_view(), name="batch-cancel"),
    path("predictions", api.PredictionList.as_view(), name="prediction-list"),
    path("predictions/<uuid:pk>", api.PredictionDetail.as_view(), name="prediction-detail"),
    path("predictions/<uuid:pk>/feedback", api.PredictionFeedback.as_view(), name="prediction-feedback"),
]
