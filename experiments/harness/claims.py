"""Every measured sentence beside the figure that it rests on: `make claims` fails when they differ.

    python -m experiments.harness.claims            # check README.md, docs/ and experiments/ against the ledgers
    python -m experiments.harness.claims --write    # fill in the figures, and write experiments/README.md

A sentence is marked in Markdown by a comment behind its figure: `+0.010 [+0.003, +0.023] <!-- claim: scarce-default -->`. What has not been
run says `not yet run`. A claim of claims.yaml is a figure of the harness's ledger or of a file that a benchmark wrote.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import yaml

from experiments.harness.draws import holm, over_seeds
from experiments.harness.protocol import HERE, PROTOCOL, RESULTS, Protocol, load
from experiments.harness.realism import DERIVED
from experiments.harness.tables import BEST_RIVAL, COSTS, Results, markdown, read
from tardiff.base.estimates import shown
from tardiff.base.files import replace_file
from tardiff.base.ledger import Ledger
from tardiff.errors import InputError
from tardiff.evaluate.bootstrap import Draws
from tardiff.evaluate.intervals import LEVEL, Interval, chance

ROOT = HERE.parents[1]
CLAIMS, PAGE = HERE / "claims.yaml", Path("experiments/README.md")
NOT_RUN = "not yet run"
FIGURE = r"(?:(?:more|fewer) than )?[+-]?[\d,]+(?:\.\d+)? \[[^\]]*\]"
WITHIN = r"[\w.,+\-\u2212]"  # before a figure it would make it another one
WORTH = "worth"
MARK = re.compile(r"<!-- claim: ([\w-]+) -->")
LOWER_IS_BETTER = ("brier", "brier_platt", "slope_off", *(set(COSTS) - {"trts", "slope"}), *DERIVED)
HEAD = """# What was asked, and what was found

This page is written by `python -m experiments.harness.claims --write` from the ledger of the [harness](harness/run.py); `make claims` fails
where a sentence of the README or of the documents says otherwise. Figures are AUPRC, the mean of the judges, unless another is named.
Brackets are 95 % intervals, paired for differences: over seeds and patients; of realism, attacks and costs over seeds alone.
*Tuned* real rows train models with the best of six settings. *Kept*: the figure is within what was asked; *shown*: the whole interval of a
difference is. *Matched*: how strongly the default guided, over seeds (strength 0 and scale 1: the rows are the unguided ones).
Findings that go against the package stand first. `python -m experiments.harness.run --studies STUDY --work WORK` runs what is not in the
ledger. Which rows were read by what, what was changed after figures had been seen, the order of the run and what it costs:
[protocol.yaml](harness/protocol.yaml). All tables: `python -m experiments.harness.tables`. What version 0.1's own runs said:
[version-0.1.md](version-0.1.md). Speed and memory: [benchmarks](benchmarks/README.md).

"""


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A figure that a sentence rests on.

    Attributes:
        asks: the question.
        study, row: whose figure, in the ledger; of several rows the one that is best on the rows to choose by.
        against: the row that it is the paired difference to; of several, each must be beaten, and the figure is that of the one which is
            beaten least surely. None for the figure itself.
        column: `added` (with real rows) or `alone`.
        size: of synthetic rows alone.
        metric: of judges, a cost, or `worth` (in labelled local stays); of several, such as attacks, the strongest, with an interval that
            holds all of them at once (Bonferroni).
        judges: some of them; all if none is named.
        harm: it asks whether something does harm, so that finding none speaks for the package.
        family: comparisons that are corrected together for their number (Holm), by a name that they share.
        margin: of equivalence, by its name in the protocol; it says study, rows and column.
        at_most: what is asked: of a difference, that the upper end of its interval lies below; of a figure, that its mean does.
        at_least: of a difference, that the lower end of its interval lies above.
        file, path, shape: a JSON file of the repository, keys to a number in it (of a list, a place or a `name`), and how it is written
            (`{:.0f} x`).
        command: what makes the file.
    """

    asks: str
    study: str = ""
    row: str | tuple[str, ...] = ""
    against: str | tuple[str, ...] | None = None
    column: str = "added"
    size: int = 0
    metric: str | tuple[str, ...] = "auprc"
    judges: tuple[str, ...] = ()
    harm: bool = False
    family: str | None = None
    margin: str | None = None
    at_most: float | None = None
    at_least: float | None = None
    file: str | None = None
    path: tuple[str, ...] = ()
    shape: str = "{}"
    command: str = ""


@dataclass(frozen=True)
class Found:
    """What a claim comes to.

    Attributes:
        text: the figure, as a sentence has it.
        finding: in words, by rule.
        against: the figure speaks against what a user may hope for.
    """

    text: str
    finding: str
    against: bool = False


def load_claims(protocol: Protocol, path: Path = CLAIMS) -> dict[str, Claim]:
    """The claims by id.

    Raises:
        InputError: one names what the protocol does not have.
    """
    claims = msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")), dict[str, Claim])
    for name, claim in claims.items():
        if claim.margin is not None and claim.margin not in protocol.margins:
            raise InputError(f"claim {name}: the protocol has no margin {claim.margin!r}")
        if claim.file is None and claim.margin is None:
            study = protocol.studies.get(claim.study)
            if study is None or not {*_several(claim.row), *_several(claim.against)} <= {*study.rows, BEST_RIVAL}:
                raise InputError(f"claim {name}: the protocol has no such study or row")
        if claim.family and (not claim.against or claim.at_least is not None or claim.at_most is not None):
            raise InputError(f"claim {name}: only plain differences make a family")
    return claims


def corrected(claims: Mapping[str, Claim], protocol: Protocol, results: Mapping[str, Results]) -> dict[str, float]:
    """P-values of the claims that belong to a family, by id; what has not been run is of its number."""
    families: dict[str, dict[str, float]] = {}
    for name, claim in claims.items():
        if claim.family:
            least = _against(claim, results[claim.study]) if claim.study in results else None
            families.setdefault(claim.family, {})[name] = least[1] if least else 1.0
    return {name: p for family in families.values() for name, p in holm(family).items()}


def found(claim: Claim, protocol: Protocol, results: Mapping[str, Results], root: Path = ROOT, p: float | None = None) -> Found:
    """What the ledger, or the file, says of a claim.

    Args:
        claim: the claim.
        protocol: its margins.
        results: by study.
        root: of the repository.
        p: of its comparison, corrected for the others of its family.
    """
    if claim.file is not None:
        value: Any = json.loads((root / claim.file).read_text())
        for key in claim.path:
            named = isinstance(value, list) and not key.isdigit()
            value = next(of for of in value if of["name"] == key) if named else value[int(key) if isinstance(value, list) else key]
        return Found(claim.shape.format(value), "measured")
    margin = protocol.margins[claim.margin] if claim.margin else None
    if margin:
        claim = msgspec.structs.replace(claim, study=margin.study, row=margin.row, against=margin.against, column=margin.column)
    of = results.get(claim.study)
    row = None if of is None else _row(claim, of)
    if of is None or row is None:
        return Found(NOT_RUN, NOT_RUN)
    if claim.metric == WORTH:
        worth = of.worth(row)
        return Found(str(worth), *_asked((worth.value,) * 3, claim.at_least, claim.at_most, "kept")) if worth else Found(NOT_RUN, NOT_RUN)
    if claim.against is None:
        estimate, other = strongest([of.compared(row, claim.column, claim.size, m, claim.judges) for m in _several(claim.metric)]), ""
    else:
        least = _against(claim, of)
        estimate, other = (least[0], least[2]) if least else (None, "")
    if estimate is None:
        return Found(NOT_RUN, NOT_RUN)
    text = shown(*estimate, signed=claim.against is not None)
    chosen = [name for name, told in ((row, claim.row), (other, claim.against)) if name and name != told]
    told = (f" ({' against '.join(chosen)})" if chosen else "") + _matched(of.cells(row).values())
    if claim.against is not None and np.isnan(estimate[1:]).any():
        return Found(text, f"too few seeds{told}")
    if claim.at_most is not None or claim.at_least is not None:
        whole, kept = (estimate, "shown") if claim.against is not None else ((estimate[0],) * 3, "kept")
        finding, against = _asked(whole, claim.at_least, claim.at_most, kept)
    elif claim.against is None:
        finding, against = "measured", False
    elif margin:
        against = not (-margin.auprc < estimate[1] and estimate[2] < margin.auprc)
        finding = f"not shown to be equal within {margin.auprc:g}" if against else f"equal within {margin.auprc:g}"
    elif p is not None and p > 1 - LEVEL:
        finding, against = f"no difference found, p = {p:.3f} by Holm", not claim.harm
    else:
        finding, against = _said(estimate, _sign(claim), claim.harm)
    return Found(text, finding + told, against)


def strongest(figures: Sequence[Mapping[int, Draws]]) -> Interval | None:
    """The largest of several figures, whose interval holds the largest true one (Bonferroni); None unless all have been run."""
    if not all(figures):
        return None
    estimates = np.array([over_seeds(by_seed, 1 - (1 - LEVEL) / len(figures)) for by_seed in figures])
    value, low, high = estimates.max(axis=0)
    return float(value), float(low), float(high)


def _several(names: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names or ()


def _row(claim: Claim, results: Results) -> str | None:
    """The row of a claim."""
    return claim.row if isinstance(claim.row, str) else results.best(claim.row)


def _sign(claim: Claim) -> int:
    """1 if more of its metric is better, else -1."""
    return -1 if _several(claim.metric)[0] in LOWER_IS_BETTER else 1


def _against(claim: Claim, results: Results) -> tuple[Interval, float, str] | None:
    """The difference to the row that is beaten least surely, its p-value, and that row; None unless all have been run."""
    row, found = _row(claim, results), []
    for other in _several(claim.against):
        by_metric = [results.compared(row, claim.column, claim.size, m, claim.judges, other) if row else {} for m in _several(claim.metric)]
        if (estimate := strongest(by_metric)) is None:
            return None
        p = max(chance(np.stack(list(by_seed.values()), axis=1)) for by_seed in by_metric)
        found.append((estimate, p, results.best_rival() or "" if other == BEST_RIVAL else other))
    return min(found, key=lambda of: min(_sign(claim) * end for end in of[0]))


def _asked(estimate: Interval, least: float | None, most: float | None, word: str) -> tuple[str, bool]:
    """Whether what is asked is kept, or shown."""
    kept = (least is None or estimate[1] >= least) and (most is None or estimate[2] <= most)
    ends = " and ".join(f"{of} {end:g}" for of, end in (("at least", least), ("at most", most)) if end is not None)
    return f"{word if kept else f'not {word}'}: {ends}", not kept


def _matched(cells: Iterable[Mapping[str, Any]]) -> str:
    """How strongly the default guided, from its weakest seed to its strongest; nothing of rows that are not matched."""
    found = [(cell["strength"], cell["cfg_scale"]) for cell in cells if "strength" in cell]
    if not found:
        return ""
    strength, scale = (" to ".join(dict.fromkeys(f"{end:g}" for end in (min(of), max(of)))) for of in zip(*found, strict=True))
    return f"; matched: strength {strength}, scale {scale}"


def _said(estimate: Interval, sign: int, harm: bool) -> tuple[str, bool]:
    """A difference in words: better or worse only where its interval leaves 0 out; and whether that speaks against the package."""
    if np.isnan(estimate[1:]).any():
        return "too few seeds", False
    if not np.any(estimate):
        return "the same rows", not harm
    low, high = sorted(sign * end for end in estimate[1:])
    if low > 0:
        return "better", False
    if high < 0:
        return "worse", True
    return "no difference found", not harm


def page(claims: Mapping[str, Claim], protocol: Protocol, results: Mapping[str, Results], root: Path = ROOT) -> str:
    """`experiments/README.md`: one line a claim of the harness, those that speak against the package first."""
    lines = []
    chances = corrected(claims, protocol, results)
    for name, claim in ((name, claim) for name, claim in claims.items() if claim.file is None):
        of = found(claim, protocol, results, root, chances.get(name))
        study = claim.study or protocol.margins[str(claim.margin)].study
        lines.append((not of.against, [claim.asks, of.finding, of.text, study]))
    ordered = [line for _, line in sorted(lines, key=lambda pair: pair[0])]
    commits = sorted({cell["commit"] for of in results.values() for cells in of.rows.values() for cell in cells.values()})
    made = f"Cells were run from commits {', '.join(commits)}.\n\n" if commits else ""
    return HEAD + made + markdown([["asked", "found", "figure", "study"], *ordered]) + "\n"


def documents(root: Path = ROOT) -> list[Path]:
    """Where claims stand; the page itself is written whole."""
    benchmarks = sorted((root / "experiments" / "benchmarks").glob("*.md"))
    return [root / "README.md", *sorted((root / "docs").rglob("*.md")), *benchmarks]


def check(claims: Mapping[str, Claim], protocol: Protocol, results: Mapping[str, Results], root: Path = ROOT) -> list[str]:
    """What is wrong, a line a sentence; nothing if all holds."""
    wrong = []
    for path in documents(root):
        text, name = path.read_text(encoding="utf-8"), path.relative_to(root)
        for mark in MARK.finditer(text):
            claim = claims.get(mark[1])
            if claim is None:
                wrong.append(f"{name}: claim {mark[1]} is not in claims.yaml")
                continue
            expected, before = found(claim, protocol, results, root).text, text[: mark.start()].rstrip(" *`")
            if not before.endswith(expected) or re.search(f"{WITHIN}$", before[: -len(expected)]):
                wrong.append(f"{name}: claim {mark[1]}: the figure is {expected}; the sentence says ...{before[-40:]!r}")
    stands = (root / PAGE).read_text(encoding="utf-8") if (root / PAGE).exists() else ""
    if stands != page(claims, protocol, results, root):
        wrong.append(f"{PAGE}: is not what the ledger says; python -m experiments.harness.claims --write")
    return wrong


def write(claims: Mapping[str, Claim], protocol: Protocol, results: Mapping[str, Results], root: Path = ROOT) -> None:
    """Fill in the figures of the harness wherever they are marked, and write the page."""
    for path in documents(root):
        text = path.read_text(encoding="utf-8")
        changed = re.sub(
            rf"(?:{FIGURE}|{NOT_RUN})([*` ]*)<!-- claim: ([\w-]+) -->",
            lambda m: f"{found(claims[m[2]], protocol, results, root).text}{m[1]}<!-- claim: {m[2]} -->" if m[2] in claims else m[0],
            text,
        )
        if changed != text:
            replace_file(path, changed)
    replace_file(root / PAGE, page(claims, protocol, results, root))


def main() -> None:
    """Check, or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="fill in the figures, and write experiments/README.md")
    parser.add_argument("--results", type=Path, default=RESULTS, help="ledger of finished cells")
    options = parser.parse_args()
    protocol = load(PROTOCOL)
    claims, results = load_claims(protocol), read(Ledger(options.results), protocol)
    if options.write:
        write(claims, protocol, results)
    wrong = check(claims, protocol, results)
    print("\n".join(wrong) or f"{len(claims)} claims hold")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
