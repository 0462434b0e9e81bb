"""What is to be cleared or marked, as it comes from a page's form or address."""

import re
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from core.lib.errors import InvalidRequest
from pipelines.models import LONGEST_NOTE
from pipelines.scope import MOST_NAMED, Scope
from pipelines.states import MARKS

_ALL = "*"
_INDEX = re.compile(r"-1|[0-9]{1,9}|\*")


class NamedTasks(forms.Field):
    """Several tasks, each as "<map index> <task id>"; -1 for one that is not mapped, * for all instances."""

    widget = hidden_widget = forms.MultipleHiddenInput

    def clean(self, value: Any) -> tuple[tuple[str, int | None], ...]:
        """Raises ValidationError."""
        found = []
        for text in value or []:
            index, _space, task_id = str(text).partition(" ")
            if not _INDEX.fullmatch(index) or not 0 < len(task_id) <= 250 or "\x00" in task_id:
                raise forms.ValidationError(_("These are no tasks."))
            found.append((task_id, None if index == _ALL else int(index)))
        if len(found) > MOST_NAMED:
            raise forms.ValidationError(_("Name 100 tasks at most, or their group."))
        return tuple(dict.fromkeys(found))


class ScopeForm(forms.Form):
    """Which tasks of a run; nothing given is the whole run."""

    task = forms.CharField(required=False, max_length=250, widget=forms.HiddenInput)
    map_index = forms.IntegerField(
        required=False, min_value=-1, max_value=2**31 - 1, widget=forms.HiddenInput
    )
    group = forms.CharField(required=False, max_length=250, widget=forms.HiddenInput)
    tasks = NamedTasks(required=False)
    upstream = forms.BooleanField(required=False, label=_("With the tasks before it"))
    downstream = forms.BooleanField(required=False, label=_("With the tasks after it"))
    only_failed = forms.BooleanField(
        required=False, label=_("Only those that failed or that a failure stopped")
    )
    run_on_latest_version = forms.TypedChoiceField(
        required=False,
        label=_("Code"),
        choices=[
            ("", _("as the pipeline's author or Airflow's settings have it")),
            ("true", _("the newest version")),
            ("false", _("the version that ran")),
        ],
        coerce={"true": True, "false": False}.get,
        empty_value=None,
    )
    past = forms.BooleanField(required=False, label=_("In runs of earlier dates too"))
    future = forms.BooleanField(required=False, label=_("In runs of later dates too"))
    only_new = forms.BooleanField(
        required=False, label=_("Only tasks that a newer version has and this run has not")
    )
    prevent_running = forms.BooleanField(
        required=False, label=_("Refuse while one of them is running, instead of stopping it")
    )
    note = forms.CharField(
        required=False,
        max_length=LONGEST_NOTE,
        label=_("Note"),
        widget=forms.Textarea(attrs={"rows": 2}),
    )

    def clean(self) -> dict[str, Any]:
        """One of the three ways to name tasks."""
        given = super().clean() or {}
        if sum(bool(given.get(name)) for name in ("task", "group", "tasks")) > 1:
            self.add_error("task", _("Give a task, several, or a group: one of the three."))
        return given

    def scope(self) -> Scope:
        """Raises InvalidRequest."""
        self.check_all()
        given = self.cleaned_data
        chosen = {name: given[name] for name in Scope.__match_args__ if name in given}
        note = given["note"].replace("\r\n", "\n").strip()
        return Scope(given["task"], **{**chosen, "note": note})

    def check_all(self) -> None:
        """Raises InvalidRequest with every fault."""
        if self.is_valid():
            return
        faults = [
            {"field": name, "message": " ".join(map(str, words))} for name, words in self.errors.items()
        ]
        words = " ".join(f"{fault['field']}: {fault['message']}" for fault in faults)
        raise InvalidRequest(words, errors=faults)


class MarkForm(ScopeForm):
    """Which tasks, and the state that they are to have."""

    state = forms.ChoiceField(choices=[(state, state) for state in MARKS])
