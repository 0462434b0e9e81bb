"""The one-shot `setup` of docker-compose.yml: databases, migrations, first account, tokens, topics, bucket.

    python -m stack.compose_setup [databases]     # `databases`: these and the bucket alone, for a restore

Each start of the compose file runs it, and nothing is done twice; a second one at the same time waits.
"""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import quote

import psycopg2
from django.core.management import CommandError

from stack import compose_secrets, databases
from stack.errors import StackError

BUCKET = "ATALAYA_S3_BUCKET"
LOCK = 0x41544C59
PATIENCE_S = 120.0
LOOKS_EVERY_S = 1.0


def main(environ: Mapping[str, str] = os.environ, *, is_whole: bool = True) -> int:
    """Bring everything up to date, and say so."""
    admin = admin_url(environ)
    try:
        if fault := compose_secrets.fault(environ):
            raise StackError(fault)
        with _alone(admin or environ["CONSOLE_DATABASE_URL"]):
            if admin:
                _ensure_databases(admin, passwords(environ))
                print("setup: databases are there", flush=True)
            if is_whole:
                from stack import set_up_console  # its settings need what was made above

                told, _is_empty = set_up_console.run()
                print(
                    f"setup: one-time password of the first administrator: {told}" if told else "setup: done"
                )
            if bucket := environ.get(BUCKET):
                _ensure_bucket(bucket)
    except (StackError, CommandError, psycopg2.Error) as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    return 0


def admin_url(environ: Mapping[str, str]) -> str:
    """How to reach PostgreSQL as who may make databases; empty where nobody is named: they are there then."""
    name, password = environ.get("ATALAYA_POSTGRES_ADMIN"), environ.get("ATALAYA_SECRET_POSTGRES", "")
    if not name:
        return ""
    account = f"{quote(name, safe='')}:{quote(password, safe='')}"
    options = environ.get("ATALAYA_POSTGRES_OPTIONS", "")
    return f"postgresql://{account}@{environ['ATALAYA_POSTGRES']}/postgres{options}"


def passwords(environ: Mapping[str, str]) -> dict[str, str]:
    """The password of each database's owner.

    Raises StackError for one that is missing: an account without a password would be anybody's.
    """
    found = {name: environ.get(f"ATALAYA_SECRET_DATABASE_{name.upper()}", "") for name in databases.NAMES}
    missing = [name for name, password in found.items() if not password]
    if missing:
        raise StackError(f"No password for the database {missing[0]}: run `make secrets`, then start again.")
    return found


@contextmanager
def _alone(url: str) -> Iterator[None]:
    """One setup at a time on this server; waits for a server that still starts."""
    connection = _connected(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        yield
    finally:
        connection.close()


def _connected(url: str) -> psycopg2.extensions.connection:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return psycopg2.connect(url, connect_timeout=5)
        except psycopg2.OperationalError as error:
            if time.monotonic() > deadline:
                raise StackError(f"PostgreSQL does not let setup in: {str(error).strip()}") from error
        time.sleep(LOOKS_EVERY_S)


def _ensure_databases(url: str, owners: Mapping[str, str]) -> None:
    connection = _connected(url)
    try:
        databases.ensure_in(connection, owners)
    finally:
        connection.close()


def _ensure_bucket(name: str) -> None:
    """Address and account come from AWS's own variables, which MLflow reads too."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client = boto3.client("s3", endpoint_url=os.environ.get("MLFLOW_S3_ENDPOINT_URL") or None)
        if name in (bucket["Name"] for bucket in client.list_buckets()["Buckets"]):
            return
        client.create_bucket(Bucket=name)
    except (BotoCoreError, ClientError) as error:
        raise StackError(f"The S3 store does not give the bucket {name}: {error}") from error
    print(f"setup: bucket {name} is there", flush=True)


if __name__ == "__main__":
    sys.exit(main(is_whole=sys.argv[1:] != ["databases"]))
