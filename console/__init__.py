"""The console: the Django project, its page shell, and what joins the apps."""

from console.celery import app as celery_app

__all__ = ["celery_app"]
