"""Markdown of the cards: README.md of a folder, in Hugging Face's format, with a place for an evaluation's numbers."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

CARD = "README.md"
BEGIN, END = "<!-- evaluation -->", "<!-- end of evaluation -->"


def lines(rows: Iterable[Iterable[Any]]) -> str:
    """Lines of a Markdown table."""
    return "\n".join("| " + " | ".join(map(escaped, row)) + " |" for row in rows)


def escaped(value: Any) -> str:
    """Text that cannot end a cell, a line or become markup."""
    words = ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
    return " ".join(words.replace("|", "\\|").replace("<", "&lt;").split())


def versioned(source: str, version: str) -> str:
    """`physionet2012, version 1.0.0`; the source alone if it has no version."""
    return f"{source}, version {version}" if version else source


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings of settings with their path; without `movement`, which is a finding."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and key != "movement":
            yield from flat(value, f"{prefix}{key}.")
        elif key != "movement":
            yield prefix + key, value
