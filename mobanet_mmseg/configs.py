"""The package's own configs: found by their names, and copied with the files they inherit."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from traceback import walk_tb
from typing import Any

from mmengine.config import Config

from mobanet_mmseg.installation import LIBRARIES

PACKAGE = 'mobanet_mmseg'
SECTIONS = ('model', 'optim_wrapper', 'default_hooks', 'train_cfg', 'val_cfg', 'test_cfg')
LOADER = ('dataset', 'sampler')
MODEL = ('data_preprocessor', 'backbone', 'neck', 'decode_head', 'auxiliary_head', 'test_cfg')
CONFIGS = Path(__file__).parent / '.mim' / 'configs'
LONGEST = 300  # characters of what another library says: some lay the whole config out
ENDINGS = ('.py', '.yml', '.yaml', '.json')

_mmengine_config_path = Config._get_cfg_path


class ConfigFileError(ValueError):
    """A file that cannot be read as a config."""


def config_path(path: str, filename: str) -> tuple[str, str | None]:
    """Stand for ``Config._get_cfg_path`` of mmengine, whose list of packages has not this one.

    Args:
        path: An entry of ``_base_``; with ``mobanet_mmseg::`` before it, a config of this package.
        filename: The config that inherits it.

    Returns:
        The path and the scope of what the config builds: mmseg's, as the config itself says.

    Raises:
        ConfigFileError: If the entry is no text.
        FileNotFoundError: If it names no config of this package.
    """
    if not isinstance(path, str):
        raise ConfigFileError(f'{filename}: _base_ is {path!r}, where a name of a file belongs.')
    if path.startswith(f'{PACKAGE}::'):
        try:
            return str(find_config(path)), None
        except FileNotFoundError as error:
            raise FileNotFoundError(f'{filename}: {error}') from error
    return _mmengine_config_path(path, filename)


def config_names() -> list[str]:
    """Give the names of all configs that can be trained, such as ``'mobanet/demo.py'``."""
    paths = CONFIGS.glob('[!_]*/*.py')
    return sorted(path.relative_to(CONFIGS).as_posix() for path in paths)


def find_config(name: str | Path) -> Path:
    """Find a config of the package, or any file.

    Args:
        name: A path; or a name of :func:`config_names`, with ``mobanet_mmseg::`` before it or not,
            with ``.py`` after it or not; or its last part, where no other has the same. What only
            others inherit is found by its whole name, ``'_base_/models/mobanet_dinov2_b.py'``.

    Returns:
        The path.

    Raises:
        FileNotFoundError: If it names no config.
    """
    if Path(name).is_file():
        return Path(name)
    asked = str(name).removeprefix(f'{PACKAGE}::').removesuffix('.py')
    if asked.startswith('_base_/') and (CONFIGS / f'{asked}.py').is_file():
        return CONFIGS / f'{asked}.py'
    names = [known for known in config_names() if asked in (known[:-3], Path(known).stem)]
    if not names:
        raise FileNotFoundError(
            f'{name} is neither a file nor a config of {PACKAGE}: `mobanet config list` names them.'
        )
    return CONFIGS / names[0]


def read_config(name: str | Path, options: dict[str, Any] | None = None) -> Config:
    """Read a config of the package, or any file.

    Args:
        name: See :func:`find_config`.
        options: Settings that override it, by their names such as ``'model.backbone.depth'``.

    Raises:
        ConfigFileError: If the file cannot be read as a config, or has nothing for a setting.
        FileNotFoundError: If it names no config.
    """
    path = find_config(name)
    if path.suffix not in ENDINGS:
        raise ConfigFileError(
            f'{path} is no config, whose name would end in .py (or {", ".join(ENDINGS[1:])}): give '
            'the file that describes the model, its data and schedule.'
        )
    try:
        config = Config.fromfile(path)
    except Exception as error:
        if _is_own_bug(error):
            raise
        raise ConfigFileError(f'{path} cannot be read as a config: {_told(error)}.') from error
    merge_settings(config, options or {})
    check_sections(config)
    return config


def check_sections(config: Config) -> None:
    """Refuse a config with a word or a number where a section of settings belongs.

    Args:
        config: A whole config.

    Raises:
        ConfigFileError: If there is one.
    """
    loaders = [f'{split}_dataloader' for split in ('train', 'val', 'test')]
    names = [*SECTIONS, *loaders, *(f'{name}.{part}' for name in loaders for part in LOADER)]
    for name in (*names, *(f'model.{part}' for part in MODEL)):
        found = config
        for key in name.split('.'):
            found = found.get(key) if isinstance(found, Mapping | Config) else None
        if found is not None and not isinstance(found, Mapping | list | tuple):
            raise ConfigFileError(
                f'{config.filename}: {name} is {found!r}, where settings belong: give a '
                'dict(type=...), or those of its keys that change.'
            )
        loader = config.get(name.partition('.')[0]) if name.endswith('.dataset') else None
        if loader is not None and 'dataset' in loader and found is None:
            raise ConfigFileError(f'{config.filename}: {name} is None, where a dataset belongs.')
        if isinstance(found, list | tuple) and name in SECTIONS:
            raise ConfigFileError(
                f'{config.filename}: {name} is a list, where a dict belongs: give each its name, '
                "as in dict(logger=dict(type='LoggerHook'))."
            )


def merge_settings(config: Config, options: dict[str, Any]) -> None:
    """Override settings of a config.

    Args:
        config: It is changed.
        options: New values by their names, such as ``'model.backbone.depth'``.

    Raises:
        ConfigFileError: If the config has no place for one.
    """
    for name, value in options.items():
        try:
            config.merge_from_dict({name: value})
        except Exception as error:
            raise ConfigFileError(
                f'{config.filename} has no place for {name}={value!r}: {_told(error)}.'
            ) from error


def _is_own_bug(error: Exception) -> bool:
    """Whether the package itself, which configs import, has failed."""
    *_, (frame, _) = walk_tb(error.__traceback__)
    path = Path(frame.f_code.co_filename)
    return path.is_relative_to(Path(__file__).parent) and not path.is_relative_to(CONFIGS)


def _is_of_library(name: str) -> bool:
    return any(Path(name).is_relative_to(folder) for folder in LIBRARIES)


def _told(error: Exception) -> str:
    """What an error says, and which line of which config it is about."""
    if isinstance(error, ImportError) and error.__cause__ is not None:  # MMEngine's says sys.path
        cause = error.__cause__.__context__ or error.__cause__
        return f'{cause} (custom_imports): set PYTHONPATH to the folder that has it'
    if isinstance(error, FileNotFoundError) and error.filename is not None:
        return f'{error.filename} does not exist, which it names'
    lines = [
        f'line {line} of {frame.f_code.co_filename}: '
        for frame, line in walk_tb(error.__traceback__)
        if frame.f_code.co_name == '<module>' and not _is_of_library(frame.f_code.co_filename)
    ]
    said = shorten(str(error), LONGEST).rstrip('.')
    kind = '' if isinstance(error, SyntaxError) else f'{type(error).__name__}: '
    return f'{lines[-1] if lines else ""}{kind}{said}'


def inherited(path: Path) -> list[Path]:
    """Give a config and all files that it inherits, itself first; those of other packages are none.

    Args:
        path: A config file.
    """
    found = [path]
    for base in Config._get_base_files(str(path)):
        if '::' not in base:
            found += inherited((path.parent / base).resolve())
    return list(dict.fromkeys(found))


def copy_config(name: str, folder: str | Path) -> list[Path]:
    """Copy a config of the package with the files it inherits, so that MMSeg's own tools read it.

    Args:
        name: See :func:`find_config`.
        folder: Where to; the files lie in it as they do in the package's ``configs``.

    Returns:
        What was written, the config itself first.

    Raises:
        FileNotFoundError: If there is no such config.
        ValueError: If it is none of the package, or another file stands where one would be written.
    """
    path, home = find_config(name).resolve(), CONFIGS.resolve()
    if not path.is_relative_to(home):
        raise ValueError(f'{name} is a file of your own: copy it yourself.')
    copies = {source: Path(folder) / source.relative_to(home) for source in inherited(path)}
    for source, copy in copies.items():
        led_away = copy.is_symlink() and not copy.exists()  # a copy would be made where it leads
        if led_away or (copy.exists() and copy.read_bytes() != source.read_bytes()):
            raise ValueError(f'{copy} is there already, with other content: give another folder.')
    for source, copy in copies.items():
        copy.parent.mkdir(parents=True, exist_ok=True)
        if not copy.exists():  # else it is the same, or the package's own
            shutil.copyfile(source, copy)
    return list(copies.values())
