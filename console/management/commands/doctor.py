"""`manage.py doctor [--json]`: what is wrong with the console and its services. Exit status 0 or 1."""

import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from console import doctor


class Command(BaseCommand):
    help = "Say what is wrong with the console and its services, and what to do; exit status 1 for anything."
    requires_system_checks: list[str] = []  # they are one of the checks

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="for programs")

    def handle(self, *_args: Any, **options: Any) -> None:
        found = doctor.findings()
        if options["json"]:
            self.stdout.write(json.dumps([asdict(finding) for finding in found], indent=1))
        else:
            for finding in found:
                self.stdout.write(
                    f"{'ok' if finding.is_well else 'WRONG':<6} {finding.label}: {finding.words}"
                )
                if finding.advice:
                    self.stdout.write(f"       {finding.advice}")
        if not all(finding.is_well for finding in found):
            sys.exit(1)
