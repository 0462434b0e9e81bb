"""The Celery application; `celery -A console worker` and `celery -A console beat` start from here.

TERM ends a worker within seconds: what runs is given `worker_soft_shutdown_timeout`, then goes back to the
queue. Nothing depends on it, since every wish is a row that the sweep sends again.
"""

import os

# Read by Celery when it is imported: TERM shall mean the soft shutdown, not "wait for the longest task".
os.environ.setdefault("REMAP_SIGTERM", "SIGQUIT")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

from celery import Celery

app = Celery("console", task_cls="console.workers:ConsoleTask")
app.config_from_object("django.conf:settings", namespace="CELERY")
# Minutes of work; everything else is a short call and goes to the default queue.
app.conf.task_routes = {
    "models_registry.tasks.run_gate": {"queue": "heavy"},
    "pipelines.tasks.copy_log": {"queue": "heavy"},
}
app.autodiscover_tasks()
