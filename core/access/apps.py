from django.apps import AppConfig


class AccessConfig(AppConfig):
    name = "core.access"
    label = "access"

    def ready(self) -> None:
        from core.access import signals  # noqa: F401 - its receivers register as it is loaded
