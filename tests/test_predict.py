import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
import torch
from conftest import ROOT, tiny_model
from mmengine.config import Config
from mmseg.models import BaseSegmentor
from mmseg.registry import MODELS
from rasterio.crs import CRS
from rasterio.transform import Affine
from torch import nn

from mobanet_mmseg.datasets.rasters import read_stack
from mobanet_mmseg.inference.predict import (
    find_valid,
    load_segmentor,
    predict_file,
    predict_raster,
    predict_stack,
    read_truth,
    reading_options,
)

CLASSES = ('red', 'green', 'blue', 'high')
PALETTE = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]
META = {'classes': CLASSES, 'palette': PALETTE}
UTM = CRS.from_epsg(32633)
ROTATED = Affine(0.04, 0.03, 368000, 0.03, -0.04, 5808000)
BANDS = {'img_bands': (1, 2, 3), 'aux_bands': (1,), 'aux_range': 'tile'}


@MODELS.register_module()
class LargestChannel(BaseSegmentor):
    """Each pixel's class is its largest channel, of four that the preprocessor brings to 0..1."""

    def __init__(self, data_preprocessor, train_cfg=None, test_cfg=None, pretrained=None):
        super().__init__(data_preprocessor=data_preprocessor)
        self.align_corners = False
        self.gain = nn.Parameter(torch.ones(4, 1, 1))

    def predict(self, inputs, data_samples=None):
        return self.postprocess_result(inputs * self.gain, data_samples)

    extract_feat = encode_decode = loss = _forward = None


def config_text(dataset):
    return f"""
default_scope = 'mmseg'
model = dict(
    type='LargestChannel',
    data_preprocessor=dict(
        type='MultimodalDataPreProcessor', mean=[0.0] * 4, std=[255.0, 255.0, 255.0, 1.0]))
test_dataloader = dict(dataset={dataset!r})
"""


DATASET = {'type': 'MultimodalSegDataset', 'data_root': 'nowhere', 'metainfo': META}


@pytest.fixture
def scene(tmp_path):
    """A config, a checkpoint and 37 x 53 rasters whose label map is known by hand."""
    rgb = np.full((3, 37, 53), 51, np.uint8)  # 0.2 each
    rgb[0, :, :20] = 204  # 0.8
    rgb[1, :, 20:35] = 128  # 0.5
    rgb[2, 30:] = 230  # 0.9
    heights = np.full((37, 53), 10, np.float32)  # 0 of 1
    heights[5:15] = 20  # 0.5: below red's 0.8 and green's 128 / 255, above 0.2
    heights[15:20, 10:] = 30  # 1
    expected = np.zeros((37, 53), np.uint8)
    expected[:, 20:35] = 1
    expected[:, 35:] = 0  # all three are 0.2: the first
    expected[30:] = 2
    expected[5:15, 35:] = 3
    expected[15:20, 10:] = 3
    place = {'driver': 'GTiff', 'height': 37, 'width': 53, 'crs': UTM, 'transform': ROTATED}
    paths = {name: tmp_path / f'{name}.tif' for name in ('rgb', 'aux', 'out')}
    with rasterio.open(paths['rgb'], 'w', count=3, dtype='uint8', **place) as image:
        image.write(rgb)
    with rasterio.open(paths['aux'], 'w', count=1, dtype='float32', **place) as image:
        image.write(heights, 1)
    paths['config'], paths['checkpoint'] = tmp_path / 'config.py', tmp_path / 'model.pth'
    paths['config'].write_text(config_text(DATASET))
    content = {'state_dict': {'gain': torch.ones(4, 1, 1)}, 'meta': {'dataset_meta': META}}
    torch.save(content, paths['checkpoint'])
    return {**paths, 'expected': expected}


@pytest.fixture
def model(scene):
    return load_segmentor(scene['config'], scene['checkpoint'])


def run_command(monkeypatch, scene, *options):
    arguments = [scene['config'], scene['checkpoint'], '--rgb', scene['rgb'], '--aux', scene['aux']]
    arguments += ['--out', scene['out'], '--device', 'cpu', *options]
    monkeypatch.setattr(sys, 'argv', ['predict.py', *map(str, arguments)])
    runpy.run_path(str(ROOT / 'tools' / 'predict.py'), run_name='__main__')


def test_label_map_worked_out_by_hand_is_written_on_the_grid_of_the_image(scene, model):
    labels = predict_file(model, scene['rgb'], scene['aux'], scene['out'], **BANDS)
    assert np.array_equal(labels, scene['expected'])
    with rasterio.open(scene['out']) as written, rasterio.open(scene['rgb']) as image:
        assert np.array_equal(written.read(1), scene['expected'])
        assert (written.crs, written.transform, written.shape) == (
            image.crs,
            image.transform,
            image.shape,
        )
        assert [written.colormap(1)[index][:3] for index in range(4)] == [
            tuple(colour) for colour in PALETTE
        ]
        assert written.tags()['CLASS_3'] == 'high'


def test_fixed_range_scales_heights_in_their_own_unit(scene, model):
    options = {**BANDS, 'aux_range': (10, 1010)}  # 30 m become 0.02, below everything
    labels = predict_raster(model, scene['rgb'], scene['aux'], **options)
    assert not (labels == 3).any()


def test_percentiles_clip_heights_as_in_training(scene, model):
    with rasterio.open(scene['aux'], 'r+') as aux:
        heights = aux.read(1)
        heights[0, 0] = 1e6  # by its own range all else would be 0
        aux.write(heights, 1)
    labels = predict_raster(model, scene['rgb'], scene['aux'], **BANDS)
    assert not (labels[1:] == 3).any()
    options = {**BANDS, 'aux_range': ('percentile', 1, 99)}
    labels = predict_raster(model, scene['rgb'], scene['aux'], **options)
    assert np.array_equal(labels[1:], scene['expected'][1:])


def test_band_order_is_that_of_the_options(scene, model):
    options = {**BANDS, 'img_bands': (3, 2, 1)}
    labels = predict_raster(model, scene['rgb'], scene['aux'], **options)
    assert (labels[:5, :20] == 2).all()  # red is the third channel now


def test_pixels_without_optical_data_are_nodata(scene, model):
    with rasterio.open(scene['rgb'], 'r+') as image:
        image.nodata = 51
        values = image.read()
    valid = (values != 51).any(axis=0)  # one band with data is enough
    assert not valid.all()
    assert np.array_equal(find_valid(scene['rgb'], (1, 2, 3)), valid)
    labels = predict_raster(model, scene['rgb'], scene['aux'], **BANDS)
    assert np.array_equal(labels, np.where(valid, scene['expected'], 255))


def test_sliding_windows_of_the_segmentor_give_the_labels_of_its_own_test_step(scene):
    network = MODELS.build(tiny_model()).eval()
    stack = read_stack(
        scene['rgb'], scene['aux'], img_bands=(1, 2, 3), aux_bands=(1,), aux_range=(10, 30)
    )
    with torch.no_grad():
        mean, std = network.data_preprocessor.mean, network.data_preprocessor.std
        inputs = (torch.from_numpy(stack).permute(2, 0, 1) - mean) / std
        logits = network.slide_inference(inputs[None], [{}])
    assert np.array_equal(predict_stack(network, stack), logits[0].argmax(dim=0).numpy())


def test_bands_and_range_are_those_of_the_test_dataset():
    def options(**dataset):
        return reading_options(Config({'test_dataloader': {'dataset': {**DATASET, **dataset}}}))

    assert options() == BANDS
    given = {'img_bands': (4, 1, 2), 'aux_bands': (2,), 'aux_range': (-5.0, 40.0)}
    assert options(**given) == given
    percentiles = ('percentile', 1, 99)
    assert options(aux_range=percentiles)['aux_range'] == percentiles


def test_archive_dataset_chooses_its_bands_itself():
    dataset = {'type': 'ISPRSPotsdamDataset', 'tiles': 'test', 'optical': 'rgbir'}
    config = Config({'test_dataloader': {'dataset': dataset}})
    assert reading_options(config)['img_bands'] == (1, 2, 3, 4)


def test_config_without_such_a_dataset_is_refused():
    for content, found in (
        ({}, 'none'),
        ({'test_dataloader': {'dataset': {'type': 'ADE20KDataset'}}}, 'ADE20KDataset'),
    ):
        with pytest.raises(ValueError, match=f'is {found}, but only a MultimodalSegDataset'):
            reading_options(Config(content))


def test_truth_is_read_from_colours_and_from_indices(scene, tmp_path):
    colours = np.uint8(PALETTE)[scene['expected']]
    place = {'driver': 'GTiff', 'height': 37, 'width': 53, 'dtype': 'uint8'}
    with rasterio.open(tmp_path / 'colours.tif', 'w', count=3, **place) as label:
        label.write(np.moveaxis(colours, -1, 0))
    with rasterio.open(tmp_path / 'indices.tif', 'w', count=1, **place) as label:
        label.write(scene['expected'], 1)
    with rasterio.open(tmp_path / 'two.tif', 'w', count=2, **place) as label:
        label.write(np.stack([scene['expected']] * 2))
    config = Config.fromfile(scene['config'])
    for name in ('colours', 'indices'):
        truth = read_truth(config, scene['rgb'], tmp_path / f'{name}.tif')
        assert np.array_equal(truth, scene['expected'])
    with pytest.raises(ValueError, match=r'two\.tif has 2 bands'):
        read_truth(config, scene['rgb'], tmp_path / 'two.tif')


def test_missing_checkpoint_is_named(scene, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'checkpoint .*absent\.pth does not exist'):
        load_segmentor(scene['config'], tmp_path / 'absent.pth')


def test_file_that_is_no_checkpoint_is_refused(scene):
    for content in (b'', b'not a checkpoint'):
        scene['checkpoint'].write_bytes(content)
        with pytest.raises(ValueError, match=r'model\.pth is no checkpoint that torch can read'):
            load_segmentor(scene['config'], scene['checkpoint'])


@pytest.mark.parametrize(
    'content',
    [{'state_dict': {}}, {'gain': torch.ones(4, 1, 1)}, {'state_dict': {}, 'meta': {}}],
)
def test_weights_without_class_names_are_refused(scene, content):
    torch.save(content, scene['checkpoint'])
    with pytest.raises(ValueError, match=r'model\.pth holds no state_dict with the classes'):
        load_segmentor(scene['config'], scene['checkpoint'])


@pytest.mark.parametrize('weights', [{}, {'gain': torch.ones(5, 1, 1)}, {'other': torch.ones(1)}])
def test_checkpoint_that_leaves_a_weight_random_is_refused(scene, weights):
    torch.save({'state_dict': weights, 'meta': {'dataset_meta': META}}, scene['checkpoint'])
    with pytest.raises(ValueError, match=r'model\.pth does not fit the config: .*gain'):
        load_segmentor(scene['config'], scene['checkpoint'])


def test_device_that_is_not_there_is_refused(scene):
    with pytest.raises(ValueError, match='Device cuda:99 is not there'):
        load_segmentor(scene['config'], scene['checkpoint'], 'cuda:99')
    with pytest.raises(ValueError, match="There is no device 'gpu'"):
        load_segmentor(scene['config'], scene['checkpoint'], 'gpu')


def test_input_is_never_overwritten(scene, model):
    before = scene['aux'].read_bytes()
    with pytest.raises(ValueError, match='is an input and would be overwritten'):
        predict_file(model, scene['rgb'], scene['aux'], scene['aux'], **BANDS)
    assert scene['aux'].read_bytes() == before


def test_place_is_tried_before_anything_is_predicted(scene, model, monkeypatch):
    monkeypatch.setattr(model, 'predict', lambda *args: pytest.fail('predicted'))
    with pytest.raises(OSError, match='could not be written'):
        predict_file(model, scene['rgb'], scene['aux'], scene['config'] / 'out.tif', **BANDS)


def test_raster_of_another_size_is_refused_and_nothing_is_written_beside_it(scene, model, tmp_path):
    place = {'driver': 'GTiff', 'height': 37, 'width': 60, 'count': 1, 'dtype': 'float32'}
    (tmp_path / 'other').mkdir()
    with rasterio.open(tmp_path / 'other' / 'aux.tif', 'w', **place, transform=ROTATED) as image:
        image.write(np.arange(37 * 60, dtype=np.float32).reshape(1, 37, 60))
    with pytest.raises(ValueError, match=r'aux\.tif has 37 x 60 pixels and .* 37 x 53'):
        predict_file(model, scene['rgb'], tmp_path / 'other' / 'aux.tif', scene['out'], **BANDS)
    assert [path.name for path in (tmp_path / 'other').iterdir()] == ['aux.tif']


def test_failed_prediction_leaves_no_file(scene, model):
    with pytest.raises(FileNotFoundError):
        predict_file(model, scene['rgb'], Path('absent.tif'), scene['out'], **BANDS)
    assert not list(scene['out'].parent.glob('*out.tif*'))


def test_command_writes_label_map_and_picture_and_says_the_shares(scene, monkeypatch, capsys):
    picture = scene['out'].with_suffix('.png')
    predict_file(
        load_segmentor(scene['config'], scene['checkpoint']),
        scene['rgb'],
        scene['aux'],
        scene['out'].with_name('label.tif'),
        **BANDS,
    )
    label = scene['out'].with_name('label.tif')
    run_command(monkeypatch, scene, '--label', label, '--picture', picture)
    with rasterio.open(scene['out']) as written:
        assert np.array_equal(written.read(1), scene['expected'])
    assert min(cv2.imread(str(picture)).shape[:2]) > 100
    said = capsys.readouterr().out
    assert str(scene['out']) in said
    assert str(picture) in said
    share = np.mean(scene['expected'] == 3)
    assert f'{share:.2%}' in said


@pytest.mark.parametrize(
    'options', [('--picture', 'picture.tif'), ('--label', 'absent.tif'), ('--rgb', 'absent.tif')]
)
def test_command_ends_with_one_sentence_where_the_user_is_mistaken(scene, monkeypatch, options):
    with pytest.raises(SystemExit) as stop:
        run_command(monkeypatch, scene, *options)
    assert str(stop.value).startswith('error: ')
    assert options[1] in str(stop.value)
    assert not scene['out'].exists()


def test_command_takes_overrides_of_the_config(scene, monkeypatch):
    run_command(monkeypatch, scene, '--cfg-options', 'test_dataloader.dataset.aux_range=(10, 1010)')
    with rasterio.open(scene['out']) as written:
        assert not (written.read(1) == 3).any()
