"""The Open Inference Protocol, in the namespace `v2`; `open_inference.PATH` has the same for tokens."""

from django.urls import path

from predictions import inference_api as api

app_name = "v2"
_VERSION = "v2/models/<str:name>/versions/<str:version>"

urlpatterns = [
    path("v2", api.Server.as_view(), name="server"),
    path("v2/health/live", api.Live.as_view(), name="live"),
    path("v2/health/ready", api.Ready.as_view(), name="ready"),
    path("v2/models/<str:name>", api.Model.as_view(), name="model"),
    path("v2/models/<str:name>/ready", api.ModelReady.as_view(), name="model-ready"),
    path("v2/models/<str:name>/infer", api.ModelInfer.as_view(), name="model-infer"),
    path(_VERSION, api.ModelVersion.as_view(), name="version"),
    path(f"{_VERSION}/ready", api.ModelVersionReady.as_view(), name="version-ready"),
    path(f"{_VERSION}/infer", api.ModelVersionInfer.as_view(), name="version-infer"),
]
