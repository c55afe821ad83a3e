"""The package's own configs: found by their names, and copied with the files they inherit."""

import shutil
from pathlib import Path
from typing import Any

from mmengine.config import Config

PACKAGE = 'mobanet_mmseg'
CONFIGS = Path(__file__).parent / '.mim' / 'configs'

_mmengine_config_path = Config._get_cfg_path


def config_path(path: str, filename: str) -> tuple[str, str | None]:
    """Stand for ``Config._get_cfg_path`` of mmengine, whose list of packages has not this one.

    Args:
        path: An entry of ``_base_``; with ``mobanet_mmseg::`` before it, a config of this package.
        filename: The config that inherits it.

    Returns:
        The path and the scope of what the config builds: mmseg's, as the config itself says.
    """
    if path.startswith(f'{PACKAGE}::'):
        return str(find_config(path)), None
    return _mmengine_config_path(path, filename)


def config_names() -> list[str]:
    """Give the names of all configs that can be trained, such as ``'mobanet/demo.py'``."""
    paths = CONFIGS.glob('[!_]*/*.py')
    return sorted(path.relative_to(CONFIGS).as_posix() for path in paths)


def find_config(name: str | Path) -> Path:
    """Find a config of the package, or any file.

    Args:
        name: A path; or a name of :func:`config_names`, with ``mobanet_mmseg::`` before it or not,
            with ``.py`` after it or not; or its last part, where no other has the same.

    Returns:
        The path.

    Raises:
        FileNotFoundError: If it names no config.
    """
    if Path(name).is_file():
        return Path(name)
    asked = str(name).removeprefix(f'{PACKAGE}::').removesuffix('.py')
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
        FileNotFoundError: If it names no config.
    """
    config = Config.fromfile(find_config(name))
    config.merge_from_dict(options or {})
    return config


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
        if copy.exists() and copy.read_bytes() != source.read_bytes():
            raise ValueError(f'{copy} is there already, with other content: give another folder.')
    for source, copy in copies.items():
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
    return list(copies.values())
