"""What is to be cleared or marked, as it comes from a page's form or address."""

from django import forms
from django.utils.translation import gettext_lazy as _

from core.lib.errors import InvalidRequest
from pipelines.actions import MARKS
from pipelines.scope import Scope


class ScopeForm(forms.Form):
    """Which tasks of a run; nothing given is the whole run."""

    task = forms.CharField(required=False, max_length=250, widget=forms.HiddenInput)
    map_index = forms.IntegerField(
        required=False, min_value=-1, max_value=2**31 - 1, widget=forms.HiddenInput
    )
    upstream = forms.BooleanField(required=False, label=_("With the tasks before it"))
    downstream = forms.BooleanField(required=False, label=_("With the tasks after it"))
    only_failed = forms.BooleanField(
        required=False, label=_("Only those that failed or that a failure stopped")
    )
    newest_code = forms.BooleanField(
        required=False,
        label=_("Run the newest code"),
        help_text=_(
            "Else each task runs the version that it ran before, unless the pipeline's author or Airflow's "
            "settings say otherwise."
        ),
    )

    def scope(self) -> Scope:
        """Raises InvalidRequest."""
        self.check_all()
        given = self.cleaned_data
        names = ("upstream", "downstream", "only_failed")
        chosen = {name: given[name] for name in names}
        return Scope(given["task"], given["map_index"], **chosen, newest_code=given["newest_code"] or None)

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
