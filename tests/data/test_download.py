import multiprocessing
import time

import pytest

from ltb.common.errors import Unavailable
from ltb.data.download import ensure

FILES = ("made/one", "made/two")


def write(folder, text="whole"):
    (folder / "made").mkdir()
    for file in FILES:
        (folder / file).write_text(text)


def slowly(root, calls):
    """A download that shows half a file for a while, and says on stdout how far it is."""

    def download(folder):
        with calls.open("a") as log:
            log.write("x")
        (folder / "made").mkdir()
        for file in FILES:
            (folder / file).write_text("half")
            time.sleep(0.2)
            (folder / file).write_text("whole")

    ensure(root, FILES, download, name="Made")
    assert [(root / file).read_text() for file in FILES] == ["whole", "whole"]


def test_two_processes_download_once_and_meet_no_half_file(tmp_path):
    root, calls = tmp_path / "data", tmp_path / "calls"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=slowly, args=(root, calls)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert calls.read_text() == "x"


def test_nothing_is_written_where_the_files_are(tmp_path):
    write(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    ensure(tmp_path, FILES, lambda folder: pytest.fail("downloaded"), name="Made")
    assert sorted(tmp_path.rglob("*")) == before


def test_what_a_killed_download_left_is_not_used(tmp_path):
    partial = tmp_path / ".Made.partial"
    partial.mkdir()
    write(partial, "half")
    ensure(tmp_path, FILES, write, name="Made")
    assert [(tmp_path / file).read_text() for file in FILES] == ["whole", "whole"]
    assert not partial.exists()


def test_it_is_quiet_on_stdout(tmp_path, capsys):
    def download(folder):
        print("100 %")
        write(folder)

    ensure(tmp_path, FILES, download, name="Made")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("error", [OSError("no route\nto host"), RuntimeError("no mirror:\nleft"), TimeoutError()])
def test_failure_is_one_line_that_says_what_to_do(tmp_path, error):
    def download(folder):
        raise error

    with pytest.raises(
        Unavailable, match=r"^data\.root: Made is not in .*connect once.*, or ask.*mnist1d and digits"
    ) as caught:
        ensure(tmp_path, FILES, download, name="Made", advice=", or ask")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / ".Made.partial").exists()


def test_a_root_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="file"):
        ensure(tmp_path / "file" / "data", FILES, write, name="Made")
