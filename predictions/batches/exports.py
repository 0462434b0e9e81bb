"""Results on their way to who asks for them."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from core.access.models import User
from core.audit import actions as audit
from core.lib import downloads
from predictions.batch_models import PredictionBatch
from predictions.batches import queries


def response(request: HttpRequest, found: PredictionBatch, *, by: User) -> HttpResponseBase:
    """The result as a download. That somebody took another's is in the audit trail.

    Raises Conflict, NotFound.
    """
    content = queries.result(found)
    if found.requested_by_id != by.pk:
        audit.record("batch.export", found, by=by, after={"model": found.model, "file": found.file_name})
    name = f"{found.model}-{found.pk}.csv"
    return downloads.response(request, content, name=name, content_type="text/csv; charset=utf-8")
