"""The champions' files on this machine's disk, by SHA-256: fetched once, verified each time they are read."""

import shutil
import tempfile
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path

from django.utils.translation import gettext as _

from core.lib.errors import Conflict
from core.lib.files import write_whole
from models_registry.digest import folder_sha256
from predictions.serving.snapshot import ChampionRef
from predictions.serving.sources import FileSource


class ModelFiles:
    """A folder of immutable files; what is not there comes from `source`."""

    def __init__(self, folder: Path, source: FileSource) -> None:
        self._folder = folder
        self._source = source

    def onnx(self, ref: ChampionRef) -> bytes:
        """The compiled model. Raises ConsoleError when it can be had nowhere or is not what its hash says."""
        return self._file(f"{ref.sha256}.onnx", ref.sha256, lambda: self._source.onnx(ref))

    def reference(self, ref: ChampionRef) -> bytes:
        """serving/reference.parquet."""
        name = f"{ref.reference_sha256}.parquet"
        return self._file(name, ref.reference_sha256, lambda: self._source.reference(ref))

    def model_folder(self, ref: ChampionRef) -> Path:
        """The original model, for the runner."""
        target = self._folder / ref.sha256
        if target.is_dir() and folder_sha256(target) == ref.sha256:
            return target
        shutil.rmtree(target, ignore_errors=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=".fetch-") as scratch:
            fetched = Path(scratch) / "model"
            self._source.folder(ref, fetched)
            _require(folder_sha256(fetched), ref.sha256, ref)
            fetched.rename(target)
        return target

    def are_here(self, ref: ChampionRef) -> bool:
        """Whether nothing of it has to be fetched, unless what lies here is damaged."""
        model = self._folder / (ref.sha256 if ref.serve_as == "runner" else f"{ref.sha256}.onnx")
        return model.exists() and (self._folder / f"{ref.reference_sha256}.parquet").exists()

    def _file(self, name: str, expected: str, fetch: Callable[[], bytes]) -> bytes:
        path = self._folder / name
        if path.is_file():
            content = path.read_bytes()
            if sha256(content).hexdigest() == expected:
                return content
        content = fetch()
        _require(sha256(content).hexdigest(), expected, name)
        write_whole(path, content)
        return content

    def remove_all_but(self, refs: Iterable[ChampionRef]) -> None:
        """Forget files, and folders of originals, that none of these needs."""
        refs = list(refs)
        kept = {f"{ref.sha256}.onnx" for ref in refs} | {f"{ref.reference_sha256}.parquet" for ref in refs}
        originals = {ref.sha256 for ref in refs}
        for path in self._folder.glob("*.onnx"):
            _unlink_unless(path, kept)
        for path in self._folder.glob("*.parquet"):
            _unlink_unless(path, kept)
        for path in self._folder.glob("[0-9a-f]" * 64):
            if path.is_dir() and path.name not in originals:
                shutil.rmtree(path, ignore_errors=True)  # the next round finds what was left


def _unlink_unless(path: Path, kept: set[str]) -> None:
    if path.name not in kept:
        path.unlink(missing_ok=True)


def _require(found: str, expected: str, what: object) -> None:
    if found != expected:
        message = _("%(what)s is not the file that was checked: its SHA-256 is %(found)s, not %(expected)s.")
        raise Conflict(message % {"what": what, "found": found, "expected": expected}, service="mlflow")
