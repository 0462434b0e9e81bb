"""What is to be cleared or marked, as it comes from a page's form or address."""

import re
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from core.lib.errors import InvalidRequest
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
    run_on_latest_version = forms.BooleanField(
        required=False,
        label=_("Run the newest code"),
        help_text=_(
            "Else each task runs the version that it ran before, unless the pipeline's author or Airflow's "
            "settings say otherwise."
        ),
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
        names = ("upstream", "downstream", "only_failed")
        chosen = {name: given[name] for name in names}
        chosen |= {"group": given["group"], "tasks": given["tasks"]}
        return Scope(
            given["task"],
            given["map_index"],
            **chosen,
            run_on_latest_version=given["run_on_latest_version"] or None,
        )

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
