"""Numbers, texts and lists where fairseq would run any Python: `patches.apply` puts it in place."""

import ast
import operator
import sys
from collections.abc import Callable
from typing import Any

from fairseq_latent.errors import InputError

LONGEST = 10_000  # characters of an expression; items of a list that it makes
OPERATIONS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
SIGNS: dict[type, Callable[[Any], object]] = {ast.UAdd: operator.pos, ast.USub: operator.neg, ast.Not: operator.not_}


def replace_eval() -> None:
    """fairseq evaluates texts of flags and checkpoints, such as `[(512, 3)] * 4`, `(0.9, 0.98)` or `True`, as Python.

    A module looks for `eval` in itself first. Delete when fairseq uses ast.literal_eval.
    """
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("fairseq", "fairseq_cli"):
            vars(module).setdefault("eval", plain_value)


def plain_value(expression: str, *scopes: object) -> object:
    """The value of an expression of numbers, texts, tuples, lists and dictionaries; InputError for any other."""
    if not isinstance(expression, str):
        raise TypeError(f"a {type(expression).__name__} is no expression")  # as Python's own: fairseq catches it
    try:
        if len(expression) > LONGEST:
            raise ValueError
        return _value(ast.parse(expression.strip(), mode="eval").body)
    except (SyntaxError, ValueError, TypeError, ArithmeticError, RecursionError, MemoryError):
        raise InputError(
            f"{expression[:80]!r} is no plain value; remedy: numbers, texts and lists, such as '(0.9, 0.98)' or "
            "'[(512, 3)] * 4'"
        ) from None


def _value(node: ast.expr) -> object:
    match node:
        case ast.Constant(value):
            return value
        case ast.Tuple(items):
            return tuple(map(_value, items))
        case ast.List(items):
            return list(map(_value, items))
        case ast.Set(items):
            return set(map(_value, items))
        case ast.Dict(keys, values) if None not in keys:
            return {_value(key): _value(value) for key, value in zip(keys, values, strict=True) if key is not None}
        case ast.UnaryOp(sign, operand) if type(sign) in SIGNS:
            return SIGNS[type(sign)](_value(operand))
        case ast.BinOp(left, operation, right) if type(operation) in OPERATIONS:
            return _combined(OPERATIONS[type(operation)], _value(left), _value(right))
    raise ValueError


def _combined(operation, left: object, right: object) -> object:
    """A sum or product, as long as it is short."""
    sizes = [len(value) for value in (left, right) if hasattr(value, "__len__")]
    times = [value for value in (left, right) if isinstance(value, int)]
    if sizes and times and sizes[0] * times[0] > LONGEST:
        raise ValueError
    if any(abs(value) > 1e300 for value in times):
        raise ValueError
    return operation(left, right)
