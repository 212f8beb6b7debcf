"""Clinical rules: what clinicians check, as expressions over channels at one hour."""

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from importlib.resources import files
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray

from tardiff.data.dataset import Manifest, Split
from tardiff.errors import InputError

Array = NDArray[np.float64]
LONGEST = 500  # characters of an expression
SUMS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: np.divide,
}
COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
JOINS: dict[type[ast.boolop], Callable[[Any, Any], Any]] = {ast.And: np.logical_and, ast.Or: np.logical_or}


@dataclass(frozen=True)
class Rule:
    """A rule: the `share` of the hours in which it holds, or the `mean` of a number."""

    name: str
    expression: str
    kind: Literal["share", "mean"]
    channels: tuple[str, ...]

    def at(self, split: Split, manifest: Manifest) -> Array:
        """Its value at each hour, [n, T]; NaN where a channel of it is not charted, or it is undefined."""
        place = manifest.channel_names.index
        values = {name: split.values[:, place(name)].astype(np.float64) for name in self.channels}
        known = reduce(np.logical_and, map(np.isfinite, values.values()))
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.asarray(_value(_parsed(self.expression), values), np.float64)
        return np.where(known & np.isfinite(found), found, np.nan)


def default_rules() -> dict[str, Rule]:
    """The rules of `clinical.yaml`."""
    return rules_of(yaml.safe_load(files(__package__).joinpath("clinical.yaml").read_text(encoding="utf-8")), "clinical.yaml")


def rules_of(content: object, where: str) -> dict[str, Rule]:
    """Rules by name, from the content of a YAML file: names with their expressions."""
    if not isinstance(content, dict) or not content:
        raise InputError(f"{where}: must be lines of `name: expression`")
    return {str(name): _rule(str(name), expression, where) for name, expression in content.items()}


def _rule(name: str, expression: object, where: str) -> Rule:
    if not isinstance(expression, str) or len(expression) > LONGEST:
        raise InputError(f"{where}: rule {name!r}: must be an expression of at most {LONGEST} characters")
    try:
        tree = _parsed(expression)
        kind = _kind(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        text = error.msg if isinstance(error, SyntaxError) else str(error)
        raise InputError(f"{where}: rule {name!r}: {expression!r} is no expression over channels ({text})") from error
    channels = tuple(dict.fromkeys(node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id != "abs"))
    if not channels:
        raise InputError(f"{where}: rule {name!r}: {expression!r} names no channel")
    return Rule(name, expression, kind, channels)


def _parsed(expression: str) -> ast.expr:
    return ast.parse(expression.strip(), mode="eval").body


def _kind(node: ast.expr) -> Literal["share", "mean"]:
    """What an expression gives."""
    match node:
        case ast.Name() | ast.Constant(value=int() | float()) if not isinstance(getattr(node, "value", None), bool):
            return "mean"
        case ast.BinOp(left=left, op=op, right=right) if type(op) in SUMS:
            return _all("mean", "mean", left, right)
        case ast.UnaryOp(op=ast.USub(), operand=operand) | ast.Call(func=ast.Name(id="abs"), args=[operand], keywords=[]):
            return _all("mean", "mean", operand)
        case ast.Compare(left=left, ops=ops, comparators=others) if all(type(op) in COMPARISONS for op in ops):
            return _all("share", "mean", left, *others)
        case ast.BoolOp(values=values):
            return _all("share", "share", *values)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return _all("share", "share", operand)
    raise ValueError(f"{ast.unparse(node)} is not allowed")


def _all(gives: Literal["share", "mean"], takes: str, *parts: ast.expr) -> Literal["share", "mean"]:
    for part in parts:
        if _kind(part) != takes:
            raise ValueError(f"{ast.unparse(part)} is {'a comparison' if takes == 'mean' else 'no comparison'}")
    return gives


def _value(node: ast.expr, values: Mapping[str, Array]) -> Any:
    """What a checked expression gives at each hour."""
    match node:
        case ast.Name(id=name):
            return values[name]
        case ast.Constant(value=number):
            return number
        case ast.BinOp(left=left, op=op, right=right):
            return SUMS[type(op)](_value(left, values), _value(right, values))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, values)
        case ast.Call(args=[operand]):
            return np.abs(_value(operand, values))
        case ast.Compare(left=left, ops=ops, comparators=others):
            sides = [_value(side, values) for side in (left, *others)]
            return reduce(np.logical_and, (COMPARISONS[type(op)](*pair) for op, *pair in zip(ops, sides, sides[1:], strict=False)))
        case ast.BoolOp(op=op, values=parts):
            return reduce(JOINS[type(op)], (_value(part, values) for part in parts))
        case ast.UnaryOp(operand=operand):
            return np.logical_not(_value(operand, values))
    raise AssertionError(ast.dump(node))
