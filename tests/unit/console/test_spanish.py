"""Every page that needs no row opens in Spanish, whole: no text is left open, none falls back to English."""

import re

import polib
import pytest
from django.test import Client
from django.urls import get_resolver, reverse

from console import health
from stack.messages import CATALOGUE
from streaming import gateway
from tests.unit.console.test_role_matrix import routes

OPEN = re.compile(r"%\(\w+\)[sd]|\{n\}")
PAGES = sorted({name for name, arguments, _view in routes(get_resolver().url_patterns) if not arguments})
NO_PAGES = re.compile(r"^api:|:sign-out$|^console:(livez|readyz|metrics|csp-report|api-schema)$|export")

# Requests to a "usted", where a clause begins: "que elija" within one is of a third person.
_TO_USTED = (
    "abra|acepte|active|actualice|aplique|apruebe|arranque|aumente|añada|borre|busque|cambie|cancele|cierre|"
    "compruebe|configure|consulte|construya|copie|corrija|cree|deje|descargue|detenga|diga|dé|elija|elimine|"
    "envíe|escriba|espere|exporte|guarde|haga|inicie|indique|instale|intente|intercambie|lea|limite|mire|mueva|"
    "omita|pase|pida|ponga|pregunte|promueva|pruebe|quite|recargue|reduzca|registre|reinicie|repita|"
    "restaure|resuelva|revise|seleccione|suba|tome|vea|verifique|vuelva"
)
_WITH_IT = "aumént|cámbi|cancél|cópi|descárgu|ejecút|guárd|intercámbi|intént|pás|quít"
USTED = re.compile(
    rf"(?:^|[.:;] |, | [oy] )(?:(?:{_TO_USTED})(?= (?!de )[a-z`«%0-9])|(?:{_WITH_IT})el[oa]s?\b)"
    r"|\busted(?:es)?\b",
    re.IGNORECASE,
)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(health, "REMEMBERED_S", 600)
    monkeypatch.setattr(gateway, "TIMEOUT_S", 0.2)


def text_of(markup: str) -> str:
    """What a reader sees; the words for relative times are data."""
    return re.sub(r"<script.*?</script>|<[^>]*>|\{n\} nuevas", " ", markup, flags=re.DOTALL)


@pytest.mark.django_db
def test_every_page_speaks_spanish_whole(admin_page):
    for name in PAGES:
        if NO_PAGES.search(name):
            continue
        answer = admin_page.get(reverse(name), headers={"accept-language": "es"})
        assert answer.status_code in {200, 302, 403, 404, 405, 503}, name
        shown = b"".join(answer.streaming_content) if answer.streaming else answer.content
        assert not OPEN.search(text_of(shown.decode())), name
        if b"<html" in shown:
            assert b'lang="es"' in shown, name
            assert b"Resumen" in shown, name


@pytest.mark.django_db
def test_who_is_signed_out_reads_the_browsers_language():
    shown = Client().get("/sign-in", headers={"accept-language": "es-AR,en;q=0.5"}).content.decode()
    assert "Iniciar sesión" in shown
    assert 'lang="es"' in shown


def test_everybody_is_addressed_as_tu():
    said = [
        text
        for entry in polib.pofile(str(CATALOGUE))
        for text in (entry.msgstr, *entry.msgstr_plural.values())
    ]
    assert [text for text in said if USTED.search(text)] == []
