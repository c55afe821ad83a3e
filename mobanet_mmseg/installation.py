"""Says which packages are missing or lie over each other's files, where, and how to install them.

The forks ``onedl-*``, and ``mmcv`` and ``mmcv-lite``, install into folders of the same names.
"""

import json
import warnings
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from sysconfig import get_path
from urllib.parse import urlsplit
from urllib.request import url2pathname

SOURCES = Path(__file__).parents[1]  # in a checkout
# what is imported, and which distributions install it
DISTRIBUTIONS = {
    'mmcv': ('mmcv', 'mmcv-lite', 'onedl-mmcv'),
    'mmengine': ('mmengine', 'mmengine-lite', 'onedl-mmengine'),
    'mmseg': ('mmsegmentation', 'onedl-mmsegmentation'),
    'mmpretrain': ('mmpretrain', 'onedl-mmpretrain'),
}


def check_installation() -> None:
    """Refuse to go on without a package; warn where two were installed over each other.

    Raises:
        ModuleNotFoundError: If one of the four is not installed.
    """
    missing = [name for name in DISTRIBUTIONS if find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(
            f'mobanet_mmseg needs {", ".join(missing)}, which this Python has not: '
            f"{how_to_install('lite')} brings OpenMMLab's packages with mmcv-lite; [openmmlab] in "
            'the place of [lite] leaves a mmcv of your own, [onedl] brings their maintained forks.'
        )
    overlaid = [each for name in DISTRIBUTIONS for each in installed_over_each_other(name)]
    if overlaid:
        warnings.warn(
            f'{", ".join(overlaid)} are installed over each other, so that files of one stand '
            f'among those of another: `pip uninstall {" ".join(overlaid)}`, then install '
            'mobanet_mmseg with one of its extras, [lite], [openmmlab] or [onedl].',
            stacklevel=2,
        )


def how_to_install(extra: str) -> str:
    """Give the command that installs an extra from where the package itself came.

    Source: PEP 610, the ``direct_url.json`` that pip writes.

    Args:
        extra: Its name, as in ``'vector'``.
    """
    records = distributions(name='mobanet_mmseg')
    found = (record.read_text('direct_url.json') for record in records)
    origin = json.loads(next(filter(None, found), '{}')).get('url', '')
    if (SOURCES / 'pyproject.toml').is_file():
        return f"pip install -e '{SOURCES}[{extra}]'"
    if origin.startswith('file:'):
        what = f'{url2pathname(urlsplit(origin).path)}[{extra}]'
    else:
        what = f'mobanet_mmseg[{extra}]' + (f' @ {origin}' if origin else '')
    return f"pip install '{what}'"


def installed_over_each_other(name: str) -> list[str]:
    """Give the distributions that share the folder of a package; none if there is but one.

    Args:
        name: A package, as it is imported.
    """
    folder = Path(find_spec(name).origin).parents[1]
    found = [
        distribution
        for distribution in DISTRIBUTIONS[name]
        if any(distributions(name=distribution, path=[str(folder)]))
    ]
    return found if len(found) > 1 else []


def find_libraries() -> list[Path]:
    """Folders of libraries' code.

    Returns:
        Python's own and those that it installs into, and the packages that build what a config
        names, wherever they lie: beside a checkout, on ``PYTHONPATH``, in a user's folder.
    """
    folders = {get_path(name) for name in ('stdlib', 'purelib', 'platlib')}
    for spec in filter(None, map(find_spec, (*DISTRIBUTIONS, 'torch'))):
        folders.update(spec.submodule_search_locations or ())
    return [Path(folder) for folder in folders]


LIBRARIES = find_libraries()
