"""From raw records to dataset folders, and what can be said and written of those."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, arg

from data_prep.settings import PrepareSettings, SimulateSettings
from tardiff.commands.options import Data, Out, deciding, described
from tardiff.commands.screen import Verbose, close, colour


def prepare(settings: OmitArgPrefixes[PrepareSettings], verbose: Verbose = False) -> None:
    """Turn raw ICU records into a dataset folder.

    SOURCE is mimic-iv, eicu, physionet2012 or physionet2019 (PhysioNet/CinC Challenges), meds, yaib, table (any long table with
    a table.yaml), or simulate, which writes MIMIC-IV-shaped tables of made-up patients and prepares those.

    For instance:
      tardiff prepare physionet2012 --raw physionet2012/ --split by-set --out runs/p12/data
      tardiff prepare mimic-iv --raw mimic-iv-demo-2.2/ --out data/demo
      tardiff prepare meds --raw mimic-iv-meds/ --split publisher --out data/meds
      tardiff prepare table --raw my-hospital/ --variables all --out data/mine
      tardiff prepare simulate --stays 3000 --out data/simulated
    """
    from data_prep import prepare

    dataset = prepare(settings)
    lines, account = described(dataset, settings.out), dataset.manifest.account or ()
    every = []
    for table in account:
        lost = "".join(f"; {count:,} {reason}" for reason, count in table.lost.items())
        every.append(f"  {table.table}: {table.read:,} entries read, {table.kept:,} kept{lost}")
    read, kept = (sum(getattr(table, what) for table in account) for what in ("read", "kept"))
    why = "; --verbose and manifest.json say table by table why the others were not" if kept < read else ""
    short = [f"  {read:,} entries read, {kept:,} kept{why}"]
    close(lines + every if verbose else [*deciding(dataset, lines), *(short if account else ())], verbose=verbose)


def simulate(settings: OmitArgPrefixes[SimulateSettings]) -> None:
    """Write raw tables in the shape of MIMIC-IV, of patients who do not exist, with the oddities of the real tables.

    Any size in constant memory: 10,000 stays with --ballast 8 are 50 million rows of chartevents, in under two minutes.

    For instance:
      tardiff simulate --stays 3000 --out raw/simulated
      tardiff simulate --stays 10000 --ballast 8 --seed 1 --out raw/large
    """
    from data_prep.simulate import simulate

    rows = simulate(settings.out, settings.stays, settings.seed, settings.ballast)
    print(f"{settings.out}: {settings.stays:,} stays")
    for table, n in rows.items():
        print(f"  {n:>13,} rows  {table}")


def variables(source: Annotated[Positional[str | None], arg(metavar="[SOURCE]")] = None, concepts: Path | None = None) -> None:
    """List the variables that can be prepared: meaning, unit, plausible range, and where a source keeps them.

    The dictionary is a YAML file, and a file of your own is merged over it (here, and by `tardiff prepare --concepts`). This
    one adds a variable of MIMIC-IV and narrows the range of another:

      variables:
        ldh: {label: Lactate dehydrogenase, unit: IU/L, limits: [1, 50000], limits_from: our laboratory, aggregation: last, normal: 200}
        hr: {limits: [20, 250], limits_from: our monitors}
      found:
        mimic_iv:
          ldh: {table: labevents, item: 50954, label: Lactate Dehydrogenase (LD)}

    The built-in file, data_prep/concepts.yaml, begins with what every field means; docs/reference/variables.md tells the rules.

    For instance:
      tardiff variables mimic-iv
      tardiff variables mimic-iv --concepts my.yaml

    Args:
        source: List what this source has, with its items, and what the words of --variables choose; without it, everything.
        concepts: A dictionary of your own.
    """
    from data_prep.concept_files import load_concepts
    from data_prep.variables import listing

    print(listing(load_concepts(concepts), source))


def audit(
    data: Data, run: UseAppendAction[tuple[Path, ...]] = (), json: Path | None = None, seed: int = 0, verbose: Verbose = False
) -> None:
    """Look for leaks in a dataset folder: what would make a model look better than it is.

    Checks for patients in two splits, records that occur twice, values after the cutoff, statistics taken from test rows, rules
    of the cohort that look ahead, class balance and missingness by split; and shows how far the mask alone, the length alone and
    the time of the prediction alone predict the label on validation rows. Exit status 1 if there is a trap.

    For instance:
      tardiff audit runs/p12/data --json p12-audit.json
      tardiff audit runs/p12/data --run runs/p12/run --run runs/p12/classifier

    Args:
        data: Dataset folder.
        run: Pipeline or classifier folder that was made from it; repeat for more. What it fitted must come from training rows.
        json: File to write the findings to.
        seed: Seed of the intervals.
    """
    from tardiff.audit import audit, table
    from tardiff.base.files import refuse_existing, write_json

    if json is not None:
        refuse_existing(json)
    findings = audit(data, run, seed)
    if json is not None:
        write_json(json, [asdict(finding) for finding in findings])
    lines = table(findings).splitlines()
    told = [line for line, finding in zip(lines, findings, strict=False) if verbose or finding.status != "pass"]
    failed = any(finding.status == "fail" for finding in findings)
    close([*told, *(lines[-2:-1] if told else ()), colour(lines[-1], "bad" if failed else "good")], verbose=verbose)
    if failed:
        sys.exit(1)


def export(data: Data, out: Out, format: Literal["table", "rows", "meds"] = "table") -> None:
    """Write a dataset folder as a long table (CSV or Parquet by the file's name), as rows, or as a MEDS 0.4 folder.

    Columns of the table: split, stay_id, label, hour (empty for a descriptor), variable, value. A row is a stay's descriptors, label, and
    the mean and the worst value (furthest from normal) of each channel. Rows become a wide table, or a dataset folder of one step if the
    name of --out has no ending of a table. A MEDS folder goes back into a dataset folder with `tardiff prepare meds`.

    For instance:
      tardiff export runs/p12/guided --out guided.csv
      tardiff export runs/p12/guided --out guided.parquet
      tardiff export runs/p12/guided --format meds --out guided-meds
      tardiff export runs/p12/guided --format rows --out guided-rows.csv

    Args:
        data: Dataset folder.
        out: File to write, ending in .csv, .csv.gz or .parquet; for MEDS, and for rows as a dataset, the folder to write.
        format: table, rows or meds.
    """
    from tardiff.data.dataset import Dataset, write_table

    dataset = Dataset.load(data)
    if format == "meds":
        from tardiff.data.meds import export_meds

        print(f"{out}: {export_meds(dataset, out):,} events")
        return
    if format == "rows":
        from tardiff.data.rows import as_rows, wide_table

        rows = as_rows(dataset)
        if out.suffix in (".csv", ".gz", ".parquet"):
            print(f"{out}: {write_table(lambda: wide_table(rows), out):,} rows")
        else:
            close(described(rows.save(out), out))
        return
    print(f"{out}: {dataset.export(out):,} values")
