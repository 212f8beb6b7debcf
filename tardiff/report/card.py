"""An evaluation's numbers in the card of the generator that drew its sets, or of one of the sets."""

from collections.abc import Iterator
from pathlib import Path

from tardiff.base.files import read_struct, replace_file
from tardiff.base.markdown import BEGIN, CARD, END, escaped, lines
from tardiff.data.codec import Codec
from tardiff.data.data_card import data_card
from tardiff.data.dataset import Dataset
from tardiff.errors import TardiffError
from tardiff.model.card import Card
from tardiff.model.model_card import model_card
from tardiff.report.fidelity import overall
from tardiff.report.parts import shown
from tardiff.report.report_input import ReportInput
from tardiff.report.schema.privacy import Privacy
from tardiff.report.schema.result import Result


def add_evaluation(folder: str | Path, evaluation: str | Path) -> Path:
    """Write an evaluation's numbers into a card; whatever else stands there stays. Returns the card's path.

    Args:
        folder: pipeline folder, or dataset folder of synthetic records.
        evaluation: folder that `tardiff evaluate` wrote.
    """
    folder, result = Path(folder), ReportInput.load(evaluation).result
    held = Dataset.load(folder) if (folder / "manifest.json").exists() else read_struct(folder / "card.json", Card)
    if isinstance(held, Dataset):
        known = held.manifest.content_hash
        named = [name for name, described in result.synthetic.items() if described.content_hash == known]
        missing = f"no set of this evaluation is {known}"
    else:
        named = [name for name, described in result.synthetic.items() if described.origin.generator == held.data_hash]
        missing = f"no set of this evaluation was drawn by a generator that learnt from {held.data_hash}"
    if not named:
        raise TardiffError(f"{folder}: {missing}")
    path = folder / CARD
    text = path.read_text(encoding="utf-8") if path.exists() else _anew(held, folder)
    if not 0 <= text.find(BEGIN) < text.find(END):
        raise TardiffError(f"{path}: the lines {BEGIN} and {END} are gone; put them back, or remove the file to have it written anew")
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    replace_file(path, "\n".join([before, *_numbers(result, named), after]))
    return path


def _anew(held: Dataset | Card, folder: Path) -> str:
    """The card of a folder that has none, from what it holds."""
    return data_card(held) if isinstance(held, Dataset) else model_card(held, Codec.load(folder / "codec.json"))


def _numbers(result: Result, drawn: list[str]) -> Iterator[str]:
    test, fidelity, privacy = result.test, result.fidelity, result.privacy.sets
    yield (
        f"Measured on {test.rows:,} real {test.split} rows ({test.positives:,} {escaped(test.classes[1])}) of data "
        f"`{test.content_hash}`; 95 % intervals in brackets. Floor: what real held-out rows score."
    )
    yield "\n| trained on | model | AUPRC | AUROC |\n|---|---|---|---|"
    for cell in result.utility.cells:
        if cell.protocol == "TRTR" or (cell.protocol == "TSTR" and cell.synthetic in drawn):
            yield lines([[cell.synthetic or "real rows", cell.model, shown(cell.metrics["auprc"]), shown(cell.metrics["auroc"])]])
    yield "\n| set | KS distance | nearer to a training row than to a held-out one | copies of training rows |\n|---|---|---|---|"
    yield lines([["floor", shown(overall(fidelity.floor, "ks")), "0.5", ""]])
    for name in drawn:
        copies = privacy[name].copies
        distances = [shown(overall(fidelity.sets[name], "ks")), shown(privacy[name].nearer_train)]
        yield lines([[name, *distances, f"{copies.count:,} of {copies.n:,}"]])
    yield from _attacked(result.privacy, drawn)


def _attacked(privacy: Privacy, drawn: list[str]) -> Iterator[str]:
    """Membership inference by reference models, on the weights and on the sets that were drawn from them."""
    references = privacy.references
    if references is None or references.reason:
        reason = references.reason if references else "`tardiff evaluate --run RUN` measures it"
        yield f"\nMembership inference: not measured; {reason}."
        return
    yield (
        f"\nMembership inference, calibrated by {references.models} reference model(s) of {references.steps:,} steps, which learnt "
        f"{references.rows:,} held-out rows: training rows against {references.others:,} others. AUC 0.5 is guessing; "
        "control: held-out rows against held-out rows.\n"
    )
    yield "| of | attack | AUC | control | training rows found at 1 % false alarms |\n|---|---|---|---|---|"
    targets = {"the weights": privacy.generator, **{name: privacy.sets[name].attacks for name in drawn}}
    for target, attacks in targets.items():
        for attack in attacks:
            if attack.members == "train":
                hits = attack.tpr.get("0.01")
                found = shown(hits) if hits else attack.reason or ""
                yield lines([[target, attack.attack, shown(attack.auc), shown(attack.control), found]])
