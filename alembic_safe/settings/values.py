"""How is what a person wrote for a setting read: a duration, a size, a number, a choice, lines?"""

from __future__ import annotations

import difflib
import re
from decimal import Decimal
from typing import Any

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZES = {"b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "tb": 1000**4}


class Seconds(float):
    """A duration in seconds; written as ``500ms``, ``60s``, ``10m``, ``24h``, ``30d``."""


class Bytes(int):
    """A size in bytes; written as ``500MB``, ``20GB``."""


class Count(int):
    """A whole number of things, not negative."""


class Lines(tuple[str, ...]):
    """Several texts: a list in pyproject.toml, a line each elsewhere."""

    __slots__ = ()


def seconds(text: str) -> Seconds:
    """Read a duration such as ``500ms``, ``60s``, ``10m``, ``24h``, ``30d``; a bare number means seconds.

    :raises ValueError: when it is none of these.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*", str(text).lower())
    if not match:
        raise ValueError(f"{text!r} is no duration; write 500ms, 60s, 10m, 24h or 30d")
    return Seconds(float(match[1]) * _UNITS[match[2] or "s"])


def size(text: str) -> Bytes:
    """Read a size such as ``500MB`` or ``20GB``; a bare number means bytes.

    :raises ValueError: when it is neither.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(b|kb|mb|gb|tb)?\s*", str(text).lower())
    if not match:
        raise ValueError(f"{text!r} is no size; write 500MB or 20GB")
    return Bytes(Decimal(match[1]) * _SIZES[match[2] or "b"])


def chosen(read: object, choices: tuple[str, ...]) -> object:
    """Return a value that is one of several.

    :param choices: empty where every value will do.
    :raises ValueError: naming the nearest one.
    """
    if choices and read not in choices:
        near = difflib.get_close_matches(str(read), choices, n=1, cutoff=0)
        raise ValueError(f"{read!r} is none of {', '.join(choices)}; the nearest is {near[0]}")
    return read


def read(hint: Any, value: object) -> object:
    """Return a value as the type that its setting has.

    :raises TypeError, ValueError: saying what is wrong with it.
    """
    kinds = {t for t in getattr(hint, "__args__", (hint,)) if t is not type(None)}
    optional = type(None) in getattr(hint, "__args__", ())
    if optional and (value is None or (isinstance(value, str) and value.strip().lower() in ("", "none"))):
        return None
    if bool in kinds:
        return _boolean(value)
    if Seconds in kinds:
        return seconds(_plain(value))
    if Bytes in kinds:
        return size(_plain(value))
    if Lines in kinds:
        given = value if isinstance(value, (list, tuple)) else _plain(value).splitlines()
        return Lines(line for line in (str(one).strip().rstrip(";") for one in given) if line)
    if Count in kinds:
        return _count(_plain(value))
    if not isinstance(value, str) or not value.strip():
        raise TypeError(f"{value!r} is no text")
    return value.strip()


def _count(text: str) -> Count:
    if not re.fullmatch(r"\s*[0-9]+\s*", text):
        raise ValueError(f"{text!r} is no whole number")
    return Count(text)


def _plain(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise TypeError(f"{value!r} is neither a number nor a text with a unit")
    return str(value)


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    read = words.get(str(value).strip().lower())
    if read is None:
        raise ValueError(f"{value!r} is neither true nor false")
    return read
