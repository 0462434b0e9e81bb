"""htmx: whether it asked, and how it is sent on. Templates ask `request.htmx`, which says the same."""

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect


def is_htmx(request: HttpRequest) -> bool:
    """Whether htmx asked, and expects a fragment."""
    return request.headers.get("HX-Request") == "true"


def go_to(request: HttpRequest, url: str) -> HttpResponse:
    """Send the browser on to `url`: htmx follows a header, a form without it a redirect."""
    if is_htmx(request):
        return HttpResponse(headers={"HX-Redirect": url})
    return HttpResponseRedirect(url)
