"""One alert for each loop that has set something aside, for as long as anything is."""

from datetime import timedelta
from typing import Final

from django.db.models import Max
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from core.alerts import actions
from core.alerts.models import Alert
from core.alerts.states import UNRESOLVED
from core.lib import aside
from core.lib.models import SetAside

RULE: Final = "set-aside"
# A hiccup that is over by the next try is no alert.
LASTS: Final = timedelta(seconds=30)
MOST_FACTS: Final = 10


def look() -> None:
    """Raise, count and settle; what nobody has tried for a day is forgotten first."""
    aside.forget_untried()
    lasting = SetAside.objects.filter(first_at__lte=timezone.now() - LASTS)
    found = dict(lasting.order_by().values_list("loop").annotate(at=Max("last_at")))
    for alert in Alert.objects.filter(rule=RULE, state__in=UNRESOLVED):
        if alert.subject not in found:
            actions.settle(RULE, alert.subject, reason=_("All of them fit now, or are gone."))
        elif alert.last_found_at >= found[alert.subject]:
            del found[alert.subject]  # nothing was tried since
    for name in found:
        _raise(name)


def _raise(name: str) -> None:
    rows = list(SetAside.objects.filter(loop=name).exclude(key="").order_by("-last_at")[:MOST_FACTS])
    actions.raise_alert(
        RULE,
        subject=name,
        title=_("%(label)s: %(n)d set aside") % {"label": aside.label_of(name), "n": aside.numbers()[name]},
        detail=_(
            "What does not fit is left out and everything else goes on. Each is tried again when it changes, "
            "and from time to time."
        ),
        facts={row.key: row.reason for row in rows},
        url=f"{reverse('alerts:set-aside-list')}?loop={name}",
    )
