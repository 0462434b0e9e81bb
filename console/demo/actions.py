"""What people do about the demonstration in the console: close its box."""

from django.db import transaction
from django.utils.translation import gettext as _

from console.demo import taking
from console.demo.models import TOPIC
from core.access import policy
from core.access.models import User
from core.audit import actions as audit
from core.lib import live
from core.lib.errors import Conflict


@transaction.atomic
def dismiss(*, by: User) -> None:
    """Show the box no more. Raises Conflict while the demonstration is at work."""
    policy.check(by, "admin")
    taking.hold()
    found = taking.current()
    if found is None or found.is_dismissed:
        return
    if found.is_walking:
        raise Conflict(_("The demonstration is at work. Wait until it has ended."))
    found.is_dismissed = True
    found.save(update_fields=["is_dismissed"])
    audit.record("demo.dismiss", found, by=by)
    live.publish(TOPIC)
