"""The file of a backup: a zip with a manifest that names every member with its hash.

The secrets are a member of their own, sealed by a passphrase (scrypt, AES-256-GCM) together with the
manifest: who changes a member, and its hash with it, finds that no passphrase opens the file any more. The
other members are as they come, databases with personal data among them, so the file is made for its owner
alone (mode 0600).
"""

import getpass
import hashlib
import json
import os
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from stack import config
from stack.errors import StackError

FORMAT = "atalaya-backup"
VERSION = 1
MANIFEST, SECRETS = "manifest.json", "secrets.sealed"
PASSPHRASE = "CONSOLE_BACKUP_PASSPHRASE"  # noqa: S105 - the setting's name
SHORTEST_PASSPHRASE = 12
SCRYPT = {"n": 2**16, "r": 8, "p": 1}  # 64 MiB and a quarter of a second for each guess
CHUNK_BYTES = 1 << 20
LARGEST_MANIFEST_BYTES = 256 << 20


class Writer:
    """Writes a backup to `path`, whole or not at all: until `finish` it has another name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        self._members: dict[str, dict[str, Any]] = {}
        descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._stream = os.fdopen(descriptor, "wb")
        self._archive = zipfile.ZipFile(self._stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever was not finished leaves nothing behind, a disk that is full as little as anything."""
        self._part.unlink(missing_ok=True)
        for one in (
            self._archive,
            self._stream,
        ):  # each writes what it still holds, for which there is no room
            with suppress(OSError, ValueError):
                one.close()

    def add(self, name: str, source: IO[bytes], *, is_compressed: bool = False) -> None:
        """One member with all that `source` gives."""
        info = zipfile.ZipInfo(name, date_time=datetime.now(UTC).timetuple()[:6])
        info.compress_type = zipfile.ZIP_STORED if is_compressed else zipfile.ZIP_DEFLATED
        digest, size_bytes = hashlib.sha256(), 0
        with self._archive.open(info, "w", force_zip64=True) as member:
            while chunk := source.read(CHUNK_BYTES):
                digest.update(chunk)
                size_bytes += len(chunk)
                member.write(chunk)
        self._members[name] = {"sha256": digest.hexdigest(), "size_bytes": size_bytes}

    def finish(self, about: Mapping[str, Any], *, secrets: Mapping[str, Any], passphrase: str) -> None:
        """Seal, and give the file its name."""
        salt, nonce = os.urandom(16), os.urandom(12)
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "scrypt": {**SCRYPT, "salt": salt.hex()},
            **about,
            "members": self._members,
        }
        content = json.dumps(manifest, indent=1).encode()
        sealed = AESGCM(_key(passphrase, salt, **SCRYPT)).encrypt(
            nonce, json.dumps(dict(secrets)).encode(), content
        )
        self._archive.writestr(SECRETS, nonce + sealed)
        self._archive.writestr(MANIFEST, content)
        self._archive.close()
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._part.replace(self._path)


class Backup:
    """One that can be read and is of a version that we know."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path, self._archive = path, archive
        self._content = _manifest(path, archive)
        self.manifest: dict[str, Any] = _understood(path, self._content)
        self.members: dict[str, dict[str, Any]] = self.manifest["members"]

    def check(self) -> None:
        """Read everything once. Raises StackError for the first member that is not what was written."""
        expected = sorted([*self.members, MANIFEST, SECRETS])
        if sorted(self._archive.namelist()) != expected:
            raise self._damaged("it holds other members than its manifest names")
        for name, about in self.members.items():
            digest = hashlib.sha256()
            with self.open(name) as member:
                while chunk := member.read(CHUNK_BYTES):
                    digest.update(chunk)
            if digest.hexdigest() != about["sha256"]:
                raise self._damaged(f"{name} is not what was written")

    def secrets(self, passphrase: str) -> dict[str, Any]:
        """Raises StackError when the passphrase is another, or the manifest was changed."""
        try:
            cost = {name: int(self.manifest["scrypt"][name]) for name in SCRYPT}
            if cost != SCRYPT:  # else a crafted file could ask for all memory there is
                raise ValueError("an unknown cost")
            key = _key(passphrase, bytes.fromhex(self.manifest["scrypt"]["salt"]), **cost)
            with self.open(SECRETS) as member:
                sealed = member.read(CHUNK_BYTES)
            opened: dict[str, Any] = json.loads(AESGCM(key).decrypt(sealed[:12], sealed[12:], self._content))
        except (InvalidTag, KeyError, ValueError) as error:
            raise StackError(
                f"The passphrase does not open {self._path}: it is another one, or the file was changed."
            ) from error
        return opened

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """The bytes of a member. Raises StackError when they cannot be read."""
        try:
            with self._archive.open(name) as member:
                yield member
        except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError) as error:
            raise self._damaged(f"{name} cannot be read ({error})") from error

    def below(self, prefix: str) -> Iterator[tuple[str, PurePosixPath]]:
        """Members below this folder: their names, and where they are in it."""
        for name in self.members:
            if name.startswith(f"{prefix}/"):
                yield name, self._inside(name, name.removeprefix(f"{prefix}/"))

    def _inside(self, name: str, rest: str) -> PurePosixPath:
        path = PurePosixPath(rest)
        if path.is_absolute() or ".." in path.parts or "\\" in rest or not path.parts:
            raise self._damaged(f"{name} would lead out of its folder")
        return path

    def _damaged(self, why: str) -> StackError:
        return StackError(f"{self._path} is damaged: {why}. Nothing was restored; take another backup.")


@contextmanager
def opened(path: Path) -> Iterator[Backup]:
    """A backup to read. Raises StackError for what is none, was cut off, or is of a newer release."""
    try:
        stream = path.open("rb")
    except OSError as error:
        raise StackError(f"Cannot read {path}: {error.strerror}.") from error
    with stream:
        try:
            archive = zipfile.ZipFile(stream)
        except zipfile.BadZipFile as error:
            stream.seek(0)
            is_cut = stream.read(4) == b"PK\x03\x04"
            why = "was cut off: its end is missing" if is_cut else "is no backup of Atalaya"
            raise StackError(f"{path} {why}. Nothing was restored.") from error
        with archive:
            yield Backup(path, archive)


def passphrase(
    *, is_new: bool, environ: Mapping[str, str] = os.environ, ask: Callable[[str], str] | None = None
) -> str:
    """The passphrase from the environment or `.env`, from a file that they name, or typed.

    is_new: it is to seal a file: it must be long enough, and is typed twice. Raises StackError without one.
    """
    said = {**config.read_env_file(config.REPO / ".env"), **environ}
    found = said.get(PASSPHRASE) or _from_file(said.get(f"{PASSPHRASE}_FILE"))
    if not found:
        found = _typed(is_new, ask or _prompt())
    if is_new and len(found) < SHORTEST_PASSPHRASE:
        raise StackError(
            f"The passphrase has {len(found)} characters: {SHORTEST_PASSPHRASE} or more keep secrets safe."
        )
    return found


def _from_file(path: str | None) -> str:
    if not path:
        return ""
    try:
        found = Path(path).expanduser().read_text().strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise StackError(f"{PASSPHRASE}_FILE names {path}, which cannot be read: {error}.") from error
    if not found:
        raise StackError(f"{PASSPHRASE}_FILE names {path}, which is empty.")
    return found


def _prompt() -> Callable[[str], str]:
    if not sys.stdin.isatty():
        raise StackError(
            f"The secrets in a backup are sealed with a passphrase. Put it into {PASSPHRASE}, or into a file "
            f"that {PASSPHRASE}_FILE names, or run this in a terminal to type it."
        )
    return getpass.getpass


def _typed(is_new: bool, ask: Callable[[str], str]) -> str:
    found = ask("Passphrase for the secrets of the backup: ")
    if is_new and found != ask("The same again: "):
        raise StackError("The two passphrases differ.")
    return found


def _key(passphrase: str, salt: bytes, *, n: int, r: int, p: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=n, r=r, p=p).derive(passphrase.encode())


def _manifest(path: Path, archive: zipfile.ZipFile) -> bytes:
    try:
        info = archive.getinfo(MANIFEST)
        if info.file_size > LARGEST_MANIFEST_BYTES:
            raise KeyError(MANIFEST)
        return archive.read(info)
    except (KeyError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise StackError(f"{path} is no backup of Atalaya, or damaged: it has no manifest.") from error


def _understood(path: Path, content: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(content)
        is_ours = manifest["format"] == FORMAT and isinstance(manifest["members"], dict)
        version = int(manifest["version"])
    except (ValueError, KeyError, TypeError) as error:
        raise StackError(f"{path} is no backup of Atalaya: its manifest says nothing of one.") from error
    if not is_ours:
        raise StackError(f"{path} is no backup of Atalaya: its manifest says nothing of one.")
    if version > VERSION:
        raise StackError(
            f"{path} was made by a newer release (format {version}, this one reads up to {VERSION}): "
            "restore it with that release."
        )
    return dict(manifest)
