"""What the worker does by the clock."""

from celery import shared_task
from django.core.management import call_command

from core.access import limits, principals


@shared_task
def renew_pipeline_tokens() -> list[str]:
    """Pipelines' tokens are renewed long before they end, also while the stack runs for months."""
    return principals.issue_tokens()


@shared_task
def clear_sessions() -> None:
    """Sessions that have ended, and failed sign-ins that count no more, are removed from the database."""
    call_command("clearsessions")
    limits.clear_old()
