"""REST paths, in the namespace `api`."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
