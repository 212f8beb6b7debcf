"""What becomes of the entries of each raw table: how many are read, how many stand in the data set, and why the others do not.

A row of a raw table is one entry (a value, if every variable has a column of its own). It is lost for the first reason that holds.
The scan of a raw table counts what it drops while it runs, so that no table is read twice: in DuckDB by a sequence for each reason,
in another database by a query of its own. What the scan kept is counted in what it left.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ibis

from data_prep.grid import LOOK_BACK, Grid, converted, rules_of, worded
from tardiff.data.dataset import TableAccount

NOT_ASKED = "not asked for"
EMPTY = "without a value"
NO_STAY = "of no stay or patient that the records list"
NO_TIME = "without a time"
BAD_TIME = "with a time that cannot be read"
BAD_KEY = "with a key that is not a whole number"
BAD_NUMBER = "with a value that is not a number"
OUTSIDE_STAYS = "outside every stay"
OUTSIDE = "outside the window"
LATE = "known only after the window"
SPECIMEN = "of another specimen, or telling what it is"
WORD = "words that stand for no number"
LIMITS = "outside the limits"
LEFT_OUT = "of stays that the cohort leaves out"
TASK_ONLY = "read for the task only"
UNLISTED = "of a category that is not listed"

FATES = ("", LIMITS, WORD, SPECIMEN, LATE, OUTSIDE, LEFT_OUT, TASK_ONLY)
"""What may become of an entry that a scan kept, from the best to the worst."""
UNREADABLE = (BAD_KEY, BAD_TIME, BAD_NUMBER)
"""One entry lost for these stops the work, unless losses are allowed."""
FAULTS = (NO_STAY, NO_TIME, *UNREADABLE, UNLISTED)
"""What is not to be expected of good records."""
WARNS, STOPS = 0.01, 0.5
"""Shares of the entries asked for: beyond the first a fault warns, beyond the second it stops."""

Reasons = Sequence[tuple[Any, str | None]]
"""Conditions in order, each with its reason; None drops an entry that is counted elsewhere."""


@ibis.udf.scalar.builtin
def nextval(sequence: str) -> int:  # type: ignore[empty-body]
    """The next number of a sequence of DuckDB's."""


class Scans:
    """How a source reads its raw tables: nothing is counted, and a scan is read anew whenever it is used."""

    def losing(self, table: ibis.Table, name: str, reasons: Reasons) -> ibis.Table:
        """The rows of which no condition holds; the rest of the raw table `name` is lost for the first that does."""
        return table.filter(~ibis.or_(*(condition.fill_null(False) for condition, _ in reasons)))

    def kept(self, scan: ibis.Table, name: str) -> ibis.Table:
        """What a scan of the raw table `name` gives, cheap to read again."""
        return scan

    def taken(self, kept: ibis.Table, name: str, reason: str) -> None:
        """These rows of what was kept are lost, too: whoever asks takes them out."""

    def add(self, name: str, lost: Mapping[str, int]) -> None:
        """So many entries of a raw table, which is in memory, are lost."""


AS_IS = Scans()


class CountedScans(Scans):
    """Scans that are counted. `lost` holds, by raw table, how many entries each reason took."""

    def __init__(self) -> None:
        self.lost: dict[str, Counter[str]] = {}
        self._sequences: dict[str, dict[str, str]] = {}

    def losing(self, table: ibis.Table, name: str, reasons: Reasons) -> ibis.Table:
        """See `Scans`."""
        backend: Any = ibis.get_backend(table)
        given = [(condition.fill_null(False), reason) for condition, reason in reasons]
        if backend.name == "duckdb":
            return table.filter(ibis.cases(*((condition, self._dropped(backend, name, reason)) for condition, reason in given), else_=True))
        names = [reason for _, reason in given if reason is not None]
        codes = [(condition, -1 if reason is None else 1 + names.index(reason)) for condition, reason in given]
        coded = table.mutate(code=ibis.cases(*codes, else_=0).cast("int64"))
        counts = coded.group_by("code").aggregate(entries=coded.count()).to_pyarrow().to_pylist()
        self.add(name, {names[row["code"] - 1]: row["entries"] for row in counts if row["code"] > 0})
        return coded.filter(coded.code == 0).drop("code")

    def taken(self, kept: ibis.Table, name: str, reason: str) -> None:
        """See `Scans`."""
        self.add(name, {reason: kept.count().execute()})

    def add(self, name: str, lost: Mapping[str, int]) -> None:
        """See `Scans`."""
        self.lost.setdefault(name, Counter()).update(lost)

    def counted(self, name: str) -> dict[str, int]:
        """What the scan of a raw table has dropped, now that it has run."""
        backend: Any = ibis.get_backend()
        for reason, sequence in self._sequences.pop(name, {}).items():
            last = backend.raw_sql(f"SELECT last_value FROM duckdb_sequences() WHERE sequence_name = '{sequence}'").fetchone()[0]
            self.add(name, {reason: last or 0})
        return dict(self.lost.setdefault(name, Counter()))

    def _dropped(self, backend: Any, name: str, reason: str | None) -> Any:
        """False; counts when it is evaluated."""
        if reason is None:
            return ibis.literal(False)
        sequences = self._sequences.setdefault(name, {})
        if reason not in sequences:
            sequences[reason] = f"lost_{len(self._sequences)}_{len(sequences)}"
            backend.raw_sql(f"CREATE OR REPLACE TEMP SEQUENCE {sequences[reason]}")
        return nextval(sequences[reason]) < 0


def fates(events: ibis.Table, windows: ibis.Table, grid: Grid, tables: Mapping[str, str]) -> dict[str, Counter[str]]:
    """What became of the entries that the scans kept, by raw table and reason; "" means that they stand in the data set.

    An entry that serves several channels or stays is lost only if all of them lose it, and then for the reason that came last.

    Args:
        events: as `Source.events` gives them.
        windows: stay_id, start and stop (float64 minutes), of the stays that have a row; one row a stay.
        grid: the slots.
        tables: the raw table of each item.
    """
    rules = rules_of(grid)
    layer_of = rules.to_pandas().groupby("item").cumcount().to_numpy()  # in a layer every item has one rule
    entries = events.left_join(windows, "stay_id")
    entries = entries.mutate(fate=ibis.ifelse(entries.start.isnull(), FATES.index(LEFT_OUT), FATES.index(TASK_ONLY)).cast("int64"))
    columns = entries.columns
    for layer in range(layer_of.max() + 1):
        placed = entries.left_join(ibis.memtable(rules.filter(layer_of == layer)), "item")
        numbers = worded(placed, grid)
        fate = ibis.cases(*((condition, FATES.index(reason)) for condition, reason in _fates(numbers, grid)), else_=FATES.index(""))
        entries = numbers.mutate(fate=ibis.least(numbers.fate, fate.cast("int64"))).select(*columns)
    if "own" in columns:  # once each, though they serve several stays
        shared = entries.filter(entries.own.notnull())
        shared = shared.group_by("item", "order").aggregate(fate=shared.fate.min(), own=shared.own.any())
        alone = entries.filter(entries.own.isnull())
        entries = ibis.union(alone.select("item", "fate", own=True), shared.select("item", "fate", "own"))
    else:
        entries = entries.select("item", "fate", own=True)
    counts = entries.group_by("item", "fate", "own").aggregate(entries=entries.count())
    left: dict[str, Counter[str]] = {table: Counter() for table in tables.values()}
    for row in counts.to_pyarrow().to_pylist():
        reason, of = FATES[row["fate"]], left[tables[row["item"]]]
        if row["own"]:
            of[reason] += row["entries"]
        elif reason == "":  # the stay to which it belongs has lost it, and it serves a later one
            of.update({"": row["entries"], OUTSIDE: -row["entries"]})
    return left


def _fates(entries: ibis.Table, grid: Grid) -> Reasons:
    """Why an entry is lost to a channel, in order; `entries` with their numbers, the rules of the channel, and the window."""
    first = entries.aggregation == "first"
    begin = first.ifelse(ibis.least(entries.start, -LOOK_BACK), entries.start)
    end = first.ifelse(entries.start + grid.minutes, entries.stop)
    known = entries.minute if grid.as_charted else entries.available_minute
    other = (
        [((entries.needs != "") & (entries.specimen.isnull() | (entries.specimen != entries.needs)), SPECIMEN)]
        if "specimen" in entries.columns
        else []
    )
    return [
        (entries.start.isnull(), LEFT_OUT),
        (entries.channel.isnull(), TASK_ONLY),
        (~((entries.minute >= begin) & (entries.minute < end)), OUTSIDE),
        (~(known < entries.start + grid.minutes), LATE),
        *other,
        (entries["value"].isnull(), WORD),
        (~converted(entries).between(entries.low, entries.high), LIMITS),
    ]


def accounts(lost: Mapping[str, Mapping[str, int]], left: Mapping[str, Mapping[str, int]]) -> tuple[TableAccount, ...]:
    """The account of each raw table.

    Args:
        lost: by table and reason, entries that the scan dropped.
        left: by table, what became of the entries that the scan kept; "" means that they stand in the data set.
    """
    made = []
    for table in sorted({*lost, *left}):
        counts = Counter(lost.get(table, {}))
        counts.update(left.get(table, {}))
        counts = +counts
        kept = counts.pop("", 0)
        made.append(TableAccount(table, counts.total() + kept, kept, dict(sorted(counts.items()))))
    return tuple(made)


def check(account: TableAccount, allow_loss: bool) -> Iterator[tuple[str, str]]:
    """The faults of a table that stop the work, and what to say of each after the place of the first such entry.

    Args:
        account: of the table.
        allow_loss: entries that cannot be read stop the work only if they are more than half.
    """
    for fault, lost, asked in _faults(account):
        if fault in UNREADABLE and not allow_loss:
            yield fault, "; correct or remove the row, or drop such entries by --allow-loss"
        elif lost > STOPS * asked and fault != UNLISTED:
            yield fault, f"; {lost:,} of {asked:,} entries are {fault}: correct the table, or what is said of it"


def warnings(account: TableAccount) -> Iterator[tuple[str, str]]:
    """The faults of a table that are worth a warning, and what to say of each after the place of the first such entry."""
    for fault, lost, asked in _faults(account):
        if lost > WARNS * asked or fault in UNREADABLE:
            yield fault, f"; {lost:,} of {asked:,} entries are {fault}"


def _faults(account: TableAccount) -> Iterator[tuple[str, int, int]]:
    """Each fault, how many entries it took, and of how many that were asked for."""
    asked = account.read - account.lost.get(NOT_ASKED, 0)
    return ((fault, account.lost[fault], asked) for fault in FAULTS if fault in account.lost)
