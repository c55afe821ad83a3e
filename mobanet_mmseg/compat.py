"""What mmcv-lite and torch >= 2.6 need so that MMSegmentation imports, trains, resumes and loads.

Patches, each of which does nothing where it is not needed:

- mmcv-lite has no compiled ops, yet ``mmseg.models`` imports some. A stand-in for ``mmcv._ext``
  lets it import; an op that is really called raises an error that names it.
- torch >= 2.6 reads checkpoints with ``weights_only=True`` and refuses what mmengine writes into
  its own. The few harmless names are put on torch's allow-list; ``weights_only`` stays on.
- mmengine reads what it fetches from an address without ``weights_only``, so that a checkpoint from
  the web could run any code; it is put on there, too. The maintained fork, onedl-mmengine, falls
  back to reading any file as code; it no longer does. A download that was cut, or is another file
  than its name promises, is not kept; see :mod:`mobanet_mmseg.downloads`.
- mmengine lets configs inherit those of a fixed list of packages, ``mmseg::...``; ours are added,
  as ``mobanet_mmseg::...``. It finds packages through ``pkg_resources``, which setuptools 82 no
  longer has; they are found without.
- mmengine and mmcv ask ``pkgutil.find_loader``, which Python 3.14 no longer has, whether mmcv has
  compiled ops; it is put back.
- mmseg's heads call a function for which mmseg itself warns; nobody else can do anything about it.
"""

import builtins
import codecs
import importlib.util
import pkgutil
import sys
import warnings
from collections.abc import Callable
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import mmengine.config.config
import mmengine.runner.checkpoint
import numpy as np
import torch
from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.logging import HistoryBuffer

from mobanet_mmseg.configs import config_path
from mobanet_mmseg.downloads import NotFetchedError, fetched, kept_path
from mobanet_mmseg.writing import NotWrittenError

_MODULES = {package: module for module, package in MODULE2PACKAGE.items()}
_HISTORY_STATISTICS = ('min', 'max', 'current', 'mean')


def patch_stack() -> None:
    """Make mmseg import under mmcv-lite, and checkpoints load without running code; idempotent."""
    warnings.filterwarnings('ignore', '``build_loss`` would be deprecated', UserWarning)
    if importlib.util.find_spec('mmcv._ext') is None:
        stand_in_for_compiled_ops()
    allow_mmengine_checkpoints()
    mmengine.runner.checkpoint.load_url = load_url
    mmengine.runner.checkpoint._safe_torch_load = partial(torch.load, weights_only=True)
    Config._get_cfg_path = staticmethod(config_path)
    if importlib.util.find_spec('pkg_resources') is None:
        mmengine.config.config.is_installed = is_installed
        mmengine.config.config.get_installed_path = get_installed_path
    if not hasattr(pkgutil, 'find_loader'):
        pkgutil.find_loader = find_loader


def find_loader(name: str) -> Any:
    """Stand for ``pkgutil.find_loader``: what loads a module, or None.

    Args:
        name: Its full name, such as ``'mmcv._ext'``.
    """
    spec = importlib.util.find_spec(name)
    return spec and spec.loader


def is_installed(package: str) -> bool:
    """Stand for the function of mmengine, without ``pkg_resources``.

    Args:
        package: Name of a distribution, such as ``'mmsegmentation'``.
    """
    return importlib.util.find_spec(_MODULES.get(package, package)) is not None


def get_installed_path(package: str) -> str:
    """Stand for the function of mmengine, without ``pkg_resources``.

    Args:
        package: Name of a distribution, such as ``'mmsegmentation'``.
    """
    return str(Path(importlib.util.find_spec(_MODULES.get(package, package)).origin).parent)


def load_url(
    address: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
) -> Any:
    """Stand for the ``load_url`` of mmengine: without code, and of whole files.

    Args:
        address: Address of a file that torch wrote.
        model_dir: Where files are kept; None is torch's cache.
        map_location: See ``torch.load``.
        progress: Not used.

    Raises:
        NotFetchedError: If the file is not kept and cannot be fetched.
    """

    def read(path: Path) -> Any:
        return torch.load(path, map_location=map_location, weights_only=True)

    try:
        return fetched(address, read, model_dir)
    except NotWrittenError:
        raise
    except OSError as error:
        raise NotFetchedError(
            f'The weight file {address} cannot be fetched ({error}): download it elsewhere and put '
            f'it at {kept_path(address, model_dir)}, or begin without it (init_cfg=None in the '
            'part of the model that names it, pretrained=None in a model of MMSegmentation).'
        ) from error


class _MissingOps(ModuleType):
    """Stands for ``mmcv._ext``: every op can be looked up, none can be called."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith('__'):
            raise AttributeError(name)

        def missing_op(*args: Any, **kwargs: Any) -> None:
            raise RuntimeError(
                f"The compiled op '{name}' was called, but mmcv-lite has no compiled ops: install "
                'the full mmcv (`pip uninstall mmcv-lite`, then `pip install "mmcv>=2.0,<2.2"`), '
                'or choose a model that does not need it.'
            )

        return missing_op


def stand_in_for_compiled_ops() -> None:
    """Put a module with a real spec in the place of ``mmcv._ext``.

    The spec has no loader, so ``mmengine.utils.dl_utils.mmcv_full_available()`` still says no; that
    of onedl-mmengine says yes, and finds ops that it need not call.
    """
    module = _MissingOps('mmcv._ext')
    module.__spec__ = ModuleSpec('mmcv._ext', None)
    sys.modules['mmcv._ext'] = module


def _history_statistic(owner: type, name: str) -> Callable:
    """Stand for ``builtins.getattr`` in a checkpoint: HistoryBuffer's statistics, nothing else.

    mmengine pickles ``HistoryBuffer.mean`` as ``getattr(HistoryBuffer, 'mean')``. The real
    ``getattr`` would open the way to any code, attribute by attribute.

    Raises:
        ValueError: If anything else is asked for.
    """
    if owner is not HistoryBuffer or name not in _HISTORY_STATISTICS:
        raise ValueError(
            f'A checkpoint asks for the attribute {name!r} of {owner!r}; only the statistics '
            f'{_HISTORY_STATISTICS} of mmengine.logging.HistoryBuffer are allowed. '
            'The file was not written by mmengine: do not load it.'
        )
    return builtins.getattr(owner, name)


def allow_mmengine_checkpoints() -> None:
    """Allow what mmengine writes into a checkpoint, under the names of numpy 1 and 2."""
    multiarray = np._core.multiarray if hasattr(np, '_core') else np.core.multiarray
    dtypes = {type(np.dtype(code)) for code in ('?', 'i1', 'u1', 'i4', 'i8', 'f4', 'f8', 'U')}
    torch.serialization.add_safe_globals(
        [
            HistoryBuffer,
            (_history_statistic, 'builtins.getattr'),
            (codecs.encode, '_codecs.encode'),
            np.ndarray,
            np.dtype,
            *sorted(dtypes, key=lambda dtype: dtype.__name__),
            *(
                (getattr(multiarray, name), f'numpy.{core}.multiarray.{name}')
                for name in ('_reconstruct', 'scalar')
                for core in ('core', '_core')
            ),
        ]
    )
