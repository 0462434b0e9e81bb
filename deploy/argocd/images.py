"""Which images an environment runs. It writes files, which a commit and Argo CD then bring to the cluster.

    python deploy/argocd/images.py set staging console REPOSITORY sha256:...
    python deploy/argocd/images.py copy staging production
    python deploy/argocd/images.py list production

Standard library only.
"""

import argparse
import re
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ENVIRONMENTS = ("staging", "production")
HEAD = "# Written by deploy/argocd/images.py.\n"
# The file of each image, in the words of its chart.
TEXTS = {
    "console": ("image.yaml", "image:\n  repository: {repository}\n  digest: {digest}\n"),
    "airflow": (
        "airflow-image.yaml",
        "defaultAirflowRepository: {repository}\ndefaultAirflowDigest: {digest}\n",
    ),
}
REPOSITORY = re.compile(r"[a-z0-9][a-z0-9._/:-]*[a-z0-9]")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
WRITTEN = re.compile(r"[Rr]epository: (\S+)\n\s*\w*[Dd]igest: (\S+)\n")
NONE_YET = "sha256:" + "0" * 64


def main(arguments: list[str], folder: Path = FOLDER) -> None:
    """Ends with a message, and with nothing written, for what cannot be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    setting = commands.add_parser("set")
    setting.add_argument("environment", choices=ENVIRONMENTS)
    setting.add_argument("image", choices=TEXTS)
    setting.add_argument("repository")
    setting.add_argument("digest")
    copying = commands.add_parser("copy")
    copying.add_argument("source", choices=ENVIRONMENTS)
    copying.add_argument("environment", choices=ENVIRONMENTS)
    commands.add_parser("list").add_argument("environment", choices=ENVIRONMENTS)
    told = parser.parse_args(arguments)
    if told.command == "set":
        write(folder / told.environment, told.image, told.repository, told.digest)
    elif told.command == "copy":
        for image, (repository, digest) in read(folder / told.source).items():
            write(folder / told.environment, image, repository, digest)
    else:
        for repository, digest in read(folder / told.environment).values():
            sys.stdout.write(f"{repository}@{digest}\n")


def read(folder: Path) -> dict[str, tuple[str, str]]:
    """Repository and digest of each image; ends where one is not named yet."""
    found = {}
    for image, (name, _text) in TEXTS.items():
        match = WRITTEN.search((folder / name).read_text())
        if match is None or match[2] == NONE_YET:
            sys.exit(f"{folder.name}/{name} names no image yet: let the workflow `images` run first.")
        found[image] = (match[1], match[2])
    return found


def write(folder: Path, image: str, repository: str, digest: str) -> None:
    """Name one image of an environment."""
    if not DIGEST.fullmatch(digest):
        sys.exit(f"{digest!r} is no digest: write sha256: and 64 hexadecimal digits.")
    if not REPOSITORY.fullmatch(repository):
        sys.exit(f"{repository!r} is no repository: write host/team/name, without a version.")
    name, text = TEXTS[image]
    (folder / name).write_text(HEAD + text.format(repository=repository, digest=digest))


if __name__ == "__main__":
    main(sys.argv[1:])
