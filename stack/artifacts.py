"""Where MLflow keeps its artefacts, as a backup sees it: a folder, or a bucket that speaks S3.

A bucket's address and account come from the variables that MLflow reads too: MLFLOW_S3_ENDPOINT_URL, AWS_….
"""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from stack import backup, restore
from stack.backup_file import Backup, Writer
from stack.errors import StackError

MEMBERS = "mlflow"


class Folder:
    """Artefacts as files."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    def size_bytes(self) -> int:
        return backup.size_bytes(self._path)

    def is_empty(self) -> bool:
        return not (self._path.is_dir() and any(self._path.iterdir()))

    def copy_to(self, writer: Writer) -> None:
        backup.copy(writer, MEMBERS, self._path)

    def fill(self, found: Backup) -> None:
        restore.restore_files(found, MEMBERS, self._path)


class Bucket:
    """Artefacts as the objects of a bucket below a prefix.

    Every method raises StackError when the store refuses.
    """

    def __init__(self, client: Any, name: str, prefix: str) -> None:
        self._client, self._name = client, name
        self._prefix = f"{prefix}/" if prefix else ""

    def __str__(self) -> str:
        return f"s3://{self._name}/{self._prefix}"

    def size_bytes(self) -> int:
        return sum(size for _key, size in self._objects())

    def is_empty(self) -> bool:
        return next(self._objects(), None) is None

    def copy_to(self, writer: Writer) -> None:
        """Every object; one that goes meanwhile is left out."""
        for key, _size in self._objects():
            with self._translated():
                try:
                    body = self._client.get_object(Bucket=self._name, Key=key)["Body"]
                except self._client.exceptions.NoSuchKey:
                    continue
                with contextlib.closing(body):
                    writer.add(f"{MEMBERS}/{key.removeprefix(self._prefix)}", body)

    def fill(self, found: Backup) -> None:
        for name, inside in found.below(MEMBERS):
            with self._translated(), found.open(name) as member:
                self._client.upload_fileobj(member, self._name, f"{self._prefix}{inside.as_posix()}")

    def _objects(self) -> Iterator[tuple[str, int]]:
        with self._translated():
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._name, Prefix=self._prefix):
                for found in page.get("Contents", []):
                    if not found["Key"].endswith("/"):  # what consoles of stores show as a folder
                        yield found["Key"], found["Size"]

    @contextmanager
    def _translated(self) -> Iterator[None]:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (Boto3Error, BotoCoreError, ClientError) as error:
            raise StackError(f"The S3 store does not give or take {self}: {error}") from error


def store(address: str) -> Folder | Bucket:
    """By what MLFLOW_ARTIFACTS_DESTINATION says: s3://bucket/prefix, file:///folder or a folder."""
    parts = urlsplit(address)
    if parts.scheme == "s3" and parts.netloc:
        import boto3

        client = boto3.client("s3", endpoint_url=os.environ.get("MLFLOW_S3_ENDPOINT_URL") or None)
        return Bucket(client, parts.netloc, parts.path.strip("/"))
    if parts.scheme in ("", "file") and parts.path.startswith("/"):
        return Folder(Path(unquote(parts.path)))
    raise StackError(f"{address} is no store of artefacts: write s3://bucket/prefix or an absolute folder.")
