"""Create the topics that the console needs, and carry changed days of keeping to those that exist.

Else what exists stays as it is.
"""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.lib import topic_days
from core.lib.errors import ConsoleError


class Command(BaseCommand):
    help = (
        "Create the Kafka topics that the console needs, where they are missing; apply settings that have "
        "changed of how long their messages are kept."
    )

    def handle(self, *_args: Any, **_options: Any) -> None:
        try:
            made = topic_days.ensure()
            changes = topic_days.apply()
        except ConsoleError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"created {', '.join(made)}" if made else "all topics are there")
        for change in changes:
            self._say(change)

    def _say(self, change: topic_days.Change) -> None:
        topic, days = change.topic, topic_days.in_days(change.topic.retention_ms)
        if change.error:
            self.stderr.write(
                f"{topic.name}: Kafka refuses to keep messages {days} ({topic.kept}): {change.error}. "
                "The next call tries again."
            )
        else:
            before = topic_days.in_days(change.before_ms)
            self.stdout.write(f"{topic.name}: messages are kept {days}, before: {before} ({topic.kept})")
