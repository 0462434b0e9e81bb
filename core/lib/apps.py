from django.apps import AppConfig


class LibConfig(AppConfig):
    name = "core.lib"
    label = "lib"
