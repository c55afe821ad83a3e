"""Compares what functions were called with to what their signatures say that they take."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from inspect import signature, unwrap
from pathlib import Path
from types import FrameType, FunctionType, NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

UNKNOWN = re.compile(r"(?:([\w.]+)\(\) )?got an unexpected keyword argument '(\w+)'")
# what a value of a config can be, and the classes that stand for it in an annotation
KINDS = {
    'text': (str, Path),
    'a truth value': (bool,),
    'a number': (int, float),
    'a dict': (Mapping,),
    'a list': (Collection, Iterable),
}


class Misfit(NamedTuple):
    """An argument of a kind that a function does not take.

    Args:
        function: Its name.
        argument: The argument's name.
        value: What came.
        taken: What is taken, in words.
    """

    function: str
    argument: str
    value: Any
    taken: str


def unknown_argument(error: TypeError) -> str | None:
    """Name the keyword argument that a function does not have.

    Args:
        error: What the call raised.
    """
    found = UNKNOWN.search(str(error))
    return None if found is None else found[2]


def takes_argument(function: Any, name: str) -> bool:
    """Whether a function or a class names an argument, be its parents as they may.

    Args:
        function: The function or class; of anything else the answer is no.
        name: The argument.
    """
    try:
        return name in signature(function).parameters
    except (TypeError, ValueError):  # of a class that is written in C
        return False


def near_argument(function: Any, name: str) -> str | None:
    """Find the argument that was meant.

    Args:
        function: A function or a class; the arguments of its parents count as its own.
        name: What was written.
    """
    names = []
    for kind in getattr(function, '__mro__', [function]):
        try:
            names += signature(kind).parameters
        except (TypeError, ValueError):  # of a class that is written in C
            continue
    return next(iter(get_close_matches(name, names, n=1)), None)


def misfits(frame: FrameType) -> Iterator[Misfit]:
    """Give the arguments of a running function whose values are of a kind that it does not take.

    Args:
        frame: Where it runs.
    """
    function = _function_of(frame)
    if function is None:
        return
    try:
        hints = get_type_hints(function)
    except (NameError, TypeError):
        return
    code = frame.f_code
    for name in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
        taken = None if name not in hints else _kinds(hints[name])
        if taken is None or name not in frame.f_locals:
            continue
        kind = _kind(frame.f_locals[name])
        if kind == 'a truth value' and 'a number' in taken:
            continue  # which Python takes as one
        if kind is not None and kind not in taken:
            words = ' or '.join(sorted(taken))
            yield Misfit(code.co_qualname, name, frame.f_locals[name], words)


def _function_of(frame: FrameType) -> FunctionType | None:
    """The function that runs in a frame, if it is a method or one of a module."""
    code = frame.f_code
    owner = frame.f_locals.get('self')
    places = [vars(kind) for kind in type(owner).__mro__] if owner is not None else []
    for place in (*places, frame.f_globals):
        function = unwrap(place.get(code.co_name))
        if getattr(function, '__code__', None) is code:
            return function
    return None


def _kind(value: Any) -> str | None:
    """Say what a value of a config is; None where it is no such value."""
    if value is None:
        return 'None'
    if isinstance(value, bool):
        return 'a truth value'
    return next((kind for kind, classes in KINDS.items() if isinstance(value, classes)), None)


def _kinds(hint: Any) -> set[str] | None:
    """Say which kinds of values an annotation allows; None where it may be any."""
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        each = [_kinds(part) for part in get_args(hint)]
        return None if None in each else set().union(*each)
    if origin is Literal:
        return {_kind(value) for value in get_args(hint)}
    named = origin or hint
    if named in (None, NoneType):
        return {'None'}
    if not isinstance(named, type):
        return None
    if named in (int, float):
        return {'a number'}
    return next(
        ({kind} for kind, classes in KINDS.items() if any(issubclass(named, c) for c in classes)),
        None,
    )
