"""`{% load aside %}`: a line on the page of a thing about which something was set aside."""

from typing import Any

from django import template

from core.lib import aside

register = template.Library()


@register.inclusion_tag("_shared/_set_aside.html", takes_context=True)
def set_aside(context: template.Context, thing: str, name: object) -> dict[str, Any]:
    """What of the thing of this name does not fit; nothing when all does."""
    return {"rows": aside.of_thing(thing, str(name)), "may": context.get("may")}


@register.filter
def loop_label(name: str) -> object:
    """The words of a loop; its name where no app of this release has it any more."""
    return aside.label_of(name)
