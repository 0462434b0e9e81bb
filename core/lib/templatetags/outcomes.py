"""How an outcome is told: the kinds of toast, and the next step after an error."""

from django.utils.translation import gettext_lazy as _

# level of a Django message: kind (the colour) and icon
TOASTS = {
    "debug": ("run", "info"),
    "info": ("run", "info"),
    "success": ("ok", "check"),
    "warning": ("wait", "alert"),
    "error": ("bad", "alert"),
}

NEXT_STEPS = {
    400: _("Go back and check what was sent."),
    403: _("Ask an administrator for the role, or go back."),
    404: _("Check the address, or search with the / key."),
    409: _("Reload the page to see how things are now, then decide."),
    413: _("Send less at once."),
    422: _("Correct the values named above and send them again; nothing was changed."),
    429: _("Wait for the time given, then try again."),
    500: _(
        "This is a fault of the console, and it is in its log. Try again; if it stays, tell an administrator"
        " the number of the request."
    ),
    502: _("An administrator can check the console's credentials for that service."),
    503: _("Try again in a moment. What you see elsewhere is as it was last known."),
}


def next_step(status: int) -> object:
    return NEXT_STEPS.get(status, NEXT_STEPS[500 if status >= 500 else 400])
