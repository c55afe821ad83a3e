import numpy as np
import pytest
from mmengine.config import Config
from rasterio.transform import from_origin
from scenes.prediction import BANDS, DATASET, UTM
from scenes.rasters import write_raster

from mobanet_mmseg.inference import preview
from mobanet_mmseg.inference.preview import read_preview
from mobanet_mmseg.inference.reading import PairReader

PLACE = {'crs': UTM, 'transform': from_origin(368000, 5808000, 0.5, 0.5)}
CONFIG = Config({'test_dataloader': {'dataset': DATASET}})


def write_all(folder, height, width):
    rng = np.random.default_rng(0)
    layers = {
        'rgb': rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        'aux': rng.uniform(0, 1, (height, width)).astype(np.float32),
        'labels': rng.integers(0, 4, (height, width), dtype=np.uint8),
        'truth': rng.integers(0, 4, (height, width), dtype=np.uint8),
    }
    for name, pixels in layers.items():
        write_raster(folder / f'{name}.tif', pixels, **PLACE)
    return layers


@pytest.mark.parametrize(
    ('size', 'step'), [((37, 53), 1), ((50, 20), 1), ((51, 20), 2), ((70, 173), 4), ((1, 101), 3)]
)
@pytest.mark.parametrize('rows', [1, 16, 256])
def test_each_nth_pixel_of_all_layers_is_read(tmp_path, monkeypatch, size, step, rows):
    monkeypatch.setattr(preview, 'LONGER_SIDE', 53 if size[1] == 53 else 50)
    monkeypatch.setattr(preview, 'ROWS_AT_ONCE', rows)
    layers = write_all(tmp_path, *size)
    options = {**BANDS, 'aux_range': None}
    with PairReader(tmp_path / 'rgb.tif', tmp_path / 'aux.tif', **options) as pair:
        found = read_preview(pair, tmp_path / 'labels.tif', CONFIG, tmp_path / 'truth.tif', 3)
    thin = {name: pixels[::step, ::step] for name, pixels in layers.items()}
    assert np.array_equal(found['rgb'], thin['rgb'])
    assert np.array_equal(found['aux'], thin['aux'][..., None])
    assert np.array_equal(found['prediction'], thin['labels'])
    assert np.array_equal(found['truth'], thin['truth'])


def test_without_truth_there_is_none_to_draw(tmp_path):
    write_all(tmp_path, 5, 7)
    with PairReader(tmp_path / 'rgb.tif', None, **BANDS) as pair:
        found = read_preview(pair, tmp_path / 'labels.tif', CONFIG, None, 3)
    assert found['truth'] is None
    assert not found['aux'].any()


def test_truth_of_another_size_gets_its_sentence(tmp_path):
    write_all(tmp_path, 5, 7)
    write_raster(tmp_path / 'truth.tif', np.zeros((9, 7), np.uint8), **PLACE)
    with (
        PairReader(tmp_path / 'rgb.tif', tmp_path / 'aux.tif', **BANDS) as pair,
        pytest.raises(ValueError, match=r'truth\.tif has 9 x 7 pixels'),
    ):
        read_preview(pair, tmp_path / 'labels.tif', CONFIG, tmp_path / 'truth.tif', 3)
