"""The demonstration's box on the overview."""

from django.urls import path

from console.demo import views

app_name = "demo"

urlpatterns = [
    path("demo/box", views.box, name="box"),
    path("demo/dismiss", views.dismiss, name="dismiss"),
]
