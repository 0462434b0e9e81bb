"""Pages."""

from django.urls import path

from predictions import list_views, views
from predictions.batches import views as batches

app_name = "predict"

urlpatterns = [
    path("predict", views.index, name="index"),
    path("predict/<str:model>", views.one, name="one"),
    path("predict/<str:model>/check", views.check, name="check"),
    path("predict/<str:model>/why", views.why, name="why"),
    path("predict/<str:model>/mine", list_views.mine, name="mine"),
    path("predict/<str:model>/mine.csv", list_views.export_mine, name="mine-export"),
    path("predict/<str:model>/api", views.api_help, name="api"),
    path("predict/<str:model>/files", batches.batch_list, name="batch-list"),
    path("predict/<str:model>/files/template.csv", batches.batch_template, name="batch-template"),
    path("predict/<str:model>/files/<uuid:pk>", batches.batch, name="batch"),
    path("predict/<str:model>/files/<uuid:pk>/result.csv", batches.batch_result, name="batch-result"),
    path("predict/<str:model>/files/<uuid:pk>/cancel", batches.batch_cancel, name="batch-cancel"),
    path("predict/<str:model>/files/<uuid:pk>/remove", batches.batch_remove, name="batch-remove"),
    path("predictions", list_views.everybodys, name="list"),
    path("predictions.csv", list_views.export_all, name="list-export"),
    path("predictions/recent", views.recent, name="recent"),
    path("predictions/<uuid:pk>", views.detail, name="detail"),
    path("predictions/<uuid:pk>/why", views.why_recorded, name="why-recorded"),
    path("predictions/<uuid:pk>/feedback", views.feedback, name="feedback"),
    path("predictions/<uuid:pk>/erase", views.erase, name="erase"),
]
