"""Who serves now, and the files that serving needs for it, each checked by its hash."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Self, cast

from django.utils import timezone
from django.utils.translation import gettext as _

from core.lib.errors import Conflict, NotFound
from models_registry import artefacts, gateway, ledger
from models_registry.digest import folder_sha256
from models_registry.models import ChampionPeriod, ModelVersion, RegisteredModel
from models_registry.states import VersionState

ANSWERING = (VersionState.PASSED, VersionState.CHAMPION, VersionState.RETIRED)


@dataclass(frozen=True)
class Champion:
    """A model's champion. Its files never change under their SHA-256: keep them on disk by it.

    sha256: of the compiled model, or (`digest.folder_sha256`) of the folder that the runner serves.
    spec_json: serving/spec.json byte for byte. missing_as: see `scoring.missing`.
    """

    model: str
    version: str
    run_id: str
    sha256: str
    spec_json: bytes
    serve_as: Literal["onnx", "runner"]
    size_bytes: int
    reference_sha256: str
    since: datetime
    is_demo: bool
    missing_as: dict[str, str]

    @classmethod
    def of(cls, period: ChampionPeriod) -> Self:
        return cls.of_version(period.version, model=period.model.name, since=period.since)

    @classmethod
    def of_version(cls, version: ModelVersion, *, model: str, since: datetime) -> Self:
        return cls(
            model=model,
            version=str(version.version),
            run_id=version.run_id,
            sha256=version.served_sha256,
            spec_json=version.spec_json.encode(),
            serve_as=cast(Literal["onnx", "runner"], version.serve_as),
            size_bytes=version.size_bytes or 0,
            reference_sha256=version.reference_sha256,
            since=since,
            is_demo=version.is_demo,
            missing_as=version.missing_as,
        )


def champions() -> list[Champion]:
    """The champions of all models by the ledger, by name. One query."""
    rows = (
        ChampionPeriod.objects.filter(until=None).select_related("version", "model").order_by("model__name")
    )
    return [Champion.of(period) for period in rows]


def champion(model: str) -> Champion | None:
    """The champion of one model."""
    rows = ChampionPeriod.objects.filter(until=None, model__name=model).select_related("version", "model")
    return next((Champion.of(period) for period in rows), None)


def champion_before(model: str) -> Champion | None:
    """Who may answer where the champion is refused: see `ledger.stand_in`."""
    row = RegisteredModel.objects.filter(name=model).first()
    period = ledger.stand_in(row) if row is not None else None
    return Champion.of(period) if period is not None else None


def scorer(model: str, number: int | None) -> Champion:
    """The champion, or for a number that version, if the gate has passed it: what may answer for the model.

    Raises NotFound for no such version, Conflict when there is no champion, or the version has not passed.
    """
    if number is None:
        found = champion(model)
        if found is None:
            raise Conflict(
                _("%(model)s has no champion: name a version that the gate has passed.") % {"model": model}
            )
        return found
    version = ModelVersion.objects.filter(model__name=model, version=number).first()
    words = {"model": model, "version": number}
    if version is None or version.gone_at is not None:
        raise NotFound(_("%(model)s has no version %(version)s.") % words)
    if version.state not in ANSWERING or not version.served_sha256:
        words["state"] = version.get_state_display()
        raise Conflict(_("%(model)s v%(version)s has not passed the gate: it is %(state)s.") % words)
    return Champion.of_version(version, model=model, since=version.registered_at or timezone.now())


def champion_onnx(of: Champion) -> bytes:
    """The compiled model. Raises Unavailable, NotFound, Conflict when it is not what the gate judged."""
    path = artefacts.compiled_path(of.sha256)
    limit_bytes = artefacts.MODEL_LIMIT_BYTES
    return artefacts.read_checked(gateway.connect(), of.run_id, path, of.sha256, limit_bytes=limit_bytes)


def champion_folder(of: Champion, target: Path) -> None:
    """The original's folder, for the runner, into `target`. Raises as `champion_onnx`."""
    version = ModelVersion.objects.select_related("model").get(model__name=of.model, version=int(of.version))
    artefacts.fetch_model(gateway.connect(), version, target)
    artefacts.check_hash("model/", of.sha256, folder_sha256(target))


def champion_reference(of: Champion) -> bytes:
    """The frozen reference rows, Parquet: raw fields, score and label. Raises as `champion_onnx`."""
    limit_bytes = artefacts.REFERENCE_LIMIT_BYTES
    return artefacts.read_checked(
        gateway.connect(), of.run_id, artefacts.REFERENCE, of.reference_sha256, limit_bytes=limit_bytes
    )
