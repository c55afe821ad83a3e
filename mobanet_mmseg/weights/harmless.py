"""What of a checkpoint goes on to MMEngine: tensors and numbers, and nothing that names anything.

MMEngine acts on what a checkpoint says: it runs ``meta['config']`` as Python, and removes the file
or folder that ``message_hub`` names as the best one. A file from elsewhere could say anything.
"""

import re
from collections import OrderedDict
from pathlib import Path
from types import UnionType
from typing import Any

import numpy as np
from mmengine.logging import HistoryBuffer
from torch import Tensor

from mobanet_mmseg.weights.checkpoints import CheckpointError

BEST = re.compile(r'best_ckpt(_.+)?')
NUMBERS = bool | int | float | np.bool_ | np.integer | np.floating
LEFT_OUT = object()


def harmless(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Give a checkpoint without what could be run, opened, written or deleted.

    Args:
        checkpoint: What a file holds, read with ``weights_only``.

    Returns:
        The weights as they are; of ``meta`` the epoch, the iteration, the seed and, for comparison,
        the classes and what frozen encoders are; of ``message_hub`` numbers and their histories; of
        the optimizer its state and options; of all else the tensors and numbers. All but the
        weights are copies.

    Raises:
        CheckpointError: If it is nested without end.
    """
    try:
        return _harmless(checkpoint)
    except RecursionError as error:
        raise CheckpointError(
            'The checkpoint holds itself, or dicts too deep to be read: give a .pth file that the '
            'training wrote.'
        ) from error


def _harmless(checkpoint: dict[str, Any]) -> dict[str, Any]:
    if 'state_dict' not in checkpoint:  # weights alone
        return _weights(checkpoint)
    clean = {'state_dict': _weights(checkpoint['state_dict'])}
    kinds = {'meta': _meta, 'message_hub': _message_hub, 'optimizer': _with_words}
    for key, value in checkpoint.items():
        if isinstance(key, str) and key not in clean:
            kept = kinds.get(key, _numbers)(value)
            clean |= {} if kept is LEFT_OUT else {key: kept}
    return clean


def own_files(checkpoint: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Find the files in a run's own folder that a checkpoint of the run speaks of.

    Args:
        checkpoint: What a file in ``folder`` holds.
        folder: Where the run writes its checkpoints.

    Returns:
        ``best_ckpt``, a file that MMEngine calls so, and ``keep_ckpt_ids``, the numbers of the
        checkpoints of which MMEngine removes the oldest; each only if there.
    """
    said = _dict(_dict(checkpoint.get('message_hub')).get('runtime_info'))
    found = {
        key: str(folder / Path(value).name)
        for key, value in said.items()
        if isinstance(key, str) and BEST.fullmatch(key) and isinstance(value, str)
    }
    found = {key: path for key, path in found.items() if _is_best_file(Path(path))}
    numbers = said.get('keep_ckpt_ids')
    if isinstance(numbers, list):
        found['keep_ckpt_ids'] = [number for number in numbers if type(number) is int]
    return found


def _is_best_file(path: Path) -> bool:
    return path.name.startswith('best_') and path.suffix == '.pth' and path.is_file()


def _weights(state_dict: dict[str, Any]) -> OrderedDict[str, Tensor]:
    weights = OrderedDict(
        (name, value)
        for name, value in state_dict.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    )
    versions = getattr(state_dict, '_metadata', None)  # of the layers, for torch
    weights._metadata = OrderedDict(_dict(_numbers(versions)))
    return weights


def _meta(meta: Any) -> dict[str, Any]:
    meta = _dict(meta)
    kept = {key: meta[key] for key in ('epoch', 'iter', 'seed') if type(meta.get(key)) is int}
    if 'frozen_encoders' in meta:
        kept['frozen_encoders'] = _dict(_with_words(meta['frozen_encoders']))
    return {**kept, 'dataset_meta': _dict(_with_words(meta.get('dataset_meta')))}


def _message_hub(hub: Any) -> dict[str, Any]:
    parts = (_dict(_dict(hub).get(key)) for key in ('log_scalars', 'runtime_info'))
    scalars, info = ({k: v for k, v in part.items() if isinstance(k, str)} for part in parts)
    scalars = {key: _history(value) for key, value in scalars.items()}
    scalars = {key: value for key, value in scalars.items() if value is not None}
    info = {key: value for key, value in info.items() if isinstance(value, NUMBERS)}
    return {
        'log_scalars': OrderedDict(scalars),
        'runtime_info': OrderedDict(info),
        'resumed_keys': dict.fromkeys([*scalars, *info], True),
    }


def _history(value: Any) -> HistoryBuffer | None:
    """Copy a history: a pickled one may bring attributes of any kind."""
    if not isinstance(value, HistoryBuffer):
        return None
    parts = [vars(value).get(key) for key in ('_log_history', '_count_history')]
    numeric = all(isinstance(part, np.ndarray) and part.dtype.kind in 'biuf' for part in parts)
    if not numeric or parts[0].ndim != 1 or parts[0].shape != parts[1].shape:
        return None
    return HistoryBuffer(*parts)


def _dict(value: Any) -> dict:
    return value if isinstance(value, dict) else {}


def _with_words(value: Any) -> Any:
    return _numbers(value, NUMBERS | str)


def _numbers(value: Any, leaves: UnionType = NUMBERS) -> Any:
    """Copy the tensors and numbers of nested dicts and lists; what else they hold is left out."""
    if value is None or isinstance(value, leaves):
        return value
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        pairs = ((k, _numbers(v, leaves)) for k, v in value.items() if isinstance(k, str | int))
        return {key: item for key, item in pairs if item is not LEFT_OUT}
    if isinstance(value, list | tuple):
        copies = (_numbers(item, leaves) for item in value)
        kept = [item for item in copies if item is not LEFT_OUT]
        return kept if isinstance(value, list) else tuple(kept)
    return LEFT_OUT
