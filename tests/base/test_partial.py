from dataclasses import asdict

import pytest

from tardiff.base.partial import check_signed, claim, partial_folder
from tardiff.errors import TardiffError
from tardiff.settings import CompareSettings


def test_work_is_its_own_and_nobody_elses(tmp_path):
    folder = partial_folder(tmp_path / "out.d" / "run.1")
    assert folder == tmp_path / "out.d" / "run.1.partial"
    claim(folder, {"settings": asdict(CompareSettings(ratios=(0.5, 1.0))), "data": "a"})
    check_signed(folder, {"settings": asdict(CompareSettings(ratios=(0.5, 1.0))), "data": "a"})
    for ratios, data, which in (((0.5,), "a", "ratios"), ((0.5, 1.0), "b", "data"), ((0.5,), "b", "ratios, data")):
        with pytest.raises(TardiffError, match=rf"run\.1\.partial: holds work of other settings or data \(other: {which}\);"):
            check_signed(folder, {"settings": asdict(CompareSettings(ratios=ratios)), "data": data})


def test_an_empty_folder_may_be_claimed_and_a_users_own_may_not(tmp_path):
    for _ in range(2):
        claim(tmp_path / "a", {"a": 1})
    (tmp_path / "b").mkdir()
    claim(tmp_path / "b", {"a": 1})
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "mine.txt").write_text("keep")
    with pytest.raises(TardiffError, match="other settings or data"):
        claim(tmp_path / "c", {"a": 1})
    (tmp_path / "d").write_text("a file")
    with pytest.raises(TardiffError, match="d: cannot be written"):
        claim(tmp_path / "d", {"a": 1})


@pytest.mark.parametrize("content", [None, "", "{", "[]"])
def test_work_of_nobody_is_not_gone_on_with(content, tmp_path):
    if content is not None:
        (tmp_path / "identity.json").write_text(content)
    with pytest.raises(TardiffError, match="other settings or data"):
        check_signed(tmp_path, {"a": 1})
