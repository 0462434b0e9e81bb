"""What people write to change topics and groups through pages."""

import base64
from datetime import datetime
from typing import Any, Final

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from core.lib.edge import LARGEST, MomentField
from core.lib.typed import BOX, JSONText, LinesField, Text, WholeField
from streaming import settings_help
from streaming.kafka_types import Read
from streaming.outgoing import ENCODINGS, LARGEST_PARTITION

_TEXT: Final = (("text", gettext_lazy("text")), ("json", "JSON"), ("base64", "base64"))
_CODE: Final = {"rows": 8, "class": "form-control mono", "spellcheck": "false", **BOX}


class NewTopicForm(forms.Form):
    """How a topic is made: its name, its partitions and copies, and settings that are not the brokers'."""

    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=1000,
        help_text=gettext_lazy("Letters, digits, dots, dashes and underscores, at most 249 of them."),
    )
    n_partitions = WholeField(
        label=gettext_lazy("Partitions"),
        initial=1,
        min_value=1,
        max_value=LARGEST_PARTITION,
        help_text=gettext_lazy("So many consumers of a group can read at once. Their number only grows."),
    )
    replication_factor = WholeField(
        label=gettext_lazy("Replicas"),
        required=False,
        min_value=1,
        max_value=2**15 - 1,
        help_text=gettext_lazy("Copies on as many brokers. Leave it empty for the brokers' default."),
    )
    config = LinesField(
        label=gettext_lazy("Settings"),
        nothing=[],
        required=False,
        help_text=gettext_lazy("One a line, such as retention.ms=86400000 or cleanup.policy=compact."),
    )

    def clean_config(self) -> dict[str, str]:
        """By name of the setting."""
        found: dict[str, str] = {}
        for line in self.cleaned_data["config"]:
            key, equals, value = line.partition("=")
            if not equals:
                raise forms.ValidationError(
                    _("Write name=value: “%(line)s” has no “=”.") % {"line": line[:100]}
                )
            if key.strip() in found:
                raise forms.ValidationError(_("“%(name)s” is there twice.") % {"name": key.strip()})
            found[key.strip()] = value.strip()
        return found


class SettingForm(forms.Form):
    """One setting of a topic, set or reset."""

    setting = forms.CharField(
        label=gettext_lazy("Setting"),
        max_length=200,
        widget=forms.TextInput({"list": "setting-names", **BOX}),
    )
    value = forms.CharField(
        label=gettext_lazy("Value"),
        max_length=10_000,
        required=False,
        widget=forms.TextInput(BOX),
        help_text=gettext_lazy("As Kafka writes it: milliseconds, bytes, true or false."),
    )
    names = tuple(settings_help.HELP)


class PartitionsForm(forms.Form):
    """More partitions."""

    n_partitions = WholeField(label=gettext_lazy("Partitions"), min_value=1, max_value=LARGEST_PARTITION)


class DeleteForm(forms.Form):
    """The name of what goes, typed."""

    confirm = forms.CharField(max_length=1000, widget=forms.TextInput(BOX))

    def __init__(self, *args: Any, name: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._name = name
        self.fields["confirm"].label = _("Type %(name)s to confirm") % {"name": name}
        self.fields["confirm"].widget.attrs["data-must-equal"] = name

    def clean_confirm(self) -> str:
        """Without scripts too."""
        if self.cleaned_data["confirm"] != self._name:
            raise forms.ValidationError(_("This is not its name. Type “%(name)s”.") % {"name": self._name})
        return self._name


class PurgeForm(DeleteForm):
    """Up to where messages go."""

    partition = WholeField(
        label=gettext_lazy("Partition"),
        required=False,
        min_value=0,
        max_value=LARGEST_PARTITION,
        help_text=gettext_lazy("Empty for all partitions, with all their messages."),
    )
    offset = WholeField(
        label=gettext_lazy("Before offset"),
        required=False,
        min_value=0,
        max_value=LARGEST,
        help_text=gettext_lazy("Messages before it are deleted; that one stays. Empty for all."),
    )
    field_order = ("partition", "offset", "confirm")

    def clean(self) -> dict[str, Any]:
        """An offset is one of a partition."""
        values = super().clean() or {}
        if values.get("offset") is not None and values.get("partition") is None:
            self.add_error("partition", _("Say of which partition: each has offsets of its own."))
        return values

    def before(self, ends: dict[int, int]) -> dict[int, int] | None:
        """As the action takes it; None for all."""
        partition, offset = self.cleaned_data["partition"], self.cleaned_data["offset"]
        if partition is None:
            return None
        return {partition: ends.get(partition, 0) if offset is None else offset}


class MessageForm(forms.Form):
    """What is written to a topic by hand: key, value and headers, and to which partition."""

    key = Text(label=gettext_lazy("Key"), required=False, widget=forms.TextInput(BOX))
    key_encoding = forms.ChoiceField(label=gettext_lazy("Key is"), choices=_TEXT, initial="text")
    has_key = forms.BooleanField(
        label=gettext_lazy("Send an empty key as a key"),
        required=False,
        help_text=gettext_lazy("Else an empty box means: no key."),
    )
    value = Text(label=gettext_lazy("Value"), required=False, widget=forms.Textarea(_CODE))
    value_encoding = forms.ChoiceField(label=gettext_lazy("Value is"), choices=_TEXT, initial="text")
    is_tombstone = forms.BooleanField(
        label=gettext_lazy("Tombstone: send null, not an empty value"),
        required=False,
        help_text=gettext_lazy("In a compacted topic it deletes the key."),
    )
    headers = JSONText(
        label=gettext_lazy("Headers"),
        required=False,
        help_text=gettext_lazy(
            'JSON: {"trace": "a1"}, or [{"name": "trace", "value": "YTE=", "encoding": "base64"}].'
        ),
    )
    partition = WholeField(
        label=gettext_lazy("Partition"),
        required=False,
        min_value=0,
        max_value=LARGEST_PARTITION,
        help_text=gettext_lazy("Empty: as the key says, as Java's clients choose it."),
    )
    timestamp = MomentField(label=gettext_lazy("Time"), help_text=gettext_lazy("Empty: now."))

    def clean_headers(self) -> list[Any]:
        """A list, whichever way they were written."""
        found = self.cleaned_data["headers"]
        if isinstance(found, dict):
            return [{"name": name, "value": value} for name, value in found.items()]
        return found if isinstance(found, list) else []

    def clean(self) -> dict[str, Any]:
        """JSON is read here, where its fault has a field."""
        values = super().clean() or {}
        for name in ("key", "value"):
            if values.get(f"{name}_encoding") == "json" and values.get(name):
                try:
                    values[f"{name}_json"] = JSONText().to_python(values[name])
                except forms.ValidationError as error:
                    self.add_error(name, error)
        return values

    def message(self) -> dict[str, Any]:
        """As REST takes it."""
        values = self.cleaned_data
        at: datetime | None = values["timestamp"]
        return {
            "key": self._part("key") if values["key"] or values["has_key"] else None,
            "key_encoding": self._encoding("key"),
            "value": None if values["is_tombstone"] else self._part("value"),
            "value_encoding": self._encoding("value"),
            "headers": values["headers"],
            "partition": values["partition"],
            "timestamp": None if at is None else at.isoformat(),
        }

    def _part(self, name: str) -> Any:
        found = self.cleaned_data.get(f"{name}_json")
        return self.cleaned_data[name] if found is None else found

    def _encoding(self, name: str) -> str:
        """A null that JSON writes is sent as its text: a tombstone is ticked."""
        encoding: str = self.cleaned_data[f"{name}_encoding"]
        has_json = self.cleaned_data.get(f"{name}_json") is not None
        return "text" if encoding == "json" and not has_json else encoding


class OffsetsForm(forms.Form):
    """Where a group goes on."""

    topic = forms.CharField(
        label=gettext_lazy("Topic"), max_length=249, widget=forms.TextInput({"list": "group-topics", **BOX})
    )
    partitions = forms.CharField(
        label=gettext_lazy("Partitions"),
        required=False,
        max_length=1000,
        widget=forms.TextInput(BOX),
        help_text=gettext_lazy("Numbers, such as 0, 3. Empty for all."),
    )
    kind = forms.ChoiceField(
        label=gettext_lazy("Go on at"),
        choices=(
            ("earliest", gettext_lazy("the first message there is")),
            ("latest", gettext_lazy("the end: only what comes from now on")),
            ("time", gettext_lazy("the first message since a time")),
            ("offset", gettext_lazy("an offset")),
            ("shift", gettext_lazy("so many messages further, or back where negative")),
        ),
    )
    value = WholeField(
        label=gettext_lazy("Offset, or how many"), required=False, min_value=-LARGEST, max_value=LARGEST
    )
    at = MomentField(label=gettext_lazy("Time"))

    def clean_partitions(self) -> list[int] | None:
        """None for all."""
        words = self.cleaned_data["partitions"].replace(",", " ").split()
        if any(not (word.isascii() and word.isdecimal() and len(word) < 10) for word in words):
            raise forms.ValidationError(_("Write numbers of partitions, such as 0, 3."))
        return [int(word) for word in words] or None

    def clean(self) -> dict[str, Any]:
        """The number or the time that the choice needs."""
        values = super().clean() or {}
        kind, value = values.get("kind"), values.get("value")
        if kind in ("offset", "shift") and value is None and "value" not in self.errors:
            self.add_error("value", _("This is required: fill it in."))
        if kind == "offset" and value is not None and value < 0:
            self.add_error("value", _("An offset is 0 or more."))
        if kind == "time" and values.get("at") is None and "at" not in self.errors:
            self.add_error("at", _("This is required: fill it in."))
        return values


def as_typed(read: Read) -> dict[str, Any]:
    """A message that was read, as the form shows it: to be sent again."""
    key, key_encoding = _shown(read.key, is_line=True)
    value, value_encoding = _shown(read.value)
    headers = []
    for name, data in read.headers:
        text, encoding = _shown(data)
        headers.append({"name": name, "value": None if data is None else text, "encoding": encoding})
    return {
        "key": key,
        "key_encoding": key_encoding,
        "has_key": read.key == b"",
        "value": value,
        "value_encoding": value_encoding,
        "is_tombstone": read.value is None,
        "headers": headers or None,
        "partition": read.partition,
    }


def _shown(data: bytes | None, *, is_line: bool = False) -> tuple[str, str]:
    """Text where a browser gives every byte of it back, else base64. is_line: in a box of one line."""
    try:
        text = (data or b"").decode()
    except UnicodeDecodeError:
        text = "\r"
    if any(lost in text for lost in ("\r\x00\n" if is_line else "\r\x00")):
        return base64.b64encode(data or b"").decode(), ENCODINGS[-1]
    return text, ENCODINGS[0]
