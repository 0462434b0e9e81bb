"""`make check`: what can be told without a server; goes on after a failure and names them all."""

import os
import subprocess
import sys
import time

from stack import nowhere
from stack.config import REPO
from stack.vulnerabilities import NOT_LOOKED_UP

APPS = (
    "console",
    "core",
    "pipelines",
    "models_registry",
    "streaming",
    "jobs",
    "predictions",
    "usecases",
    "scoring",
    "stack",
)
LINT_IMPORTS = "from importlinter.cli import lint_imports_command; lint_imports_command()"
# A program without a Python module of its own: the one beside this Python, whatever PATH says.
FORMAT_TEMPLATES = (
    "import os, sys; from pathlib import Path; tool = Path(sys.executable).with_name('djangofmt');"
    "os.execv(tool, [tool, '--quiet', *sys.argv[1:], 'templates'])"
)
FAILED = "FAILED"
VULNERABILITIES = "vulnerabilities"
PRODUCTION = {
    "CONSOLE_PUBLIC_URL": "https://console.example.org",
    "CONSOLE_ALLOWED_HOSTS": "console.example.org",
    "CONSOLE_PROXY_COUNT": "1",
    "CONSOLE_SECRET_KEY": "Vx3-Zq8_pL5nR2tW9yB4mK7cJ1hG6fD0sA-eUoIiTrPlQwNbGhYt",
}

CHECKS: dict[str, list[str]] = {
    "format": ["-m", "ruff", "format", "--check", "--quiet"],
    "lint": ["-m", "ruff", "check", "--quiet"],
    "types": ["-m", "mypy", *APPS],
    "import contracts": ["-c", LINT_IMPORTS],
    "Django": ["manage.py", "check", "--fail-level", "WARNING"],
    "Django, production": ["manage.py", "check", "--deploy", "--fail-level", "WARNING"],
    "migrations": ["manage.py", "makemigrations", "--check", "--dry-run"],
    "templates' layout": ["-c", FORMAT_TEMPLATES, "--check"],
    "templates": ["-m", "djlint", "templates", "--lint", "--quiet"],
    "API schema": ["-m", "stack.api_schema"],
    "reference in docs/": ["-m", "stack.reference"],
    "site of docs/": ["-m", "stack.docs_site"],
    "security": ["-m", "bandit", "--quiet", "--configfile", "pyproject.toml", "--recursive", *APPS, "dags"],
    VULNERABILITIES: ["-m", "stack.vulnerabilities"],
}


def main() -> int:
    failed = []
    nowhere.put_in_place()
    for name, arguments in CHECKS.items():
        began_at = time.monotonic()
        outcome = _outcome(name, arguments)
        print(f"{name:<20} {outcome:<7} {time.monotonic() - began_at:4.1f} s", flush=True)
        failed += [name] if outcome == FAILED else []
    print(f"\nFailed: {', '.join(failed)}" if failed else "\nAll checks pass.")
    return 1 if failed else 0


def _outcome(name: str, arguments: list[str]) -> str:
    environment = os.environ | (PRODUCTION if name == "Django, production" else {})
    done = subprocess.run(
        [sys.executable, *arguments], cwd=REPO, env=environment, capture_output=True, text=True
    )
    if done.returncode != 0:
        print(f"\n{done.stdout}{done.stderr}", flush=True)
    if name == VULNERABILITIES and done.returncode == NOT_LOOKED_UP:
        return "left"
    return FAILED if done.returncode else "ok"


if __name__ == "__main__":
    if sys.argv[1:] == ["--format-templates"]:
        sys.exit(subprocess.call([sys.executable, "-c", FORMAT_TEMPLATES], cwd=REPO))
    sys.exit(main())
