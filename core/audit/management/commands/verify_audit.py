"""`manage.py verify_audit [--head N:HASH]`: is the audit trail what was sealed? Exit status 0 or 1."""

import argparse
import re
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from core.audit import verifying
from core.audit.verifying import Anchor, Report

LIMITS = (
    "Without a head noted elsewhere nobody can tell that seals were cut off at the end, or that somebody "
    "made the whole chain anew: give --head with one from your notes or the worker's log (audit.sealed)."
)


def _anchor(text: str) -> Anchor:
    found = re.fullmatch(r"([1-9][0-9]{0,17}):([0-9a-f]{64})", text)
    if found is None:
        raise argparse.ArgumentTypeError("write it as this command prints it: NUMBER:64 hexadecimal digits")
    return Anchor(int(found[1]), found[2])


class Command(BaseCommand):
    help = f"Check every sealed entry of the audit trail against the chain of seals. {LIMITS}"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--head",
            type=_anchor,
            action="append",
            default=[],
            metavar="N:HASH",
            help="a head noted earlier, which the chain must still contain; may be given again",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        anchors: list[Anchor] = options["head"]
        try:
            report = verifying.verify(anchors)
        except verifying.Broken as error:
            raise CommandError(f"The audit trail is broken. {error}") from error
        for line in _lines(report, anchors):
            self.stdout.write(line)


def _lines(report: Report, anchors: list[Anchor]) -> list[str]:
    lines = [f"{report.n_entries:,} entries under {report.n_seals:,} seals: each is what was sealed."]
    lines += [f"The noted seal {anchor.number} is in the chain." for anchor in anchors]
    if report.has_long_wait:
        minutes = int(verifying.LONG_WAIT.total_seconds() // 60)
        lines.append(
            f"Not sealed yet: {report.n_waiting:,}, some for more than {minutes} minutes. Does the worker"
            " run? If it does, a transaction is open for long, or seals were cut off: check with --head."
        )
    else:
        lines.append(f"Not sealed yet: {report.n_waiting:,}.")
    if report.head:
        lines.append(f"Sealed up to entry {report.up_to_id}. Head: {report.head}")
    if not anchors:
        lines.append(LIMITS)
    return lines
