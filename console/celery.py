"""The Celery application; `celery -A console worker` and `celery -A console beat` start from here.

Stop a worker by QUIT: what runs gets a few seconds (`worker_soft_shutdown_timeout`), then goes back to the
queue. TERM waits for the longest task, 20 s at most. Nothing depends on it: every wish is a row that the
sweep sends again.
"""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
# Celery would run Django's checks, which load every page and with them the libraries that score: 2 s, 150 MB.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

app = Celery("console", task_cls="console.workers:ConsoleTask")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
