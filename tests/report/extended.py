"""A small evaluation and, by hand, the sections that a larger one may have."""

import copy
from typing import Any

import msgspec
import numpy as np

from tardiff.report.report_input import ReportInput
from tardiff.report.schema.curves import Curves
from tardiff.report.schema.result import Result


def estimate(value, width=0.02, n=240, seeds=3):
    return {
        "value": value,
        "low": None if value is None else value - width,
        "high": None if value is None else value + width,
        "n": n,
        "seeds": seeds,
    }


def roc(auc):
    fpr = np.linspace(0, 1, 201)
    return {"fpr": fpr.tolist(), "tpr": (fpr ** ((1 - auc) / auc)).tolist()}


def attack(name, auc, box="black", members="train", reason=None):
    known = auc is not None
    return {
        "attack": name,
        "box": box,
        "members": members,
        "n_members": 240,
        "n_others": 240,
        "auc": estimate(auc),
        "control": estimate(0.5),
        "tpr": {"0.01": estimate(0.02, 0.01) if known else None, "0.001": None},
        "reason": reason,
        "roc": roc(auc) if known else {"fpr": [], "tpr": []},
    }


def report_input(result: dict[str, Any], curves: dict[str, Any]) -> ReportInput:
    """The content of metrics.json and figures.json, read."""
    return ReportInput(msgspec.convert(result, Result), msgspec.convert(curves, Curves))


def extended(result: dict[str, Any]) -> dict[str, Any]:
    """The content of metrics.json with every part, some numbers undefined and some metrics that nobody has heard of."""
    result = copy.deepcopy(result)
    names, cells = list(result["synthetic"]), result["utility"]["cells"]
    for cell in cells + result["utility"]["differences"]:
        cell["metrics"] |= {"calibration_slope": estimate(0.9, 0.1), "net_benefit": estimate(None)}
    model = cells[-1]["model"]
    cells += [c for n in names for c in [cells[-1] | {"model": model, "protocol": "TRTS", "synthetic": n, "ratio": None}]]
    result["forecast"] = {"real": estimate(0.5), "sets": {name: estimate(0.55 + 0.01 * k) for k, name in enumerate(names)}}
    for k, numbers in enumerate([result["fidelity"]["floor"], *result["fidelity"]["sets"].values()]):
        numbers |= {
            "mmd": estimate(0.01 + 0.05 * k, 0.005),
            "alpha_precision": estimate(0.95 - 0.05 * k),
            "told_apart_gru": estimate(0.5 + 0.1 * k),
            "strange_new_metric": {"mean": estimate(0.3), "by_channel": {"hr": estimate(0.3)}},
            "undefined_metric": estimate(None),
        }
    for k, name in enumerate(names):
        result["fidelity"]["against_floor"][name]["ks"] = {
            "mean": estimate(0.05),
            "worst": {"name": "hr", "value": 0.2, "low": 0.1},
            "worse": True,
        }
        words = "hr: values that are whole numbers 0.3 % (real 86.6 %)"
        result["realism"]["reasons"][name] = [{"words": words, "importance": 1.5, "alone": 0.99}] * k
    result["realism"]["clinical"]["skipped"] = [{"name": "low oxygen with fast breathing", "missing": ["spo2", "resp"]}]
    kept = [cell for cell in cells if cell["protocol"] in ("TRTR", "TSTR", "TSRTR")]
    silent = [cell | {"metrics": None} for cell in kept]
    result["subgroups"] = [
        {"static": "sex", "group": group, "n": 120, "positives": 30, "reason": None, "cells": kept} for group in ("female", "male")
    ] + [{"static": "unit", "group": "burns", "n": 3, "positives": 0, "reason": "fewer than 20 positive rows", "cells": silent}]
    for k, numbers in enumerate(result["privacy"]["sets"].values()):
        numbers["near_copies"] |= {"count": k, "n": 240}
        numbers["attacks"] = [
            attack("nearest neighbour", 0.52 + 0.1 * k),
            attack("density ratio", 0.55),
            attack("likelihood", None, "white", reason="no generator given"),
        ]
        numbers["attribute_inference"] = [
            {"attribute": a, "members": estimate(0.6), "others": estimate(0.58), "difference": estimate(0.02, 0.03)} for a in ("age", "sex")
        ]
    result["privacy"]["generator"] = [attack("calibrated denoising", 0.58, "white")]
    result["privacy"]["references"] = {"models": 1, "steps": 250, "rows": 900, "others": 240, "reason": None}
    result["privacy"]["classifiers"] = {"gru": [attack("shadow", 0.6, "black", "guidance")]}
    return result
