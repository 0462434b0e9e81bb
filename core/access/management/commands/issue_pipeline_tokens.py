"""`manage.py issue_pipeline_tokens`: the pipelines' accounts, and the file of their tokens."""

from typing import Any

from django.core.management.base import BaseCommand

from core.access import principals


class Command(BaseCommand):
    help = "Make sure that each pipeline has an account and a live token in CONSOLE_PIPELINE_TOKENS."

    def handle(self, *_args: Any, **_options: Any) -> None:
        for name in principals.issue_tokens():
            self.stderr.write(f"New token for {name}")
