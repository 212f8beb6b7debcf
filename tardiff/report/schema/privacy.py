"""What the sets, the generator and the classifiers give away."""

from msgspec import Struct

from tardiff.evaluate.lookup import leak_margin
from tardiff.report.schema.numbers import Count, Counted, Estimate, Share


class Roc(Struct, frozen=True):
    """Shares of the others (`fpr`) and of the members (`tpr`) that are found."""

    fpr: list[Share]
    tpr: list[Share]

    def __post_init__(self) -> None:
        if len(self.fpr) != len(self.tpr):
            raise ValueError("`fpr` and `tpr` are not of one length")


class Attack(Struct, frozen=True):
    """A membership attack: `control` is the AUC of strangers against strangers, `reason` says why a rate of `tpr` is undefined."""

    attack: str
    box: str
    members: str
    n_members: Count
    n_others: Count
    auc: Estimate
    tpr: dict[str, Estimate | None]
    reason: str | None
    roc: Roc
    control: Estimate | None = None

    def __post_init__(self) -> None:
        for rate in self.tpr:
            float(rate)

    @property
    def margin(self) -> float | None:
        """How far it lies above guessing and its control, surely; None where its AUC has no interval."""
        return None if self.auc.low is None else leak_margin(self.auc.low, self.control.value if self.control else None)


class Guess(Struct, frozen=True):
    """How often an attribute is guessed right."""

    attribute: str
    members: Estimate
    others: Estimate
    difference: Estimate


class Anonymity(Struct, frozen=True):
    """How few rows share their descriptors."""

    k: Count
    n: Count
    unique_matches: Estimate
    stranger_matches: Estimate


class PrivacyOfSet(Struct, frozen=True):
    """What a synthetic set gives away."""

    nearer_train: Estimate
    closer_than_stranger: Estimate
    copies: Counted
    near_copies: Counted
    stranger_copies: Counted
    attacks: list[Attack]
    attribute_inference: list[Guess]
    k_anonymity: Anonymity


class References(Struct, frozen=True):
    """Reference models behind calibrated attacks; `reason` says why there are none."""

    models: Count
    steps: Count
    rows: Count
    others: Count
    reason: str | None


class Privacy(Struct, frozen=True):
    """What the sets, the generator and the classifiers give away."""

    sets: dict[str, PrivacyOfSet]
    generator: list[Attack]
    classifiers: dict[str, list[Attack]]
    references: References | None = None
