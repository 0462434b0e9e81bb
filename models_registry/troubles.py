"""Champions that serving refuses: a row for each process that does, and one alert for each model."""

from datetime import timedelta
from typing import Final

from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from core.alerts import actions as alerts
from core.alerts.states import Severity
from core.lib import live
from models_registry.models import ModelVersion, RegisteredModel, ServingTrouble
from models_registry.states import VersionState

RULE: Final = "champion-not-served"
COOLDOWN: Final = timedelta(minutes=1)
# A process that says nothing for so long has ended; one that lives says it again sooner.
FORGOTTEN_AFTER: Final = timedelta(minutes=15)
LONGEST_ERROR: Final = 2000


@transaction.atomic
def note_serving(
    model_name: str, version: int, *, process: str, error: str, answers: int | None = None
) -> None:
    """Note that a serving process cannot load the champion, or that it now can (`error` is empty).

    process: the same text for as long as that process lives. answers: the version that answers there
    meanwhile, None when none does. What is said of a version that is not champion any more counts as settled.
    """
    if not error and not ServingTrouble.objects.filter(version__model__name=model_name).exists():
        return  # the common case takes no lock
    model = RegisteredModel.objects.select_for_update().filter(name=model_name).first()
    if model is None:
        return
    champion = model.versions.filter(state=VersionState.CHAMPION).first()
    if error and champion is not None and champion.version == version:
        _note(champion, process, error[:LONGEST_ERROR], answers)
    else:
        ServingTrouble.objects.filter(version__model=model, process=process).delete()
    _tell(model, champion)


def forget(model: RegisteredModel) -> None:
    """Drop what was said of earlier champions: another is champion, or nobody. The caller holds the row."""
    ServingTrouble.objects.filter(version__model=model).delete()
    _tell(model, None)


@transaction.atomic
def forget_the_silent() -> int:
    """Drop what processes said that say nothing any more; returns of how many models."""
    silent = ServingTrouble.objects.filter(last_seen_at__lt=timezone.now() - FORGOTTEN_AFTER)
    names = sorted(set(silent.values_list("version__model__name", flat=True)))
    for model in RegisteredModel.objects.select_for_update().filter(name__in=names).order_by("name"):
        silent.filter(version__model=model).delete()
        _tell(model, model.versions.filter(state=VersionState.CHAMPION).first())
    return len(names)


def _note(champion: ModelVersion, process: str, error: str, answers: int | None) -> None:
    said = {"reason": error, "answers": answers, "last_seen_at": timezone.now()}
    ServingTrouble.objects.update_or_create(version=champion, process=process, defaults=said)


def _tell(model: RegisteredModel, champion: ModelVersion | None) -> None:
    """Raise or settle the model's alert, by the rows there are, and have open pages look again."""
    rows = list(ServingTrouble.objects.filter(version=champion).order_by("-last_seen_at")) if champion else []
    if champion is None or not rows:
        alerts.settle(RULE, model.name, reason=_("What the ledger names is what serves."))
    else:
        _raise(model, champion, rows)
    live.publish("models", [model.name])
    live.publish(f"model:{model.name}", [champion.version] if champion else [])


def _raise(model: RegisteredModel, champion: ModelVersion, rows: list[ServingTrouble]) -> None:
    alerts.raise_alert(
        RULE,
        subject=model.name,
        title=_("The champion of %(model)s does not serve") % {"model": model.name},
        detail=_(
            "v%(version)s is champion in the ledger, but serving refuses it: %(reason)s\n"
            "Put its files back in MLflow as the gate judged them, roll back, or promote another version."
        )
        % {"version": champion.version, "reason": rows[0].reason},
        facts={
            _("Champion of the ledger"): f"v{champion.version}",
            _("What answers"): _answering(rows),
            _("Processes that refuse it"): len(rows),
            _("Since"): min(row.since for row in rows),
        },
        url=reverse("models:model-detail", args=[model.name]),
        severity=Severity.CRITICAL,
        is_demo=champion.is_demo,
        cooldown=COOLDOWN,
    )


def _answering(rows: list[ServingTrouble]) -> str:
    return ", ".join(sorted({_("nothing") if row.answers is None else f"v{row.answers}" for row in rows}))
