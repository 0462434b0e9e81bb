"""Tasks that run once a day, on an installation that is switched off at night or deployed anew every day too.

Beat keeps its times in memory: an interval of a day would begin anew with each of its starts. So it only
asks every minute what is overdue, and when each task was last started is a row.
"""

from datetime import timedelta
from typing import Final

import structlog
from celery import current_app, shared_task
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from core.lib.models import DailyTask

log = structlog.get_logger(__name__)

EVERY: Final = timedelta(days=1)
CLOCKS_DIFFER: Final = timedelta(hours=1)  # a start further ahead than this was noted by a wrong clock


@shared_task(expires=60)
def start_due() -> list[str]:
    """Start each of `settings.CONSOLE_DAILY_TASKS` whose last start is a day ago; returns their names."""
    started = [name for name in settings.CONSOLE_DAILY_TASKS if _start(name)]
    if started:
        log.info("daily.started", tasks=started)
    return started


@transaction.atomic
def _start(name: str) -> bool:
    """False when it is not due. What cannot be sent is not noted as started."""
    now = timezone.now()
    _row, is_new = DailyTask.objects.get_or_create(name=name, defaults={"started_at": now})
    lately = (now - EVERY, now + CLOCKS_DIFFER)
    others = DailyTask.objects.filter(name=name).exclude(started_at__range=lately)
    is_due = is_new or bool(others.update(started_at=now))
    if is_due:
        current_app.tasks[name].delay()
    return is_due
