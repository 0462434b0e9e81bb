from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class LibConfig(AppConfig):
    name = "core.lib"
    label = "lib"

    def ready(self) -> None:
        autodiscover_modules("loops")  # every process knows all loops: pages and metrics name them
