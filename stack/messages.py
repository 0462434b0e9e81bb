"""`make messages`: what pages and errors say, from the sources into the catalogue, and its compiled form.

Needs no gettext programs. New strings arrive in `locale/es/LC_MESSAGES/django.po` empty, for a person to
translate; what no source says any more goes. Django reads the `.mo`, which is committed beside it.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import polib
from django.utils.translation import templatize

from stack.config import REPO

CATALOGUE = REPO / "locale" / "es" / "LC_MESSAGES" / "django.po"
# Where nothing is shown to people, or in Airflow only.
LEFT_OUT = {
    "benchmarks",
    "build",
    "dags",
    "dist",
    "docs",
    "locale",
    "requirements",
    "stack",
    "tests",
    "var",
}
# How many of a call's first arguments are words.
N_WORDS = {"_": 1, "gettext": 1, "gettext_lazy": 1, "gettext_noop": 1, "ngettext": 2, "ngettext_lazy": 2}
_WORDS = r"u?('(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\")"
_WITH_CONTEXT = re.compile(r"n?pgettext(?:_lazy)?")
_CALL = re.compile(rf"\b(_|n?gettext)\(\s*{_WORDS}(?:\s*,\s*{_WORDS})?")
_PLACEHOLDER = re.compile(r"%\(\w+\)[sdfr]|%%|\{\w*\}|&\w+;|</?\w+")


class Message(NamedTuple):
    """One visible string, as written in the source."""

    text: str
    plural: str = ""


def extracted(root: Path = REPO) -> dict[Message, list[str]]:
    """Every string marked for translation, with the files that say it."""
    found: dict[Message, list[str]] = {}
    for path in _source_files(root):
        name = path.relative_to(root).as_posix()
        for message in _messages_of(path):
            files = found.setdefault(message, [])
            if name not in files:
                files.append(name)
    return _one_each(found)


def faults(catalogue: polib.POFile, messages: dict[Message, list[str]]) -> list[str]:
    """What keeps a catalogue from saying these strings: missing, fuzzy, unknown, other placeholders."""
    entries = {Message(entry.msgid, entry.msgid_plural): entry for entry in catalogue if not entry.obsolete}
    said = [f"not in the catalogue: {m.text!r}" for m in messages if m not in entries]
    said += [f"no longer in any source: {m.text!r}" for m in entries if m not in messages]
    for message, entry in entries.items():
        if entry.fuzzy or not entry.translated():
            said.append(f"not translated: {message.text!r}")
        elif _other_placeholders(message, entry):
            said.append(f"other placeholders than the source: {message.text!r}")
    return said


def update(path: Path = CATALOGUE) -> list[str]:
    """Bring the catalogue and its compiled form up to the sources; what is then left to translate."""
    catalogue = polib.pofile(str(path), wrapwidth=110)
    messages = extracted()
    known = {Message(entry.msgid, entry.msgid_plural): entry for entry in catalogue}
    catalogue[:] = [_entry(message, known.get(message), messages[message]) for message in sorted(messages)]
    catalogue.save()
    path.with_suffix(".mo").write_bytes(catalogue.to_binary())
    return faults(catalogue, messages)


def _entry(message: Message, known: polib.POEntry | None, files: list[str]) -> polib.POEntry:
    entry = known or polib.POEntry(msgid=message.text, msgid_plural=message.plural)
    if message.plural and not entry.msgstr_plural:
        entry.msgstr_plural = {0: "", 1: ""}
    entry.occurrences = [(file, "") for file in sorted(files)]
    entry.flags = ["python-format"] if "%(" in message.text + message.plural else []
    return entry


def _source_files(root: Path) -> Iterator[Path]:
    folders = (path for path in root.iterdir() if path.is_dir() and path.name not in LEFT_OUT)
    for folder in sorted(path for path in folders if not path.name.startswith(".")):
        for path in sorted(folder.rglob("*")):
            if path.suffix in {".py", ".html"} and "migrations" not in path.parts:
                yield path


def _messages_of(path: Path) -> Iterator[Message]:
    text = path.read_text(encoding="utf-8")
    calls = text if path.suffix == ".py" else templatize(text)
    if _WITH_CONTEXT.search(calls):
        raise ValueError(
            f"{path}: strings with a context are not read here. Word them so that they need none."
        )
    return _of_python(calls) if path.suffix == ".py" else _of_template(calls)


def _of_python(text: str) -> Iterator[Message]:
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name | ast.Attribute):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        words = [a.value for a in node.args[: N_WORDS.get(name, 0)] if isinstance(a, ast.Constant)]
        if words and all(isinstance(word, str) and word for word in words):
            yield Message(*(str(word) for word in words))


def _of_template(calls: str) -> Iterator[Message]:
    """Django turns a template into calls of gettext, with rubbish between."""
    for name, one, several in _CALL.findall(calls):
        words = ast.literal_eval(one)
        yield Message(words, ast.literal_eval(several) if name == "ngettext" else "")


def _one_each(found: dict[Message, list[str]]) -> dict[Message, list[str]]:
    """A catalogue has one entry for a text: that with a plural, where both are said."""
    with_plural = {message.text: message for message in found if message.plural}
    merged: dict[Message, list[str]] = {}
    for message, files in found.items():
        merged.setdefault(with_plural.get(message.text, message), []).extend(files)
    return merged


def _other_placeholders(message: Message, entry: polib.POEntry) -> bool:
    """In a plural the first form may leave the number out, as English does."""
    if not message.plural:
        return _placeholders(entry.msgstr) != _placeholders(message.text)
    first, *others = (entry.msgstr_plural[n] for n in sorted(entry.msgstr_plural))
    wanted = _placeholders(message.plural)
    may_be = (wanted, _placeholders(message.text))
    return _placeholders(first) not in may_be or any(_placeholders(text) != wanted for text in others)


def _placeholders(text: str) -> list[str]:
    return sorted(_PLACEHOLDER.findall(text))


if __name__ == "__main__":
    left = update()
    print("\n".join(left) if left else f"{CATALOGUE.relative_to(REPO)} says everything.")
    sys.exit(1 if left else 0)
