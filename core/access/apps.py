from django.apps import AppConfig


class AccessConfig(AppConfig):
    name = "core.access"
    label = "access"

    def ready(self) -> None:
        from core.access import policy, signals  # noqa: F401 - its receivers register as it is loaded
        from core.audit import visibility

        visibility.decide_by(policy.check_object)
