"""Pages."""

from django.urls import path

from core.audit import views

app_name = "audit"

urlpatterns = [
    path("system/audit", views.entry_list, name="entry-list"),
    path("system/audit/export", views.entry_export, name="entry-export"),
    path("system/audit/<int:pk>", views.entry_detail, name="entry-detail"),
    path("audit/object", views.for_object, name="for-object"),
]
