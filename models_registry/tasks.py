"""The worker's half: judge versions, write MLflow's alias after the ledger, let old requests expire."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
from celery import shared_task
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from core.audit.actions import record
from core.lib import outbox
from core.lib.errors import ConsoleError, NotFound, Unavailable
from models_registry import aliases, gateway, intact, ledger, loops, lost, troubles, verdicts
from models_registry.models import ChampionPeriod, GateRun, ModelVersion, PromotionRequest
from models_registry.states import GateState, Policy, RequestState, VersionState

log = structlog.get_logger(__name__)

MOST_CRASHES = 3
MOST_ATTEMPTS = 30


@shared_task
def run_gate(gate_id: str) -> None:
    """Judge one version. When a worker dies on the way its lease ends, and the gate runs again."""
    gate = outbox.claim(GateRun, gate_id)
    if gate is None or not _begin(gate):
        return
    from models_registry import gating  # the web process imports this module and needs no numpy

    try:
        with outbox.kept(gate), _job_dir(gate) as job_dir:
            outcome = _judged(gate.version, job_dir)
    except Unavailable as error:
        _try_later(gate, error.message)
    except ConsoleError as error:
        verdicts.settle_error(gate, error.message)
    except gating.GateError as error:
        verdicts.settle_error(gate, str(error))
    else:
        period = verdicts.settle(gate, outcome)
        if period is not None:
            deliver_alias.delay_on_commit(str(period.pk))


def _judged(version: ModelVersion, job_dir: Path) -> verdicts.Outcome:
    """What the policy is to promote by itself is looked at again: judging took minutes."""
    from models_registry import gating

    mlflow = gateway.connect()
    outcome = gating.judge(mlflow, version, _champion_of(version), job_dir)
    if outcome.is_conclusive and outcome.has_passed and version.model.policy == Policy.AUTOMATIC:
        intact.check(mlflow, version, outcome.hashes, serve_as=outcome.serving["serve_as"])
    return outcome


@shared_task
def deliver_alias(period_id: str) -> None:
    """Point MLflow's alias to the champion of the ledger, or remove it where nobody is champion any more.

    Tried until it is done, another is champion, or MLflow has no such version; should it come back the walk
    over all that MLflow has sees to it that this is tried again.
    """
    period = outbox.claim(ChampionPeriod, period_id)
    if period is None:
        return
    model = period.model
    if period.until is not None and model.periods.filter(until=None).exists():
        period.mark_delivered()  # another is champion, whose own call writes the alias
        return
    try:
        if period.until is None:
            gateway.connect().set_champion(model.name, period.version.version)
        else:
            gateway.connect().remove_champion(model.name)
    except NotFound as error:
        _give_up(period, error.message)
        return
    except ConsoleError as error:
        period.mark_retry(error.message)
        ledger.announce(model.name, period.version.version)
        return
    _note_delivery(period, is_set=period.until is None)


@shared_task
def expire_requests() -> int:
    """Close requests that nobody decided in time; returns how many."""
    late = _late_requests().select_related("version__model")
    closed = loops.EXPIRED.each(
        late, _expire, key=lambda row: row.pk, about=lambda row: row.version.model.name
    )
    return sum(closed)


def _late_requests() -> QuerySet[PromotionRequest]:
    return PromotionRequest.objects.filter(state=RequestState.REQUESTED, expires_at__lte=timezone.now())


@transaction.atomic
def _expire(late: PromotionRequest) -> bool:
    """False when somebody decides it at this moment."""
    held = _late_requests().select_for_update(skip_locked=True, of=("self",))
    request = held.select_related("version__model").filter(pk=late.pk).first()
    if request is None:
        return False
    request.move_to(RequestState.EXPIRED)
    request.save(update_fields=["state"])
    record("promotion.expire", request, by=None, after={"state": request.state})
    ledger.announce(request.version.model.name, request.version.version)
    return True


@shared_task
def forget_silent_processes() -> int:
    """Drop the troubles of serving processes that are gone; returns of how many models."""
    return troubles.forget_the_silent()


def _begin(gate: GateRun) -> bool:
    """Note that this worker judges now; False, and the gate an error, when workers died of it too often."""
    is_orphan = gate.state == GateState.RUNNING
    gate.crashes += is_orphan
    if gate.crashes >= MOST_CRASHES:
        gate.save(update_fields=["crashes"])
        verdicts.settle_error(gate, _("The worker died three times while it judged this version. Ask again."))
        return False
    gate.state = GateState.RUNNING
    gate.started_at = timezone.now()
    gate.save(update_fields=["crashes", "state", "started_at"])
    ledger.announce(gate.version.model.name, gate.version.version)
    return True


def _try_later(gate: GateRun, message: str) -> None:
    if gate.delivery_attempts >= MOST_ATTEMPTS:
        verdicts.settle_error(gate, message)
        return
    verdicts.put_back(gate, message)


def _champion_of(version: ModelVersion) -> ModelVersion | None:
    champions = ModelVersion.objects.select_related("model").filter(state=VersionState.CHAMPION)
    return champions.filter(model=version.model).first()


@transaction.atomic
def _give_up(period: ChampionPeriod, message: str) -> None:
    """Nothing where the row was written meanwhile: that wish is tried, and meets the same if it must."""
    claimed = ChampionPeriod.objects.filter(
        pk=period.pk, delivery_attempts=period.delivery_attempts, next_attempt_at=period.next_attempt_at
    )
    if not claimed.update(next_attempt_at=None, delivery_error=message):
        return
    ModelVersion.objects.filter(pk=period.version_id, gone_at=None).update(gone_at=timezone.now())
    lost.look()
    ledger.announce(period.model.name, period.version.version)


def _note_delivery(period: ChampionPeriod, *, is_set: bool) -> None:
    with transaction.atomic():
        model = ledger.locked(period.model.name)
        period.refresh_from_db()
        current = model.periods.latest("since", "pk")
        if current != period or is_set != (period.until is None):
            # Another became champion meanwhile, or nobody is; that call may have come first.
            period.mark_delivered()
            model.periods.filter(pk=current.pk).update(next_attempt_at=timezone.now())
            return
        period.mark_delivered()
        model.alias_version = period.version.version if is_set else None
        model.save(update_fields=["alias_version"])
        if is_set:
            PromotionRequest.objects.filter(period=period).update(delivered_at=timezone.now())
        aliases.settle(model)
        ledger.announce(model.name, period.version.version)


@contextmanager
def _job_dir(gate: GateRun) -> Iterator[Path]:
    """An empty folder for this attempt; what an attempt that died left behind goes first."""
    gates = settings.CONSOLE_VAR_DIR / "gates"
    gates.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in gates.glob(f"{gate.pk}-*"):
        shutil.rmtree(left)
    folder = gates / f"{gate.pk}-{gate.delivery_attempts}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
