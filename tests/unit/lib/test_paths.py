"""Names of files: what lies inside the two folders is found, nothing else is."""

import os

import pytest

from core.lib import paths
from core.lib.errors import InvalidRequest, NotFound


@pytest.fixture
def folders(tmp_path, settings):
    """The data folder, the output folder, and a secret beside them."""
    data, output = tmp_path / "data", tmp_path / "output"
    for folder in (data, output):
        (folder / "sub").mkdir(parents=True)
    (data / "month.parquet").write_text("trips")
    (data / "sub" / "rides.txt").write_text("rides")
    (output / "sub" / "part-0.parquet").write_text("clean")
    (tmp_path / "secret.txt").write_text("secret")
    (data / "link.txt").symlink_to(tmp_path / "secret.txt")
    (data / "up").symlink_to(tmp_path)
    settings.CONSOLE_DATA_DIR, settings.CONSOLE_OUTPUT_DIR = data, output
    return data, output


@pytest.mark.parametrize("name", ["month.parquet", "sub/rides.txt", "sub/../month.parquet", "sub", "."])
def test_relative_names_are_of_the_data_folder(folders, name):
    assert paths.inside_allowed(name) == (folders[0] / name).resolve()


def test_whole_names_of_both_folders_are_found(folders):
    for path in (folders[0] / "month.parquet", folders[1] / "sub" / "part-0.parquet"):
        assert paths.inside_allowed(str(path)) == path


@pytest.mark.parametrize(
    "name",
    [
        "../secret.txt",
        "/etc/passwd",
        "/",
        "link.txt",
        "up/secret.txt",
        "up",
        "../data2",
        "",
        "a\x00b",
        "x" * 5000,
    ],
)
def test_names_that_lead_elsewhere_are_refused(folders, name):
    with pytest.raises(InvalidRequest):
        paths.inside_allowed(name)


def test_a_name_outside_does_not_tell_whether_it_exists(folders):
    said = []
    for name in ("/etc/passwd", "/etc/passwd-of-nobody"):
        with pytest.raises(InvalidRequest) as caught:
            paths.inside_allowed(name)
        said.append(caught.value.message.replace(name, ""))
    assert said[0] == said[1]


def test_a_circle_of_links_is_refused(folders):
    (folders[0] / "circle").symlink_to(folders[0] / "circle")
    with pytest.raises(InvalidRequest):
        paths.inside_allowed("circle")


def test_what_does_not_exist_is_not_found(folders):
    with pytest.raises(NotFound, match=r"“none\.parquet”"):
        paths.inside_allowed("none.parquet")


def test_without_a_data_folder_only_output_is_found(folders, settings):
    settings.CONSOLE_DATA_DIR = None
    with pytest.raises(NotFound, match="CONSOLE_DATA_DIR"):
        paths.inside_allowed("month.parquet")
    assert paths.inside_allowed(str(folders[1] / "sub")).is_dir()
    assert paths.offered([".parquet"]) == [str(folders[1] / "sub" / "part-0.parquet")]


def test_offered_files_are_real_finished_and_newest_output_first(folders):
    data, output = folders
    newer = output / "part-1.parquet"
    for path in (output / "_temporary" / "part-2.parquet", data / ".hidden.parquet", newer):
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    (data / "link.parquet").symlink_to(newer)
    os.utime(output / "sub" / "part-0.parquet", (1, 1))
    expected = ["month.parquet", str(newer), str(output / "sub" / "part-0.parquet")]
    assert paths.offered([".parquet"]) == expected
    assert paths.offered([".parquet", ".txt"])[1] == "sub/rides.txt"
    for name in expected:
        assert paths.inside_allowed(name).is_file()


def test_a_file_whose_name_no_page_can_show_is_not_offered(folders):
    odd = os.fsdecode(b"caf\xe9")
    (folders[0] / f"{odd}.parquet").write_text("")
    (folders[1] / odd).mkdir()
    (folders[1] / odd / "café.parquet").write_text("")
    assert paths.offered([".parquet"]) == ["month.parquet", str(folders[1] / "sub" / "part-0.parquet")]


def test_offered_files_are_limited(folders, monkeypatch):
    monkeypatch.setattr(paths, "MOST_OFFERED", 1)
    assert paths.offered([".parquet"]) == ["month.parquet"]
