"""Small raw folders of the sources, all good."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from data_prep.sources.eicu import PATIENT
from data_prep.sources.physionet2019 import DESCRIPTORS, FIRST_LINE, HEADER
from tests.prep.prep_raw import Raw2012, RawMimic
from tests.prep.prep_small import write_table, write_yaib


def mimic(root: Path) -> None:
    """MIMIC-IV with one laboratory result."""
    raw = RawMimic(root)
    raw.lab(3, "2150-01-01 02:00:00", "1.5", stored="2150-01-01 03:00:00")
    raw.write()


def challenge2012(root: Path) -> None:
    """Set a of the 2012 challenge, as files."""
    Raw2012(root).cohort().write(archived=False)


def challenge2012_archived(root: Path) -> None:
    """The same as an archive."""
    Raw2012(root).cohort().write()


def challenge2019(root: Path) -> None:
    """Set A of the 2019 challenge: 30 patients of three hours, every third with sepsis in the last one."""
    folder = root / "training_setA"
    folder.mkdir(parents=True)
    for patient in range(1, 31):
        rows = []
        for hour in range(1, 4):
            known = {"HR": 70 + patient, "ICULOS": hour, "SepsisLabel": int(patient % 3 == 0 and hour == 3)}
            known |= dict(zip(DESCRIPTORS, (60, 1, 1, 0, -3), strict=True))
            rows.append("|".join(str(known.get(name, "NaN")) for name in HEADER))
        (folder / f"p{patient:06}.psv").write_text("\n".join([FIRST_LINE, *rows]) + "\n")


def eicu(root: Path) -> None:
    """EICU with periodic vital signs only: 20 stays of two days, every fourth patient dies."""
    root.mkdir()
    stays = [
        {
            "patientunitstayid": 300 + k,
            "patienthealthsystemstayid": 400 + k,
            "uniquepid": f"00-{k}",
            "gender": "Female",
            "age": 50,
            "unitvisitnumber": 1,
            "unitdischargeoffset": 2880,
            "hospitaldischargeyear": 2014,
            "hospitaldischargeoffset": 4000,
            "hospitaldischargestatus": "Expired" if k % 4 == 0 else "Alive",
        }
        for k in range(20)
    ]
    pd.DataFrame(stays, columns=PATIENT).to_csv(root / "patient.csv", index=False)
    vitals = {"vitalperiodicid": range(20), "patientunitstayid": range(300, 320), "observationoffset": 30, "heartrate": 80}
    empty = dict.fromkeys(("temperature", "sao2", "respiration", "systemicsystolic", "systemicdiastolic", "systemicmean"), "")
    pd.DataFrame({**vitals, **empty}).to_csv(root / "vitalPeriodic.csv", index=False)


def yaib(root: Path) -> None:
    """A YAIB cohort."""
    write_yaib(root)


def table(root: Path) -> None:
    """A long table with its layout."""
    write_table(root)


FOLDERS: Mapping[str, Callable[[Path], None]] = {
    "MIMIC": mimic,
    "P2012": challenge2012,
    "P2012GZ": challenge2012_archived,
    "P2019": challenge2019,
    "EICU": eicu,
    "YAIB": yaib,
    "TABLE": table,
}
