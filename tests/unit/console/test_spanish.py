"""Every page that needs no row opens in Spanish, whole: no text is left open, none falls back to English."""

import re

import pytest
from django.test import Client
from django.urls import get_resolver, reverse

from console import health
from streaming import gateway
from tests.unit.console.test_role_matrix import routes

OPEN = re.compile(r"%\(\w+\)[sd]|\{n\}")
PAGES = sorted({name for name, arguments, _view in routes(get_resolver().url_patterns) if not arguments})
NO_PAGES = re.compile(r"^api:|:sign-out$|^console:(livez|readyz|metrics|csp-report|api-schema)$|export")


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
