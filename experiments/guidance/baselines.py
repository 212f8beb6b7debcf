"""What people do today about scarce or rare labels, under the names of this experiment's table."""

from tardiff.compare.baselines import BASELINES as METHODS

NAMES = {
    "none": "real only",
    "class_weight": "class weights",
    "oversample": "oversampling",
    "smote": "SMOTE",
    "jitter": "jitter",
    "warp": "time warp",
}
BASELINES = {name: METHODS[method] for method, name in NAMES.items()}
