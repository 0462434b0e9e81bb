"""Pages."""

from django.urls import URLPattern

app_name = "predict"

urlpatterns: list[URLPattern] = []
