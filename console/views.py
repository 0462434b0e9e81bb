"""Pages that belong to no app: the overview, health, search; and what machines ask."""

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST, require_safe

from console import csp_reports, dashboard, doctor, gauges, health
from console.demo import queries as demonstration
from core.access import policy
from core.access.http import SignedInRequest
from core.lib import metrics, retention, topics
from core.lib.error_pages import error_page
from core.lib.htmx import is_htmx

log = structlog.get_logger(__name__)


@require_GET
def overview(request: HttpRequest) -> HttpResponse:
    """What runs, what serves, and what waits for somebody."""
    return render(
        request,
        "console/overview.html",
        {
            "nav": "overview",
            "is_new_installation": dashboard.is_new_installation(),
            "boxes": dashboard.boxes(request),
            "parts": health.known() if policy.allows(request.user, "see") else [],
            "box": demonstration.shown() if policy.allows(request.user, "see") else None,
            "grafana_url": settings.CONSOLE_GRAFANA_URL if policy.allows(request.user, "admin") else "",
        },
    )


@require_GET
def overview_health(request: HttpRequest) -> HttpResponse:
    """A card for each part."""
    return render(request, "console/_overview_health.html", {"parts": health.report()})


@require_GET
def health_dot(request: HttpRequest) -> HttpResponse:
    """One dot for all parts, and the names of those that are not well."""
    unhealthy = [part.label for part in health.report() if not part.is_healthy]
    return render(request, "_shared/_health_dot.html", {"is_healthy": not unhealthy, "unhealthy": unhealthy})


@require_GET
def search(request: SignedInRequest) -> HttpResponse:
    """Pages, pipelines and models whose name contains `q`."""
    text = request.GET.get("q", "")[: dashboard.LONGEST_TEXT]
    template = "_shared/_palette_hits.html" if is_htmx(request) else "console/search.html"
    return render(request, template, {"q": text, "hits": dashboard.search(text, request.user)})


@require_GET
def doctor_page(request: HttpRequest) -> HttpResponse:
    """What is wrong with the installation; the checks follow, since they take seconds."""
    values = {"kept": retention.registered(), "topics": topics.own()}
    return render(request, "console/doctor.html", values)


@require_GET
def doctor_findings(request: HttpRequest) -> HttpResponse:
    """A row for each check, those that found something first."""
    found = sorted(doctor.findings(), key=lambda finding: finding.is_well)
    return render(request, "console/_findings.html", {"findings": found})


@require_safe
def livez(_request: HttpRequest) -> HttpResponse:
    """This process answers; it says nothing about any other."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(_request: HttpRequest) -> HttpResponse:
    """Each dependency by name; 503 while one is away without which no page can be shown."""
    parts = health.report()
    is_ready = all(part.is_healthy for part in parts if part.is_required)
    found = {
        part.name: {
            "status": "ok" if part.is_healthy else "unavailable",
            "required": part.is_required,
            **({"detail": part.detail} if part.detail else {}),
        }
        for part in parts
    }
    body = {"status": "ok" if is_ready else "unavailable", "parts": found}
    return JsonResponse(body, status=200 if is_ready else 503)


@require_safe
def metrics_text(_request: HttpRequest) -> HttpResponse:
    """Prometheus text: of all processes, of rows and of parts."""
    return HttpResponse(
        metrics.exposition([*metrics.ASKED, *gauges.ASKED]), content_type=metrics.CONTENT_TYPE
    )


@csrf_exempt  # browsers send it by themselves, without a token; nothing is changed
@require_POST
def csp_report(request: HttpRequest) -> HttpResponse:
    """What a browser refused to load or run on our pages."""
    csp_reports.take(request)
    return HttpResponse(status=204)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form without its CSRF token: nothing was done."""
    log.warning("csrf.refused", path=request.path, reason=reason)
    message = _(
        "This form was not sent from a page of this console, or the page was too old. "
        "Reload it and try again."
    )
    return error_page(request, 403, _("Not accepted"), message)
