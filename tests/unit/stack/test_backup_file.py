"""The file of a backup: read back whole, or refused with the reason."""

import errno
import io
import json
import os
import stat
import zipfile

import pytest

from stack import backup_file
from stack.backup_file import Writer, opened
from stack.errors import StackError

PASSPHRASE = "correct horse battery"
ABOUT = {"versions": {"airflow": "3.3.2"}}
HELD = {"secrets": {"postgres": "s3cret-of-the-database"}, "settings": {}}
DUMP = bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def _cheap_keys(monkeypatch):
    """The real cost is a quarter of a second for each key."""
    monkeypatch.setattr(backup_file, "SCRYPT", {"n": 2**4, "r": 8, "p": 1})


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "a.zip"
    with Writer(made) as writer:
        writer.add("databases/console.dump", io.BytesIO(DUMP), is_compressed=True)
        writer.add("mlflow/1/model.onnx", io.BytesIO(b"onnx" * 1000))
        writer.finish(ABOUT, secrets=HELD, passphrase=PASSPHRASE)
    return made


def refusal(path, passphrase=PASSPHRASE):
    """What is said of a file that cannot be restored."""
    with pytest.raises(StackError) as found:
        read(path, passphrase)
    return str(found.value)


def read(path, passphrase):
    with opened(path) as backup:
        backup.check()
        backup.secrets(passphrase)


def rewritten(path, change):
    """The file with another content of its members, sealed as it was."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_backup_is_read_back_as_it_was_written(path):
    with opened(path) as backup:
        backup.check()
        assert backup.secrets(PASSPHRASE) == HELD
        with backup.open("databases/console.dump") as member:
            assert member.read() == DUMP
        assert [str(inside) for _name, inside in backup.below("mlflow")] == ["1/model.onnx"]
        assert backup.manifest["versions"] == ABOUT["versions"]


def test_only_its_owner_reads_the_file_and_no_secret_stands_in_it(path):
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with zipfile.ZipFile(path) as archive:
        contents = [archive.read(name) for name in archive.namelist()]
    assert not any(b"s3cret" in content for content in contents)


def test_another_passphrase_is_refused(path):
    assert "passphrase does not open" in refusal(path, "correct horse batterx")


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_is_refused(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert "cut off" in refusal(path)


def test_a_flipped_byte_is_found(path):
    content = bytearray(path.read_bytes())
    at = content.index(DUMP[:64]) + 1000
    content[at] ^= 1
    path.write_bytes(content)
    assert "damaged: databases/console.dump" in refusal(path)


def test_another_member_with_its_own_hash_in_the_manifest_is_refused(path):
    def change(members):
        manifest = json.loads(members["manifest.json"])
        members["databases/console.dump"] = b"DROP"
        hashed = "4dd20ab2b6fd5b1bd2eb0ae0b7fe1a4c0fb36b8b5a52a25c9a2d2d9f9a5a7b4b"
        manifest["members"]["databases/console.dump"]["sha256"] = hashed
        members["manifest.json"] = json.dumps(manifest).encode()

    rewritten(path, change)
    with opened(path) as backup, pytest.raises(StackError, match="the file was changed"):
        backup.secrets(PASSPHRASE)


def test_a_member_that_the_manifest_does_not_name_is_refused(path):
    assert "other members" in refusal(rewritten(path, lambda members: members.update(more=b"")))


def test_a_member_that_is_missing_is_refused(path):
    assert "other members" in refusal(rewritten(path, lambda members: members.pop("mlflow/1/model.onnx")))


def test_a_name_that_leads_out_of_its_folder_is_refused(tmp_path):
    path = tmp_path / "b.zip"
    with Writer(path) as writer:
        writer.add("mlflow/../../.ssh/authorized_keys", io.BytesIO(b""))
        writer.finish({}, secrets={}, passphrase=PASSPHRASE)
    with opened(path) as backup, pytest.raises(StackError, match="lead out of its folder"):
        list(backup.below("mlflow"))


def test_a_cost_that_would_take_all_memory_is_not_tried(path):
    def change(members):
        manifest = json.loads(members["manifest.json"])
        manifest["scrypt"]["n"] = 2**40
        members["manifest.json"] = json.dumps(manifest).encode()

    assert "passphrase does not open" in refusal(rewritten(path, change))


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ({"format": "atalaya-backup", "version": 2, "members": {}}, "newer release"),
        ({"format": "photos", "version": 1, "members": {}}, "no backup of Atalaya"),
        ([], "no backup of Atalaya"),
        ({"format": "atalaya-backup"}, "no backup of Atalaya"),
    ],
)
def test_a_foreign_or_newer_file_is_refused(tmp_path, manifest, words):
    path = tmp_path / "c.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
    assert words in refusal(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x00" * 5000])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "d.zip"
    path.write_bytes(content)
    assert "is no backup of Atalaya" in refusal(path)


def test_a_zip_without_a_manifest_is_refused(tmp_path):
    path = tmp_path / "e.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("photo.jpg", b"")
    assert "no manifest" in refusal(path)


def test_a_missing_file_is_named(tmp_path):
    assert "none.zip: No such file" in refusal(tmp_path / "none.zip")


def test_what_is_interrupted_leaves_no_file(tmp_path):
    def interrupted(path):
        with Writer(path) as writer:
            writer.add("a", io.BytesIO(DUMP))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path / "f.zip")
    assert list(tmp_path.iterdir()) == []


class FullDisk(io.FileIO):
    """Has room for so many bytes."""

    room = 100_000

    def write(self, data):
        if self.tell() >= self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data[: self.room - self.tell()])


@pytest.mark.parametrize("is_compressed", [True, False])
def test_a_full_disk_is_left_with_the_room_it_had(tmp_path, monkeypatch, is_compressed):
    monkeypatch.setattr(os, "fdopen", lambda fd, _mode: io.BufferedWriter(FullDisk(fd, "wb")))
    with pytest.raises(OSError, match="No space left"), Writer(tmp_path / "a.zip") as writer:
        writer.add("output/a", io.BytesIO(os.urandom(300_000)), is_compressed=is_compressed)
    assert list(tmp_path.iterdir()) == []


def test_what_was_killed_has_another_name_and_does_not_pass_for_a_backup(tmp_path):
    writer = Writer(tmp_path / "g.zip")
    writer.add("a", io.BytesIO(DUMP))
    writer._stream.flush()
    (left,) = tmp_path.iterdir()
    assert left.name == "g.zip.part"
    assert "cut off" in refusal(left)
    writer.__exit__()


# --- the passphrase


def test_the_passphrase_comes_from_the_environment(tmp_path):
    assert backup_file.passphrase(is_new=True, environ={backup_file.PASSPHRASE: PASSPHRASE}) == PASSPHRASE


def test_the_passphrase_comes_from_a_file(tmp_path):
    file = tmp_path / "passphrase"
    file.write_text(f"{PASSPHRASE}\n")
    assert (
        backup_file.passphrase(is_new=True, environ={"CONSOLE_BACKUP_PASSPHRASE_FILE": str(file)})
        == PASSPHRASE
    )


@pytest.mark.parametrize(("content", "words"), [("", "empty"), (None, "cannot be read")])
def test_a_file_without_a_passphrase_is_named(tmp_path, content, words):
    file = tmp_path / "passphrase"
    if content is not None:
        file.write_text(content)
    with pytest.raises(StackError, match=words):
        backup_file.passphrase(is_new=False, environ={"CONSOLE_BACKUP_PASSPHRASE_FILE": str(file)})


def test_a_short_passphrase_seals_nothing():
    with pytest.raises(StackError, match="8 characters"):
        backup_file.passphrase(is_new=True, environ={backup_file.PASSPHRASE: "12345678"})


def test_a_typed_passphrase_must_be_the_same_twice():
    answers = iter([PASSPHRASE, PASSPHRASE + "."])
    with pytest.raises(StackError, match="differ"):
        backup_file.passphrase(is_new=True, environ={}, ask=lambda _words: next(answers))


def test_without_a_terminal_the_settings_are_named(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(StackError, match="CONSOLE_BACKUP_PASSPHRASE_FILE"):
        backup_file.passphrase(is_new=False, environ={})
