"""Tells users' mistakes, which end in one sentence, from bugs, which keep their traceback.

Where an error was raised tells whose it is. What this package raises on purpose is about what it
was given, and so is what the system, or a library that reads files, says of one. While MMEngine
builds what a config names, an error is the config's if libraries' code alone was run, or if ours
was called with a key or a kind of value that stands in the config. All else is a bug, ours or of a
class of the user's own.
"""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from dis import opname
from pathlib import Path
from textwrap import shorten
from traceback import walk_tb
from types import FrameType
from typing import Any

from mmengine.config import Config

from mobanet_mmseg.installation import LIBRARIES
from mobanet_mmseg.signatures import (
    misfits,
    near_argument,
    takes_argument,
    unknown_argument,
)

PACKAGE = Path(__file__).parent
READERS = ('rasterio', 'pyogrio', 'pyproj', 'PIL', 'json', 'csv', 'codecs', 'encodings')  # of files
# where MMEngine makes something of a config; runners build their loops only when they start
RUNNERS = re.compile(r'mmengine/(runner/(runner|_flexible_runner)|_strategy/\w+)\.py$')
BUILDING = re.compile(r'from_cfg|__init__|(build|setup|wrap|scale|register)_\w+|prepare')
ASKED = 'MOBANET_TRACEBACK'
# channels that a layer was built for, and those that it got, as torch says it
CHANNELS = re.compile(
    r'to have (\d+) channels, but got (\d+) channels'
    r'|normalized_shape=\[(\d+)\].*input of size\[[\d, ]*\b(\d+)\]'
)
LONGEST = 300  # characters of what a library says
NOT_DETERMINISTIC = 'does not have a deterministic implementation'  # as torch says it
MEMORY = (
    'The GPU has no memory left: lower batch_size of the data loaders (or --batch-size), or the '
    'size of the windows, or give --amp.'
)


@contextmanager
def ending_in_one_sentence() -> Iterator[None]:
    """End the program with one sentence, and no traceback, where the mistake is the user's.

    With ``MOBANET_TRACEBACK=1`` in the environment it always ends with the traceback.
    """
    try:
        yield
    except Exception as error:
        sentence = None if os.environ.get(ASKED) else sentence_of(error)
        if sentence is None:
            raise
        sys.exit(f'error: {sentence}')


def sentence_of(error: Exception) -> str | None:
    """Say what a user did wrong.

    Args:
        error: As it was caught, with its traceback.

    Returns:
        The sentence; None if the error is no user's mistake.
    """
    text = str(error.__cause__ or error)
    if 'Traceback (most recent call last)' in text:
        return _said_by_other_process(error, text)
    if isinstance(error, OSError):
        named = error.filename is not None and error.strerror is not None
        return f'{error.filename}: {error.strerror}.' if named else str(error)
    if type(error).__name__ == 'OutOfMemoryError':  # torch's
        return MEMORY
    if isinstance(error, RuntimeError) and NOT_DETERMINISTIC in text:
        return (
            f'{text.partition(NOT_DETERMINISTIC)[0]}{NOT_DETERMINISTIC} on this device: leave '
            'randomness.deterministic out of the config.'
        )
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    refused = isinstance(error, ValueError | FloatingPointError)
    refused |= type(error) is RuntimeError  # no subclass of it
    if refused and _is_ours(frames[-1]) and _raised_on_purpose(error):
        return str(error)
    if isinstance(error, ValueError) and _is_of_reader(frames[-1]):
        return str(error)
    return _mistake_of_config(error, frames)


def _said_by_other_process(error: Exception, text: str) -> str | None:
    """The sentence of what a worker has raised, whose traceback is a text here."""
    *_, path = re.findall(r'^ *File "([^"]+)"', text, re.MULTILINE) or ['']
    ours = Path(path).is_relative_to(PACKAGE)
    if isinstance(error, OSError | FloatingPointError) or (ours and isinstance(error, ValueError)):
        name = re.escape(type(error).__name__)
        *_, sentence = re.split(rf'^(?:[\w.]+\.)?{name}: ', text.strip().strip('"'), flags=re.M)
        return sentence.strip()
    return None


def _file_of(frame: FrameType) -> Path:
    """Where a frame's code lies; that of Cython, or of a dataclass, says so of its module alone."""
    path = Path(frame.f_code.co_filename)
    return path if path.is_absolute() else Path(frame.f_globals.get('__file__') or path)


def _is_ours(frame: FrameType) -> bool:
    return _file_of(frame).is_relative_to(PACKAGE)


def _is_of_library(frame: FrameType) -> bool:
    path = _file_of(frame)
    of_library = any(path.is_relative_to(library) for library in LIBRARIES)
    return of_library and not _is_ours(frame)


def _is_of_reader(frame: FrameType) -> bool:
    return frame.f_globals.get('__name__', '').partition('.')[0] in READERS


def _raised_on_purpose(error: Exception) -> bool:
    """Whether a raise statement was run, and not something that failed."""
    last = error.__traceback__
    while last.tb_next is not None:
        last = last.tb_next
    return opname[last.tb_frame.f_code.co_code[last.tb_lasti]] in ('RAISE_VARARGS', 'RERAISE')


def _mistake_of_config(error: Exception, frames: list[FrameType]) -> str | None:
    """The sentence of an error that comes from what a config says; None if it does not."""
    config = next(filter(None, map(_config_in, frames)), None)
    name = 'The config' if config is None or config.filename is None else str(config.filename)
    last = frames[-1].f_code.co_filename
    if last.endswith('mmengine/config/config.py') and isinstance(error, KeyError | AttributeError):
        return f'{name} lacks what is asked for: {_text(error)}.'
    if isinstance(error, RuntimeError) and (found := CHANNELS.search(str(error))) is not None:
        return _wrong_channels(name, frames, *filter(None, found.groups()))
    builds = [index for index, frame in enumerate(frames) if _is_building(frame)]
    if not builds:
        return None
    settings = [found for index in builds if (found := _settings(frames[index])) is not None]
    own = [f for f in frames[builds[0] :] if not _is_ours(f) and not _is_of_library(f)]
    if own and settings and not any(part == settings[-1] for _, part in _paths(config)):
        return None  # of what a class of the user's own has made up
    place = f'{name}, {_key(config, settings[-1])}' if settings else name
    return (
        _unknown_setting(error, place, frames[builds[-1]], settings)
        or _unfit_setting(place, frames[builds[0] :], settings)
        or _refused_by_library(error, place, frames[builds[-1] :])
    )


def _unknown_setting(
    error: Exception, place: str, building: FrameType, settings: list[Mapping]
) -> str | None:
    """The sentence of a key that what was built does not know."""
    name = unknown_argument(error) if isinstance(error, TypeError) else None
    if name is None or not any(name in part for each in settings for part in _dicts(each)):
        return None
    built = building.f_locals.get('obj_cls')
    if takes_argument(built, name):  # what it calls with it does not: its bug
        return None
    near = near_argument(built, name)
    hint = f'is {near!r} meant?' if near not in (None, name) else 'correct it, or remove it.'
    return f'{place}: {getattr(built, "__name__", "nothing there")} takes no {name!r}: {hint}'


def _unfit_setting(place: str, frames: list[FrameType], settings: list[Mapping]) -> str | None:
    """The sentence of a value of another kind than a function of this package takes."""
    values = [value for each in settings for part in _dicts(each) for value in part.values()]
    for frame in frames:
        for found in misfits(frame) if _is_ours(frame) else ():
            if any(value is found.value or value == found.value for value in values):
                return (
                    f'{place}: {found.argument} is {found.value!r}, but {found.function} takes '
                    f'{found.taken}.'
                )
    return None


def _refused_by_library(error: Exception, place: str, frames: list[FrameType]) -> str | None:
    """The sentence of what libraries' own code has refused."""
    if not all(map(_is_of_library, frames)):
        return None
    names = frames[0].f_locals
    registry, kind = names.get('registry'), names.get('obj_type')
    if isinstance(error, KeyError) and len(frames) == 1 and isinstance(kind, str):
        near = get_close_matches(kind, _registered(registry), n=1)
        hint = f'is {near[0]!r} meant?' if near else 'is it imported (custom_imports)?'
        if near == [kind]:
            hint = f'it is in another scope, correct default_scope (here {registry.scope!r}).'
        return f'{place}: nothing is registered as {kind!r} among the {registry.name}s: {hint}'
    if isinstance(error, KeyError) and len(frames) == 1 and '"type"' in str(error):
        return f'{place}: it says no type: say which class it is, as in dict(type=...).'
    built = getattr(names.get('obj_cls'), '__name__', None)
    return f'{place}: {f"{built}: " if built else ""}{type(error).__name__}: {_text(error)}.'


def _wrong_channels(config: str, frames: list[FrameType], built: str, got: str) -> str | None:
    """The sentence of a layer whose channels are not those of what comes."""
    modules = [frame.f_locals.get('self') for frame in frames]
    modules = [module for module in modules if hasattr(module, 'named_modules')]
    names = {id(module): name for name, module in modules[0].named_modules()} if modules else {}
    layers = [name for module in modules if (name := names.get(id(module)))]
    if not layers:
        return None
    return (
        f'{config}: the layer {layers[-1]} of the model is built for {built} channels, and {got} '
        'come: correct the channels there (in_channels, embed_dims) or of what comes before.'
    )


def _is_building(frame: FrameType) -> bool:
    path, name = frame.f_code.co_filename, frame.f_code.co_name
    if path.endswith('mmengine/registry/build_functions.py'):
        return True
    return RUNNERS.search(path) is not None and BUILDING.fullmatch(name) is not None


def _settings(frame: FrameType) -> Mapping | None:
    """What of the config is made into something in a frame."""
    if frame.f_code.co_name == '__init__' and RUNNERS.search(frame.f_code.co_filename):
        return None  # it gets all parts
    names = ('cfg', *frame.f_code.co_varnames[:2])  # runners' functions call theirs by what it is
    values = (frame.f_locals.get(name) for name in names)
    return next((value for value in values if isinstance(value, Mapping)), None)


def _config_in(frame: FrameType) -> Config | None:
    return next((c for c in frame.f_locals.values() if isinstance(c, Config)), None)


def _dicts(value: Any) -> Iterator[Mapping]:
    """Give a dict and all that are in it, in lists too."""
    if isinstance(value, Mapping):
        yield value
        for part in value.values():
            yield from _dicts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _dicts(part)


def _key(config: Config | None, settings: Mapping) -> str:
    """Name settings as --cfg-options does; by their type where they are not found."""
    kind = settings.get('type', 'a part of it')
    paths = [] if config is None else [path for path, part in _paths(config) if part == settings]
    if not paths and config is not None:  # a part of it may be used up
        paths = [path for path, part in _paths(config) if part.get('type') == kind]
    return next(iter(paths), str(kind))


def _paths(value: Any, path: str = '') -> Iterator[tuple[str, Mapping]]:
    """Give the dicts in a config with their keys, from the top."""
    if isinstance(value, Config):
        value = value._cfg_dict
    if isinstance(value, Mapping):
        yield path, value
        for key, part in value.items():
            yield from _paths(part, f'{path}.{key}'.lstrip('.'))
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from _paths(part, f'{path}.{index}')


def _registered(registry: Any) -> list[str]:
    """The names of a registry, of those below and above it."""
    while registry.parent is not None:
        registry = registry.parent
    names = [*registry.module_dict]
    for child in registry.children.values():
        names += child.module_dict
    return names


def _text(error: Exception) -> str:
    """What an error says, without its class and the quotes of a KeyError."""
    said = str(error.args[0]) if error.args else type(error).__name__
    return shorten(said, LONGEST).rstrip('.')
