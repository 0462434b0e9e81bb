"""Pages that change topics: each is a plain form, and says what Kafka said at the field that it is about."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST

from core.access.http import SignedInRequest
from core.lib import edge
from core.lib.errors import Conflict, InvalidRequest, NotFound
from streaming import gateway, outgoing, protection, reading, topic_actions, topic_admin
from streaming.topic_forms import (
    DeleteForm,
    MessageForm,
    NewTopicForm,
    PartitionsForm,
    PurgeForm,
    SettingForm,
    as_typed,
)
from streaming.topic_views import about


@require_http_methods(["GET", "POST"])
def topic_create(request: SignedInRequest) -> HttpResponse:
    """A new topic."""
    form = NewTopicForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            topic = topic_actions.create_topic(**form.cleaned_data, by=request.user)
        except (InvalidRequest, Conflict) as error:
            _show(form, error)
        else:
            messages.success(request, _("The topic “%(name)s” is created.") % {"name": topic.name})
            return redirect("streams:topic-detail", name=topic.name)
    return _page(request, "topic_create", {}, form)


@require_http_methods(["GET", "POST"])
def topic_config(request: SignedInRequest, name: str) -> HttpResponse:
    """Its settings, and the form that sets or resets one."""
    is_sent = request.method == "POST"
    form = SettingForm(request.POST) if is_sent else SettingForm(initial=_now(request, name))
    if request.method == "POST" and form.is_valid():
        setting, value = form.cleaned_data["setting"], form.cleaned_data["value"]
        change = {setting: None if "reset" in request.POST else value}
        try:
            topic_actions.change_topic(name, config=change, by=request.user)
        except (InvalidRequest, Conflict) as error:
            _show(form, error, config="value")
        else:
            _say_changed(request, setting, value)
            return redirect("streams:topic-config", name=name)
    return _page(request, "topic_config", _config(name, PartitionsForm()), form)


def _now(request: SignedInRequest, name: str) -> dict[str, str]:
    """What the form starts with: the setting that is asked for, and the value that it has, all of it."""
    asked = request.GET.get("setting", "")
    if not asked:
        return {}
    found = topic_admin.connect().settings(reading.topic_name(name))
    return {"setting": asked, "value": next((one.value or "" for one in found if one.name == asked), "")}


def _config(name: str, more: PartitionsForm) -> dict[str, Any]:
    return {**about(name), "more": more, "keys_move": topic_actions.keys_move()}


def _say_changed(request: SignedInRequest, setting: str, value: str) -> None:
    if "reset" in request.POST:
        messages.success(request, _("%(setting)s has its default again.") % {"setting": setting})
    else:
        words = {"setting": setting, "value": Truncator(value).chars(100)}
        messages.success(request, _("%(setting)s is %(value)s now.") % words)


@require_POST
def topic_partitions(request: SignedInRequest, name: str) -> HttpResponse:
    """More partitions."""
    more = PartitionsForm(request.POST)
    if more.is_valid():
        n_partitions = more.cleaned_data["n_partitions"]
        try:
            topic_actions.change_topic(name, n_partitions=n_partitions, config={}, by=request.user)
        except (InvalidRequest, Conflict) as error:
            _show(more, error)
        else:
            messages.success(request, _("The topic has %(n)d partitions now.") % {"n": n_partitions})
            return redirect("streams:topic-detail", name=name)
    values = {**_config(name, more), "form": SettingForm()}
    return render(request, "streaming/topic_config.html", values, status=422)


@require_http_methods(["GET", "POST"])
def topic_produce(request: SignedInRequest, name: str) -> HttpResponse:
    """One message to send; with `from` as one that lies in the topic, whose sender may see what it holds."""
    values = about(name)
    if request.method == "GET":
        return _page(request, "topic_produce", values, MessageForm(initial=_again(request, name)))
    form = MessageForm(request.POST)
    if form.is_valid():
        try:
            [sent] = topic_actions.produce(name, [outgoing.read(form.message())], by=request.user)
        except (InvalidRequest, Conflict) as error:
            _show(form, error)
        else:
            if sent.error:
                messages.warning(request, sent.error)
            else:
                place = {"place": f"{sent.partition}:{sent.offset}"}
                messages.success(request, _("The message is at %(place)s.") % place)
            return redirect("streams:topic-detail", name=name)
    return _page(request, "topic_produce", values, form)


def _again(request: SignedInRequest, name: str) -> dict[str, Any]:
    """What the form starts with."""
    place = request.GET.get("from", "")
    if not place:
        return {}
    reading.check_may_read(request.user, name)
    start = reading.start(place)
    if start.kind != "offset":
        raise edge.refused("from", _("Write partition:offset, like 0:120."))
    found = gateway.connect().message(name, start.partition, start.offset)
    if found is None:
        raise NotFound(_("Kafka no longer holds the message: it grew too old, or the topic was deleted."))
    if found.has_odd_names:
        messages.warning(request, _("Names of its headers are no UTF-8, so the message has none here."))
    return as_typed(found)


@require_http_methods(["GET", "POST"])
def topic_purge(request: SignedInRequest, name: str) -> HttpResponse:
    """Which messages go, and the button."""
    values = {**about(name), "kept": protection.why_not_emptied(name)}
    values["topic"] = topic = gateway.connect().topic(name)
    form = PurgeForm(request.POST if request.method == "POST" else None, name=name)
    if request.method == "POST" and form.is_valid():
        before = form.before({number: high for number, (_low, high) in topic.ranges.items()})
        try:
            found = topic_actions.purge_topic(name, before=before, by=request.user)
        except (InvalidRequest, Conflict) as error:
            _show(form, error, offsets="offset")
        else:
            for one in found:
                if one.error:
                    words = {"n": one.partition, "error": one.error}
                    messages.warning(request, _("Partition %(n)d is not purged: %(error)s") % words)
            n_purged = sum(not one.error for one in found)
            done = ngettext("%(n)d partition is purged.", "%(n)d partitions are purged.", n_purged)
            messages.success(request, done % {"n": n_purged})
            return redirect("streams:topic-detail", name=name)
    return _page(request, "topic_purge", values, form)


@require_http_methods(["GET", "POST"])
def topic_delete(request: SignedInRequest, name: str) -> HttpResponse:
    """What goes with the topic, and the button."""
    values = {**about(name), "kept": protection.why_not_emptied(name)}
    form = DeleteForm(request.POST if request.method == "POST" else None, name=name)
    if request.method == "POST" and form.is_valid():
        try:
            topic_actions.delete_topic(name, by=request.user)
        except (InvalidRequest, Conflict) as error:
            _show(form, error)
        else:
            messages.success(request, _("The topic “%(name)s” is deleted.") % {"name": name})
            return redirect("streams:topic-list")
    if not values["kept"]:
        values["topic"] = gateway.connect().topic(name)
    return _page(request, "topic_delete", values, form)


def _page(request: SignedInRequest, template: str, values: dict[str, Any], form: forms.Form) -> HttpResponse:
    status = 422 if form.errors else 200
    return render(request, f"streaming/{template}.html", {**values, "form": form}, status=status)


def _show(form: forms.Form, error: InvalidRequest | Conflict, **fields: str) -> None:
    """At the field that it is about, by the name that it has here; else above the form."""
    faults = error.errors or [{"field": "", "message": error.message}]
    for fault in faults:
        name = str(fault.get("field", "")).partition(".")[0]
        name = fields.get(name, name)
        form.add_error(name if name in form.fields else None, fault["message"])
