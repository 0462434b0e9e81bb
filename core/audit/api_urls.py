"""REST paths, in the namespace `api`."""

from django.urls import path

from core.audit import api

urlpatterns = [
    path("audit", api.EntryList.as_view(), name="audit-list"),
    path("audit/chain", api.ChainDetail.as_view(), name="audit-chain"),
]
