"""Says which of OpenMMLab's packages are missing, or lie over each other's files.

The forks ``onedl-*``, and ``mmcv`` and ``mmcv-lite``, install into folders of the same names.
"""

import warnings
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

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
            f'mobanet_mmseg needs {", ".join(missing)}, which this Python has not: install '
            "mobanet_mmseg[lite] for OpenMMLab's packages with mmcv-lite, mobanet_mmseg[openmmlab] "
            'beside a mmcv of your own, or mobanet_mmseg[onedl] for their maintained forks.'
        )
    overlaid = [each for name in DISTRIBUTIONS for each in installed_over_each_other(name)]
    if overlaid:
        warnings.warn(
            f'{", ".join(overlaid)} are installed over each other, so that files of one stand '
            f'among those of another: `pip uninstall {" ".join(overlaid)}`, then install '
            'mobanet_mmseg with one of its extras, [lite], [openmmlab] or [onedl].',
            stacklevel=2,
        )


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
