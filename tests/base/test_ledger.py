import json

import pytest

from tardiff.base.ledger import Ledger
from tardiff.errors import TardiffError


def test_what_was_added_is_found_by_another_reader_too(tmp_path):
    mine, theirs = Ledger(tmp_path / "cells.jsonl"), Ledger(tmp_path / "cells.jsonl")
    assert mine.find(seed=1) is None
    mine.add({"seed": 1, "row": "a", "value": 0.5})
    theirs.add({"seed": 1, "row": "b", "value": [1, 2]})
    assert mine.find(seed=1, row="b") == theirs.find(row="b") == {"seed": 1, "row": "b", "value": [1, 2]}
    assert theirs.find(seed=1)["row"] == "a"
    assert mine.find(seed=1, row="c") is None
    assert mine.cells() == theirs.cells() == [json.loads(line) for line in mine.path.read_text().splitlines()]


@pytest.mark.parametrize("cut", [1, 5, 14, 15])
def test_a_line_cut_by_a_kill_is_done_again_and_spoils_no_other(cut, tmp_path):
    ledger = Ledger(tmp_path / "cells.jsonl")
    for seed in (1, 2):
        ledger.add({"seed": seed, "v": 0})
    ledger.path.write_bytes(ledger.path.read_bytes()[:-cut])
    later = Ledger(ledger.path)
    assert later.find(seed=1)
    assert later.find(seed=2) is None
    later.add({"seed": 3, "v": 0})
    assert later.find(seed=3)
    again = Ledger(ledger.path)
    assert {1, 3} <= {cell["seed"] for cell in again.cells()} <= {1, 2, 3}
    assert again.cells() == later.cells()


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(TardiffError, match=r"nowhere/cells\.jsonl: cannot be written"):
        Ledger(tmp_path / "nowhere" / "cells.jsonl").add({})
