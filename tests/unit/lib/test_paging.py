"""Numbered pages, and how a browser with htmx and one without it are sent on."""

import pytest
from django.test import RequestFactory

from core.lib import htmx
from core.lib.paging import links, page_of

ROWS = list(range(120))


def page(query):
    return page_of(RequestFactory().get("/runs", query), ROWS)


def test_a_page_in_the_middle_leads_both_ways_and_keeps_the_filters():
    shown = page({"page": "2", "state": "failed"})
    assert shown["rows"] == ROWS[50:100]
    assert shown["n"] == 120
    assert shown["previous_url"] == "/runs?page=1&state=failed"
    assert shown["next_url"] == "/runs?page=3&state=failed"


@pytest.mark.parametrize(("asked", "first"), [("0", 100), ("99", 100), ("x", 0), ("", 0)])
def test_a_number_beyond_gets_the_last_page_and_no_number_the_first(asked, first):
    assert page({"page": asked})["rows"][0] == first


def test_the_ends_lead_nowhere():
    assert page({})["previous_url"] is None
    assert page({"page": "3"})["next_url"] is None


def linked(query, following):
    return links(RequestFactory().get("/mine", query), "before", following)


def test_a_list_from_a_cursor_leads_on_and_back_to_its_first_page():
    assert linked({"before": "9", "model": "a b", "state": ""}, 4) == {
        "filters": "model=a+b",
        "next_url": "/mine?model=a+b&before=4",
        "previous_url": "/mine?model=a+b",
    }


def test_the_first_and_only_page_from_a_cursor_leads_nowhere():
    assert linked({"before": ""}, None) == {"filters": "", "next_url": None, "previous_url": None}


def test_htmx_is_sent_on_by_a_header():
    answer = htmx.go_to(RequestFactory().post("/", headers={"HX-Request": "true"}), "/runs/1")
    assert (answer.status_code, answer["HX-Redirect"]) == (200, "/runs/1")


def test_a_form_without_htmx_is_sent_on_by_a_redirect():
    answer = htmx.go_to(RequestFactory().post("/"), "/runs/1")
    assert (answer.status_code, answer["Location"]) == (302, "/runs/1")
