"""Raw tables in the shape of MIMIC-IV, of patients who do not exist, with the oddities of the real ones.

Patients come to care units (`patients`, `bodies`, `units`), get better or worse along a `timeline` (`physiology`, `vitals`), and leave
entries of known items (`items`): nurses go round (`rounds`) and read devices (`devices`) in the unit's way (`charting`, `outputs`), blood
is sent away (`laboratory`). What comes of it is gathered (`rows`) and written chunk by chunk (`tables`).
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from data_prep.simulate.charting import chartevents
from data_prep.simulate.laboratory import labevents
from data_prep.simulate.outputs import outputevents
from data_prep.simulate.patients import admissions, draw_stays, icustays, patients
from data_prep.simulate.physiology import draw_course
from data_prep.simulate.rounds import draw_rounds
from data_prep.simulate.tables import Files, d_items, d_labitems
from tardiff.base.files import new_folder
from tardiff.errors import TardiffError

CHUNK = 128
"""Stays in memory at a time, and in the hands of one random generator."""


def simulate(raw: str | Path, stays: int, seed: int = 0, ballast: int = 0) -> dict[str, int]:
    """Write `raw/icu/*.csv.gz` and `raw/hosp/*.csv.gz`, whole or not at all.

    Memory does not grow with `stays`. The same arguments write the same bytes.

    Args:
        raw: the folder to make.
        stays: how many stays in intensive care.
        seed: of everything that is drawn.
        ballast: rows of chartevents that no variable uses, for each row that one uses.

    Returns:
        How many rows each table has.

    Raises:
        TardiffError: no stays are asked for, `raw` exists, or it cannot be written.
    """
    if stays < 1 or ballast < 0:
        raise TardiffError(f"stays {stays}, ballast {ballast}: ask for at least 1 stay and no negative ballast")
    with new_folder(raw) as folder, ExitStack() as stack:
        files = Files(folder, stack)
        files.append("icu/d_items", d_items())
        files.append("hosp/d_labitems", d_labitems())
        writer = stack.enter_context(ThreadPoolExecutor(1))
        pending = writer.submit(_append, files, {})  # nothing
        with tqdm(total=stays, desc="simulating", unit=" stays", disable=None) as bar:
            for first in range(0, stays, CHUNK):
                n = min(CHUNK, stays - first)
                chunk = _chunk(np.random.default_rng([seed, first]), first, n, ballast)
                pending.result()  # one chunk is written while the next is drawn, and no more are kept
                pending = writer.submit(_append, files, chunk)
                bar.update(n)
            pending.result()
    return files.rows


def _chunk(rng: np.random.Generator, first: int, n: int, ballast: int) -> dict[str, dict[str, Any]]:
    """The rows of every table about `n` stays."""
    stays = draw_stays(rng, first, n)
    course = draw_course(rng, stays)
    rounds = draw_rounds(rng, stays, course)
    return {
        "icu/icustays": icustays(stays),
        "hosp/patients": patients(stays),
        "hosp/admissions": admissions(rng, stays),
        "hosp/labevents": labevents(rng, stays, course),
        "icu/outputevents": outputevents(rng, stays, course, rounds),
        "icu/chartevents": chartevents(rng, stays, course, rounds, ballast),
    }


def _append(files: Files, chunk: dict[str, dict[str, Any]]) -> None:
    for table, columns in chunk.items():
        files.append(table, columns)
