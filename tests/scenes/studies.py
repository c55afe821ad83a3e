"""A study whose runs are stood in for by confusion matrices."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scenes.paths import ROOT

from mobanet_mmseg.evaluation.segmentation_metric import percentages
from mobanet_mmseg.experiments import runs

CLASSES = ['road', 'house', 'other']
EXCLUDED = ['other']
DEMO = str(ROOT / 'configs' / 'mobanet' / 'demo.py')


def write_study(folder: Path, **changes: Any) -> Path:
    """Write a study of four cells, two of them of one modality, on two data sets with two seeds."""
    given = dict(
        title='A study',
        config=DEMO,
        seeds=[1, 2],
        cells=dict(
            plain=dict(title='Plain', options=dict(model=dict(auxiliary_head=None))),
            full=dict(title='Full', paper='Full'),
            rgb=dict(title='Optical', modality='rgb'),
            aux=dict(title='Height', modality='aux'),
        ),
        datasets=dict(one=dict(title='One'), other=dict(title='Other', cells=['full'])),
        tables=dict(
            components=['plain', 'full'], robustness=['full', 'plain'], masks=['plain', 'full']
        ),
    )
    given.update(changes)
    path = folder / 'study.py'
    path.write_text(
        ''.join(f'{key} = {value!r}\n' for key, value in given.items() if value is not None)
    )
    return path


def matrix(right: int) -> np.ndarray:
    """Of ten pixels of each of two classes so many are right; the third class is nowhere.

    Both have an IoU of right / (20 - right).
    """
    return np.array([[right, 10 - right, 0], [10 - right, right, 0], [0, 0, 0]])


def result_of(run: runs.Run, right: Callable[[runs.Run, str, int], int]) -> dict[str, Any]:
    """The numbers of a run on two tiles, by how many pixels are right of each input and tile."""
    tiles = {
        modality: {f't{tile}': matrix(right(run, modality, tile)) for tile in (0, 1)}
        for modality in run.modalities
    }
    return {
        'metrics': {
            modality: {
                key: value if np.isfinite(value) else None
                for key, value in percentages(sum(each.values()), CLASSES, EXCLUDED).items()
            }
            for modality, each in tiles.items()
        },
        'tiles': {
            modality: {name: counts.tolist() for name, counts in each.items()}
            for modality, each in tiles.items()
        },
        'classes': CLASSES,
        'excluded_classes': EXCLUDED,
        'cost': {'trainable': 1_500_000},
        'training': {'iterations': 4, 'iterations_timed': 4, 'seconds_timed': 9.0},
        'testing': {'seconds': dict.fromkeys(run.modalities, 1.0)},
        'split': {'train': ['t9'], 'test': ['t0', 't1']},
        'machine': 'a machine',
    }


def stand_in(patch: Any, right: Callable[[runs.Run, str, int], int]) -> list[str]:
    """Let runs give the numbers of :func:`result_of`; gives the titles of those begun."""
    begun: list[str] = []

    def start(run: runs.Run, workers: int, repeats: int, threads: int | None = None) -> int:
        begun.append(run.title)
        (run.folder / runs.RESULT).write_text(json.dumps(result_of(run, right)))
        return 0

    patch.setattr(runs, '_start', start)
    return begun
