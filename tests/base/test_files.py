import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from tardiff.base.files import new_file, new_folder, read_struct, replace_file, write_arrays, write_json, write_struct
from tardiff.data.dataset import Task
from tardiff.errors import TardiffError


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    with new_folder(tmp_path / "deep" / "out") as folder:
        (folder / "a").write_text("1")
        assert not (tmp_path / "deep" / "out").exists()
    assert (tmp_path / "deep" / "out" / "a").read_text() == "1"

    class DiskFullError(Exception):
        pass

    with pytest.raises(DiskFullError), new_folder(tmp_path / "other") as folder:
        (folder / "a").write_text("1")
        raise DiskFullError
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(ZeroDivisionError), new_file(tmp_path / "out.csv") as path:
        path.write_text("half")
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []
    with new_file(tmp_path / "out.csv") as path:
        path.write_text("whole")
    assert (tmp_path / "out.csv").read_text() == "whole"


@pytest.mark.parametrize("make", [new_folder, new_file])
def test_what_exists_is_never_overwritten(make, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(TardiffError, match="exists already"), make(tmp_path / "out"):
        pass
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize("make", [new_folder, new_file])
def test_an_impossible_place_is_named(make, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TardiffError, match="cannot be written"), make(tmp_path / "file" / "out"):
        pass


def test_replacing_leaves_no_temporary_file(tmp_path):
    replace_file(tmp_path / "a", "1")
    replace_file(tmp_path / "a", b"2")
    assert (tmp_path / "a").read_text() == "2"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_json_refuses_what_json_has_not(tmp_path):
    write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": 1}


def test_a_record_is_read_back_or_its_fault_named(tmp_path):
    task = Task("death", "died", ("survived", "died"))
    write_struct(tmp_path / "a.json", task)
    assert read_struct(tmp_path / "a.json", Task) == task
    for content, message in ((b"{", "a.json: "), (b"{}", "`name`"), (b'{"name": 1}', r"\$\.name"), (b"\xff", "a.json")):
        (tmp_path / "a.json").write_bytes(content)
        with pytest.raises(TardiffError, match=message):
            read_struct(tmp_path / "a.json", Task)
    with pytest.raises(TardiffError, match="no such file"):
        read_struct(tmp_path / "none.json", Task)


@pytest.mark.parametrize("rows", [0, 3])
def test_arrays_are_written_as_safetensors_writes_them(rows, tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "values": rng.normal(size=(rows, 2, 5)).astype(np.float32),
        "mask": rng.integers(0, 2, (rows, 2, 5)).astype(np.uint8),
        "static": rng.normal(size=(5, 2 * rows)).astype(np.float32).T[::2],  # not contiguous
        "label": rng.integers(0, 2, rows),
        "length": np.full(rows, 5, np.int32),
    }
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, tmp_path / "expected")
    write_arrays(tmp_path / "written", arrays)
    assert (tmp_path / "written").read_bytes() == (tmp_path / "expected").read_bytes()
