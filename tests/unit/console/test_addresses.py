"""Names of addresses in templates: `{% url … as … %}` says nothing about one that does not exist."""

import re

from django.conf import settings

from console.templatetags import shell
from core.access import policy

NAME = re.compile(r"""\{%\s*url\s+['"]([^'"]+)['"]""")


def test_every_address_that_a_template_names_exists():
    pages = list((settings.BASE_DIR / "templates").rglob("*.html"))
    named = {(name, page.name) for page in pages for name in NAME.findall(page.read_text())}
    assert len(named) > 50
    assert [(name, page) for name, page in sorted(named) if name not in policy.ROUTES] == []


def test_every_section_of_the_navigation_leads_somewhere():
    assert {section.url_name for section in shell.SECTIONS} <= policy.ROUTES.keys()
