"""How often check_data is wrong about registration.

As a script it counts over many scenes: those with right labels of which something is said to hurt,
and those whose labels are turned, mirrored, transposed or shifted by 4 pixels and are found. It
takes some minutes: PYTHONPATH=.:tests python tests/checks/test_false_alarms.py
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from scenes.patchy import CLASSES, patchy_scene
from scenes.rasters import write_raster

from mobanet_mmseg.checks.checks import Checks, check_config

WRONG: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    'turned by 90 degrees': np.rot90,
    'turned by 180 degrees': lambda labels: np.rot90(labels, 2),
    'turned by 270 degrees': lambda labels: np.rot90(labels, 3),
    'mirrored left-right': np.fliplr,
    'mirrored top-bottom': np.flipud,
    'transposed': np.transpose,
    'transposed along the other diagonal': lambda labels: np.rot90(labels, 2).T,
    'shifted by 4 pixels down': lambda labels: moved(labels, 4, 0),
    'shifted by 4 pixels left': lambda labels: moved(labels, 0, -4),
    'shifted by 4 pixels up and right': lambda labels: moved(labels, -4, 4),
}


def moved(labels: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """Shift labels; what comes in at the edge has no label."""
    padded = np.pad(labels, 4, constant_values=255)
    height, width = labels.shape
    return padded[4 - rows : 4 - rows + height, 4 - cols : 4 - cols + width]


def check(
    folder: Path,
    side: int,
    count: int,
    change: Callable[[np.ndarray], np.ndarray] = lambda labels: labels,
    related: bool = True,
) -> Checks:
    """Write scenes of a size with changed labels and check them as a training split."""
    for seed in range(count):
        scene = patchy_scene(seed, side, related)
        write_raster(folder / f'img/{seed:03}.tif', scene.optical)
        write_raster(folder / f'aux/{seed:03}.tif', scene.heights)
        write_raster(folder / f'label/{seed:03}.tif', change(scene.labels))
    dataset = {
        'type': 'MultimodalSegDataset',
        'data_root': str(folder),
        'data_prefix': {'img_path': 'img', 'aux_path': 'aux', 'seg_map_path': 'label'},
        'metainfo': {'classes': CLASSES},
    }
    return check_config(Config({'train_dataloader': {'dataset': dataset}}), 'train')


def alarmed(checks: Checks, word: str = '') -> set[str]:
    """Tiles of which something hurts, with a word in what is said."""
    return {
        Path(finding.tile).stem
        for finding in checks.findings
        if finding.level == 'hurts' and word in finding.text
    }


def false_alarms(folder: Path, side: int, count: int, related: bool = True) -> set[str]:
    """Scenes with right labels of which something is said to hurt."""
    return alarmed(check(folder, side, count, related=related))


def missed(folder: Path, side: int, count: int, change: str) -> set[str]:
    """Scenes with wrong labels of which that is not said."""
    found = alarmed(check(folder, side, count, WRONG[change]), 'the label raster')
    return {f'{seed:03}' for seed in range(count)} - found


@pytest.mark.slow
@pytest.mark.parametrize('side', [128, 256])
@pytest.mark.parametrize('related', [True, False])
def test_right_labels_are_not_called_wrong(tmp_path, side, related):
    assert false_alarms(tmp_path, side, 10, related) == set()


@pytest.mark.slow
@pytest.mark.parametrize('change', WRONG)
def test_wrong_labels_are_found(tmp_path, change):
    assert len(missed(tmp_path, 256, 10, change)) <= 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--count', type=int, default=100, help='scenes of each kind')
    count = parser.parse_args().count
    init_default_scope('mmseg')
    with tempfile.TemporaryDirectory() as folder:
        for related in (True, False):
            what = 'right labels' if related else 'labels of what the image does not show'
            for side in (128, 256):
                start = time.perf_counter()
                found = false_alarms(Path(folder), side, count, related)
                seconds = time.perf_counter() - start
                print(
                    f'{side} pixels, {what}: {len(found)} of {count} hurt {sorted(found)}, '
                    f'{seconds:.0f} s',
                    flush=True,
                )
        for name in WRONG:
            start = time.perf_counter()
            lost = missed(Path(folder), 256, count, name)
            seconds = time.perf_counter() - start
            print(
                f'256 pixels, {name}: {count - len(lost)} of {count} found, missed {sorted(lost)}, '
                f'{seconds:.0f} s',
                flush=True,
            )


if __name__ == '__main__':
    main()
