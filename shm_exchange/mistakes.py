"""Shell: what is wrong with a value of a configuration, as a sentence with the remedy."""

from __future__ import annotations

import difflib
from datetime import date, time
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

_TYPE_NAMES: dict[type, str] = {
    bool: "a boolean",
    int: "an integer",
    Decimal: "a number",
    str: "a string",
    list: "a list",
    dict: "a table",
    date: "a date",
    time: "a time",
}
_WANTED = {
    "bool_type": "true or false",
    "decimal_type": "a number, such as 0.01",
    "is_instance_of": "a number, such as 0.01",  # of Decimal: there is no other
    "int_type": "a whole number",
    "string_type": "a string in quotes",
    "tuple_type": "a list in brackets",
    "model_type": "a table",
}
_BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}
_SHOWN_MAX = 60  # characters of a value


def suggestion(key: str, known: list[str]) -> str:
    """What to write instead of an unknown key."""
    near = difflib.get_close_matches(key, known, 1)
    return f"did you mean `{near[0]}`?" if near else f"known are: {', '.join(sorted(known))}"


def explain(model: type[BaseModel], location: tuple[str | int, ...], error: Any) -> str:
    """One pydantic error as a sentence. location: of the table in the file."""
    key = ".".join(str(part) for part in error["loc"])
    kind, value = error["type"], error["input"]
    table = str(location[0]) if location else "the file"
    if kind == "extra_forbidden":
        known = list(_owner(model, error["loc"]).model_fields)
        return f"unknown key `{key}` in {table}; {suggestion(str(error['loc'][-1]), known)}"
    if kind == "missing":
        return f"`{key}` is missing in {table}; add it"
    if kind in _WANTED:
        wanted = _WANTED[kind] if key else f"[[{table}]] above its keys"
        return f"`{key or table}` is {_kind_of(value)}; write {wanted}"
    if kind == "value_error":
        message = error["msg"].removeprefix("Value error, ")
        return f"`{key}`: {message}" if key else f"{table}: {message}"
    return f"`{key}` = {_shown(value)} is not possible; it must be {_must(model, error)}"


def _must(model: type[BaseModel], error: Any) -> str:
    """What a value has to be."""
    owner = _owner(model, error["loc"])
    declared = owner.model_fields.get(str(error["loc"][-1])) or model.model_fields.get(
        str(error["loc"][0])
    )
    if declared is not None and declared.description:
        return declared.description
    if error["type"] in _BOUNDS:
        word, name = _BOUNDS[error["type"]]
        return f"{word} {error['ctx'][name]}"
    return str(error["msg"]).removeprefix("Input should be ")


def _owner(model: type[BaseModel], place: tuple[str | int, ...]) -> type[BaseModel]:
    """The table that a key stands in: a value may be a table, too."""
    for part in place[:-1]:
        field = model.model_fields.get(str(part))
        inner = field.annotation if field is not None else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        model = inner
    return model


def _kind_of(value: Any) -> str:
    for kind in type(value).__mro__:
        if kind in _TYPE_NAMES:
            return _TYPE_NAMES[kind]
    return type(value).__name__


def _shown(value: Any) -> str:
    """As the file says it, but short, and without what is nested."""
    if isinstance(value, list | dict):
        return _kind_of(value)
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) < _SHOWN_MAX:
        text = f"{value:f}"
    else:
        text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}..."
