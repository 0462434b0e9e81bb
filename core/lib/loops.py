"""The loop that every app's wishes go through."""

from datetime import timedelta

from django.utils.translation import gettext_lazy as _

from core.lib.aside import Loop

KINDS = Loop("lib.outbox-kinds", _("Kinds of wishes to send again"), longest_retry=timedelta(minutes=1))
WISHES = Loop("lib.outbox", _("Wishes that a worker could not carry out"))
