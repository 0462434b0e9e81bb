from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules

from core.lib import traces


class LibConfig(AppConfig):
    name = "core.lib"
    label = "lib"

    def ready(self) -> None:
        from core.lib import form_words  # it needs Django's forms, which need the apps

        traces.prepare()
        form_words.install()
        autodiscover_modules("loops")  # every process knows all loops: pages and metrics name them
