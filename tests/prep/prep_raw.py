"""Small raw folders that the tests write themselves."""

import gzip
import io
import tarfile
from pathlib import Path

DESCRIPTORS = "00:00,RecordID,{id}\n00:00,Age,{age}\n00:00,Gender,1\n00:00,Height,-1\n00:00,ICUType,3\n00:00,Weight,80\n"
OUTCOMES = "RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death\n"


class Raw2012:
    """A folder in the layout of the 2012 challenge, archived unless a test says otherwise."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bodies: dict[str, dict[int, str]] = {}
        self.outcomes: dict[str, dict[int, str]] = {}

    def add(self, record: int, lines: str, died: str = "0", age: int = 60, name: str = "a") -> None:
        """Add a record with its descriptors and outcome."""
        self.bodies.setdefault(name, {})[record] = "Time,Parameter,Value\n" + DESCRIPTORS.format(id=record, age=age) + lines
        self.outcomes.setdefault(name, {})[record] = died

    def cohort(self, n: int = 40, name: str = "a", first: int = 1) -> "Raw2012":
        """Add `n` ordinary records, of which every fourth died."""
        for record in range(first, first + n):
            self.add(record, f"00:10,HR,{60 + record % 40}\n01:10,HR,{70 + record % 40}\n", "1" if record % 4 == 0 else "0", name=name)
        return self

    def write(self, archived: bool = True) -> Path:
        """Write everything that was added."""
        self.root.mkdir(exist_ok=True)
        for name, bodies in self.bodies.items():
            rows = "".join(f"{record},1,1,5,-1,{died}\n" for record, died in self.outcomes[name].items())
            (self.root / f"Outcomes-{name}.txt").write_text(OUTCOMES + rows)
            if archived:
                self._archive(name, bodies)
                continue
            (self.root / f"set-{name}").mkdir()
            for record, body in bodies.items():
                (self.root / f"set-{name}" / f"{record}.txt").write_text(body)
        return self.root

    def _archive(self, name: str, bodies: dict[int, str]) -> None:
        with tarfile.open(self.root / f"set-{name}.tar.gz", "w:gz") as archive:
            for record, body in bodies.items():
                member = tarfile.TarInfo(f"set-{name}/{record}.txt")
                member.size = len(body.encode())
                archive.addfile(member, io.BytesIO(body.encode()))


TABLES = {
    "icu/d_items": "itemid,label,abbreviation,linksto,category,unitname,param_type,lownormalvalue,highnormalvalue\n"
    "220045,Heart Rate,HR,,,bpm,,,\n226512,Admission Weight (Kg),,,,kg,,,\n226531,Admission Weight (lbs.),,,,None,,,\n"
    "224639,Daily Weight,,,,kg,,,\n226730,Height (cm),,,,cm,,,\n226707,Height,,,,Inch,,,\n"
    "220739,GCS - Eye Opening,,,,,,,\n223900,GCS - Verbal Response,,,,,,,\n223901,GCS - Motor Response,,,,,,,\n"
    "223951,Capillary Refill R,,,,,,,\n224308,Capillary Refill L,,,,,,,\n",
    "icu/icustays": "subject_id,hadm_id,stay_id,first_careunit,last_careunit,intime,outtime,los\n",
    "icu/chartevents": "subject_id,hadm_id,stay_id,caregiver_id,charttime,storetime,itemid,value,valuenum,valueuom,warning\n",
    "icu/outputevents": "subject_id,hadm_id,stay_id,caregiver_id,charttime,storetime,itemid,value,valueuom\n",
    "hosp/labevents": "labevent_id,subject_id,hadm_id,specimen_id,itemid,order_provider_id,charttime,storetime,value,valuenum,valueuom,"
    "ref_range_lower,ref_range_upper,flag,priority,comments\n",
    "hosp/d_labitems": "itemid,label,fluid,category\n50821,pO2,Blood,Blood Gas\n50912,Creatinine,Blood,Chemistry\n"
    "52033,Specimen Type,Blood,Blood Gas\n",
    "hosp/patients": "subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod\n",
    "hosp/admissions": "subject_id,hadm_id,admittime,dischtime,deathtime,hospital_expire_flag\n",
}


class RawMimic:
    """A folder in the layout of MIMIC-IV: 20 patients with a stay of two days each, every fourth dies."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tables = dict(TABLES)
        for k in range(20):
            self.tables["icu/icustays"] += f"{k},{100 + k},{200 + k},PACU,PACU,2150-01-01 00:30:00,2150-01-03 00:30:00,2\n"
            self.tables["hosp/patients"] += f"{k},F,50,2148,2014 - 2016,\n"
            self.tables["hosp/admissions"] += f"{k},{100 + k},2150-01-01 00:00:00,2150-01-05 00:00:00,,{int(k % 4 == 0)}\n"
            self.chart(k, "2150-01-01 00:30:00", "80")

    def chart(self, stay: int, time: str, value: str, item: int = 220045, text: str | None = None, unit: str = "") -> None:
        """Add a charted value to stay 200 + `stay`; its text is the number if no other is given."""
        words = value if text is None else text
        self.tables["icu/chartevents"] += f"{stay},{100 + stay},{200 + stay},,{time},,{item},{words},{value},{unit},0\n"

    def lab(self, subject: int, time: str, value: str, item: int = 50912, stored: str = "", specimen: int = 1, text: str = "") -> None:
        """Add a laboratory result, which names no admission; the running number grows."""
        number = self.tables["hosp/labevents"].count("\n")
        what = f"{time},{stored},{text or value},{value},mg/dL"
        self.tables["hosp/labevents"] += f'{number},{subject},,{specimen},{item},,{what},,,,,"a comment, with a comma"\n'

    def write(self) -> Path:
        """Write the tables."""
        for name, text in self.tables.items():
            path = self.root / f"{name}.csv.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(text.encode()))
        return self.root
