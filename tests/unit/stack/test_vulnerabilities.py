"""What `make check` makes of the answers of pip-audit; nothing is asked here."""

import json
import subprocess

import pytest

from stack import check, vulnerabilities

FINE = {"name": "django", "version": "5.2", "vulns": []}
FAULTY = {"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}
UNKNOWN = {"name": "b", "skip_reason": "Dependency not found on PyPI and could not be audited: b (1)"}


@pytest.fixture
def answers(monkeypatch):
    """Queue what pip-audit says next: packages, text that is no JSON, or an error."""
    queue = []

    def run(_arguments, **_options):
        said = queue.pop(0)
        if isinstance(said, Exception):
            raise said
        text = said if isinstance(said, str) else json.dumps({"dependencies": said})
        return subprocess.CompletedProcess([], 1, text, "ERROR: no way out\n")

    monkeypatch.setattr(vulnerabilities.subprocess, "run", run)
    return queue


def test_a_known_vulnerability_fails_and_is_named(answers, capsys):
    answers += [[FINE], [FINE, FAULTY, UNKNOWN], []]
    assert vulnerabilities.main() == 1
    assert capsys.readouterr().out == "a 1: CVE-1 (fixed in 2)\n"


def test_none_is_fine(answers):
    answers += [[FINE], [FINE, UNKNOWN], [FINE]]
    assert vulnerabilities.main() == 0


@pytest.mark.parametrize("said", [[UNKNOWN], "", subprocess.TimeoutExpired("pip-audit", 60)])
def test_where_nobody_can_be_asked_that_is_said_and_one_question_is_enough(answers, capsys, said):
    answers += [said]
    assert vulnerabilities.main() == vulnerabilities.NOT_LOOKED_UP
    assert capsys.readouterr().out.startswith("Not looked up: ")


def test_a_check_that_could_not_be_made_does_not_fail(monkeypatch):
    done = subprocess.CompletedProcess([], vulnerabilities.NOT_LOOKED_UP, "Not looked up: …", "")
    monkeypatch.setattr(check.subprocess, "run", lambda *_args, **_options: done)
    assert check._outcome(check.VULNERABILITIES, []) == "left"
    assert check._outcome("types", []) == check.FAILED
