"""The user's table of onsets."""

from pathlib import Path

import pandas as pd
import pytest

from data_prep.onsets import read_onsets
from tardiff.errors import TardiffError

STAYS = pd.DataFrame({"stay_id": [30, 10, 20]}, index=[5, 6, 7])
START = pd.to_datetime(["2150-01-01 12:00:00", "2150-01-02 00:00:00", "2150-01-03 00:00:00"])


def test_minutes_and_times(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("stay_id,onset_minute,note\n10,90.5,x\n20,,x\n99,5,x\n")
    assert read_onsets(tmp_path / "a.csv", STAYS).fillna(-1).to_dict() == {5: -1, 6: 90.5, 7: -1}
    stays = STAYS.assign(start=START)
    (tmp_path / "b.csv").write_text("stay_id,onset_time\n30,2150-01-01 13:30:00\n20,\n")
    assert read_onsets(tmp_path / "b.csv", stays).fillna(-1).to_dict() == {5: 90, 6: -1, 7: -1}
    pd.DataFrame({"stay_id": [30], "onset_time": [pd.Timestamp("2150-01-01 11:00:00")]}).to_parquet(tmp_path / "c.parquet")
    assert read_onsets(tmp_path / "c.parquet", stays).fillna(-1).to_dict() == {5: -60, 6: -1, 7: -1}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "stay,onset_minute\n10,5\n", ("stay, onset_minute", "expected stay_id")),
        ("a.csv", "stay_id,hour\n10,5\n", ("expected", "onset_time")),
        ("a.csv", "stay_id,onset_minute\n10,5\n10,6\n", ("row 3", "already")),
        ("a.csv", "stay_id,onset_minute\nten,5\n", ("row 2", "stay_id")),
        ("a.csv", "stay_id,onset_minute\n10,late\n", ("row 2", "onset_minute")),
        ("a.csv", "stay_id,onset_minute\n10,inf\n", ("row 2", "onset_minute")),
        ("a.csv", "stay_id,onset_minute\n99,5\n", ("no stay of this source",)),
        ("a.csv", "stay_id,onset_time\n10,2150-01-01 00:00:00\n", ("no times of day",)),
        ("a.csv", "", ("cannot be read",)),
        ("a.parquet", "stay_id", ("cannot be read",)),
        ("a.txt", "stay_id", ("must end in",)),
    ],
)
def test_bad_tables(name: str, content: str, words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(TardiffError) as caught:
        read_onsets(tmp_path / name, STAYS)
    for word in (name, *words):
        assert word in str(caught.value)


def test_bad_times_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("stay_id,onset_time\n10,noon\n")
    with pytest.raises(TardiffError, match="row 2: onset_time"):
        read_onsets(tmp_path / "a.csv", STAYS.assign(start=START))
    with pytest.raises(TardiffError, match=r"none\.csv: no such file"):
        read_onsets(tmp_path / "none.csv", STAYS)
