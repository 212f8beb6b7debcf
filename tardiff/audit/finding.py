"""What an audit says about one trap."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["pass", "warn", "fail", "skip"]


@dataclass(frozen=True)
class Finding:
    """One trap and whether the data set is in it.

    Attributes:
        status: `fail` is a trap; `warn` is to be kept in mind; `skip` could not be checked.
        said: in words.
        numbers: behind the words, as JSON can hold them.
    """

    trap: str
    status: Status
    said: str
    numbers: dict[str, Any] = field(default_factory=dict)


def table(findings: Sequence[Finding]) -> str:
    """One line a finding, and one for all of them."""
    width = max(len(finding.trap) for finding in findings)
    lines = [f"{finding.status}  {finding.trap:<{width}}  {finding.said}" for finding in findings]
    failed, warned = (sum(finding.status == status for finding in findings) for status in ("fail", "warn"))
    traps = "no trap found" if failed == 0 else "1 trap found" if failed == 1 else f"{failed} traps found"
    return "\n".join([*lines, "", f"{traps}; {warned} to keep in mind"])
