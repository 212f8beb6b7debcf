"""Whether a peer's samples tell who taught it, calibrated by samples of the same peer taught by others."""

from typing import Any

from tardiff.data.dataset import Split
from tardiff.evaluate.privacy.black_box import density_ratio, nearest_neighbour
from tardiff.evaluate.privacy.knowledge import Knowledge
from tardiff.evaluate.privacy.trial import Trial

ATTACKS = {"nearest neighbour": nearest_neighbour, "density": density_ratio}


def calibrated_membership(trial: Trial, samples: Split, reference: Split, knowledge: Knowledge) -> dict[str, dict[str, Any]]:
    """Each black-box attack's score of a row by a peer's samples, less that by samples of a reference.

    Some patients look typical to every generator; what is left is what this one learnt of them (difficulty calibration, arXiv 2111.08440).

    Args:
        trial: rows under attack.
        samples: of the peer that learnt the members.
        reference: as many samples of the same peer, as it is when it learns the trial's reference rows.
        knowledge: how records are compared.

    Returns:
        `auc` of each attack as an estimate, 0.5 if it learns nothing.
    """
    scores = {name: attack(trial, samples, knowledge) - attack(trial, reference, knowledge) for name, attack in ATTACKS.items()}
    return {name: trial.judged(f"calibrated {name}", "black", score)["auc"] for name, score in scores.items()}
