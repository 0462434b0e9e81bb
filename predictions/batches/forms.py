"""The form that takes a file."""

from django import forms
from django.utils.translation import gettext_lazy as _


class UploadForm(forms.Form):
    """A file of rows."""

    file = forms.FileField(
        label=_("File"),
        help_text=_("CSV or Parquet, with a column for each field of the model."),
        widget=forms.FileInput(
            attrs={
                "accept": ".csv,.tsv,.txt,.parquet,text/csv,application/vnd.apache.parquet",
            }
        ),
        error_messages={"required": _("Choose a file."), "empty": _("The file is empty.")},
    )
