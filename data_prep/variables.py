"""The variable dictionary as a table to read."""

from collections.abc import Sequence

from data_prep.concepts import Concepts, Place
from tardiff.errors import TardiffError

HEADER = ("name", "what", "unit", "plausible", "whose range", "a step holds", "normal")


def listing(concepts: Concepts, source: str | None = None) -> str:
    """What `tardiff variables` prints: every variable, of one source with its places there, then what single words choose.

    Places of equal rank are joined by "+"; what stands after "else" is used in steps where the others have nothing.

    Raises:
        TardiffError: the dictionary has no such source.
    """
    if source is None:
        return _table([HEADER, *(_row(concepts, name) for name in concepts.variables)])
    key = source.replace("-", "_")
    known = concepts.known(key)
    if not known:
        sources = sorted({found for variable in concepts.variables.values() for found in variable.found})
        raise TardiffError(
            f"source: the dictionary has no {source!r}; choose {', '.join(sources)} "
            "(meds and simulate have the variables of mimic_iv, a table has its own and may name any that plain `tardiff variables` lists)"
        )
    rows = [(*HEADER, "found as"), *((*_row(concepts, name), _places(concepts, key, name)) for name in known)]
    choices = concepts.choices(key).items()
    words = [f"--variables {word}: {', '.join(names)}" for word, names in choices if set(names) <= set(known)]
    return "\n".join([_table(rows), "", *words])


def _row(concepts: Concepts, name: str) -> tuple[str, ...]:
    variable = concepts.variables[name]
    plausible = "{:g} to {:g}".format(*variable.limits)
    return name, variable.label, variable.unit, plausible, variable.limits_from, variable.aggregation, f"{variable.normal:g}"


def _places(concepts: Concepts, source: str, name: str) -> str:
    if parts := concepts.variables[name].sum_of.get(source):
        return "sum of " + ", ".join(parts)
    return " else ".join(_group(group) for group in concepts.variables[name].found[source])


def _group(group: Sequence[Place]) -> str:
    """The items of equal rank, behind the table that they share."""
    texts = []
    for place, previous in zip(group, (None, *group), strict=False):
        table = "" if previous is not None and previous.table == place.table else f"{place.table} "
        remarks = [place.specimen] * bool(place.specimen) + ["counts negative"] * (place.sign < 0)
        texts.append(f"{table}{place.item}".strip() + f" ({', '.join(remarks)})" * bool(remarks))
    return " + ".join(texts)


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)
