"""Pages of channels: the list, one with the log of its notifications, the form, and what may be done."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from core.access.http import SignedInRequest
from core.alerts import channels, mail, queries
from core.alerts.forms import ChannelForm
from core.alerts.models import Channel
from core.alerts.states import ChannelKind, DeliveryState
from core.lib.errors import ConsoleError
from core.lib.htmx import is_htmx
from core.lib.paging import page_of


@require_GET
def channel_list(request: SignedInRequest) -> HttpResponse:
    """All channels, with how their notifications do."""
    values = {"channels": queries.channels(), "has_mail": mail.is_configured()}
    template = "alerts/_channel_table.html" if is_htmx(request) else "alerts/channel_list.html"
    return render(request, template, values)


@require_GET
def channel_detail(request: SignedInRequest, pk: int) -> HttpResponse:
    """One channel, and its log: `?state=` narrows that."""
    return _detail(request, pk)


def _detail(request: SignedInRequest, pk: int, *, secret: str = "", status: int = 200) -> HttpResponse:
    state = request.GET.get("state", "")
    state = state if state in DeliveryState.values else ""
    page = page_of(request, queries.deliveries(pk, state=state))
    values = {
        "channel": queries.channel(pk),
        "secret": secret,
        "has_mail": mail.is_configured(),
        "deliveries": page["rows"],
        "page": page,
        "state": state,
        "states": DeliveryState.choices,
    }
    template = "alerts/_delivery_log.html" if is_htmx(request) else "alerts/channel_detail.html"
    return render(request, template, values, status=status)


@require_http_methods(["GET", "POST"])
def channel_create(request: SignedInRequest) -> HttpResponse:
    """A new one, of the `?kind=` that is asked for. The answer is the only place where its secret stands."""
    kind = request.GET.get("kind", "")
    kind = kind if kind in ChannelKind.values else ChannelKind.WEBHOOK
    form = ChannelForm(kind, request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        try:
            channel, secret = channels.create(kind, by=request.user, **form.cleaned_data)
        except ConsoleError as error:
            form.refuse(error)
        else:
            return _detail(request, channel.pk, secret=secret, status=201)
    return _form(request, form, kind=kind)


@require_http_methods(["GET", "POST"])
def channel_edit(request: SignedInRequest, pk: int) -> HttpResponse:
    """Other values; its kind and its secret stay."""
    channel = queries.channel(pk)
    given = request.POST if request.method == "POST" else None
    form = ChannelForm(channel.kind, given, channel=channel)
    if form.is_bound and form.is_valid():
        try:
            channels.change(pk, by=request.user, **form.cleaned_data)
        except ConsoleError as error:
            form.refuse(error)
        else:
            messages.success(request, _("The channel is changed."))
            return redirect(channel)
    return _form(request, form, kind=channel.kind, channel=channel)


def _form(
    request: SignedInRequest, form: ChannelForm, *, kind: str, channel: Channel | None = None
) -> HttpResponse:
    values: dict[str, Any] = {
        "form": form,
        "kind": kind,
        "channel": channel,
        "kinds": ChannelKind.choices,
        "has_mail": mail.is_configured(),
    }
    return render(request, "alerts/channel_form.html", values, status=422 if form.errors else 200)


@require_POST
def channel_switch(request: SignedInRequest, pk: int) -> HttpResponse:
    """On or off."""
    is_active = request.POST.get("is_active") == "1"
    channel = channels.change(pk, is_active=is_active, by=request.user)
    messages.success(request, _("The channel is on.") if is_active else _("The channel is off."))
    return redirect(channel)


@require_POST
def channel_rotate(request: SignedInRequest, pk: int) -> HttpResponse:
    """A new secret, which stands in this answer alone."""
    _channel, secret = channels.rotate(pk, by=request.user)
    return _detail(request, pk, secret=secret)


@require_POST
def channel_test(request: SignedInRequest, pk: int) -> HttpResponse:
    """Try it out."""
    row = channels.test(pk, by=request.user)
    messages.success(request, _("A test is on its way: the log shows what comes of it."))
    return redirect(row.channel)


@require_POST
def channel_remove(request: SignedInRequest, pk: int) -> HttpResponse:
    """With its log."""
    channels.remove(pk, by=request.user)
    messages.success(request, _("The channel is removed."))
    return redirect("alerts:channel-list")


@require_POST
def delivery_resend(request: SignedInRequest, pk: int, delivery_id: UUID) -> HttpResponse:
    """Once more, under the same id."""
    row = channels.resend(pk, delivery_id, by=request.user)
    messages.success(request, _("It is sent again."))
    return redirect(row.channel)
