"""SHA-256 of files and of whole folders: by them serving knows that it holds what the gate judged."""

import hashlib
from pathlib import Path


def file_sha256(path: Path) -> str:
    """Of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bytes_sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def folder_sha256(folder: Path) -> str:
    """Of the sorted relative paths and contents of all files below: the same on every machine."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(f"{path.relative_to(folder).as_posix()}\0{file_sha256(path)}\n".encode())
    return total.hexdigest()
