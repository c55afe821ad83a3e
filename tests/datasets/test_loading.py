import numpy as np
import pytest
import rasterio
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmseg.registry import TRANSFORMS
from scenes.paths import ROOT
from scenes.rasters import PALETTE, random_tile, write_potsdam, write_raster

from mobanet_mmseg.datasets import loading
from mobanet_mmseg.datasets.isprs import ISPRSPotsdamDataset
from mobanet_mmseg.datasets.loading import LoadRasterAnnotations, classes_of
from mobanet_mmseg.datasets.wrappers import WindowIndex

COLOURS = {tuple(colour): index for index, colour in enumerate(PALETTE.tolist())}
LOOKUP = {0: 0, 1: 1, 2: 2, 255: 255, (0, 0, 0): 255, **COLOURS}


@pytest.fixture
def warned(monkeypatch):
    """What is warned of."""
    said = []
    monkeypatch.setattr(loading, 'print_log', lambda text, **_: said.append(text))
    return said


def load_label(tmp_path, pixels, lookup=LOOKUP, transform=None, **profile):
    path = write_raster(tmp_path / 'label.tif', pixels, **profile)
    results = {
        'height': pixels.shape[0],
        'width': pixels.shape[1],
        'seg_map_path': str(path),
        'label_lookup': lookup,
        'seg_fields': [],
    }
    return (transform or LoadRasterAnnotations())(results)['gt_seg_map']


def test_colours_become_classes_and_the_black_boundary_is_ignored(tmp_path, warned):
    pixels = np.vstack([PALETTE, [[0, 0, 0]]]).reshape(1, 7, 3).astype(np.uint8)
    labels = load_label(tmp_path, pixels)
    assert labels.dtype == np.uint8 and labels.tolist() == [[0, 1, 2, 3, 4, 5, 255]]
    assert not warned


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.int32, np.float32])
def test_indices_of_any_type_become_classes(tmp_path, warned, dtype):
    labels = load_label(tmp_path, np.array([[2, 1, 0], [255, 0, 1]], dtype))
    assert labels.tolist() == [[2, 1, 0], [255, 0, 1]] and not warned


def test_values_become_classes_in_the_order_of_the_config(tmp_path, warned):
    labels = load_label(
        tmp_path, np.array([[40, 7], [300, 0]], np.uint16), {7: 0, 40: 1, 300: 2, 0: 255}
    )
    assert labels.tolist() == [[1, 0], [2, 255]] and not warned


def test_the_rasters_nodata_is_ignored_unless_it_is_a_class(tmp_path, warned):
    pixels = np.array([[0, 1], [9, 2]], np.uint8)
    assert load_label(tmp_path, pixels, nodata=9).tolist() == [[0, 1], [255, 2]]
    assert load_label(tmp_path, np.minimum(pixels, 2), nodata=0).tolist() == [[0, 1], [2, 2]]
    assert not warned


@pytest.mark.parametrize('colours', [False, True])
def test_what_the_mask_of_the_file_leaves_out_is_ignored(tmp_path, warned, colours):
    pixels = np.array([[0, 1], [9, 2]], np.uint8)
    pixels = PALETTE[np.minimum(pixels, 2)] if colours else pixels
    write_raster(tmp_path / 'label.tif', pixels)
    with rasterio.open(tmp_path / 'label.tif', 'r+') as raster:
        raster.write_mask(np.array([[True, False], [False, True]]))
    labels, _ = loading.read_classes(tmp_path / 'label.tif', LOOKUP, None, (2, 2))
    assert labels.tolist() == [[0, 255], [255, 2]]


def test_a_palette_raster_holds_indices(tmp_path):
    path = write_raster(tmp_path / 'label.tif', np.array([[2, 0, 1]], np.uint8))
    with rasterio.open(path, 'r+') as raster:
        raster.write_colormap(1, {0: (9, 9, 9, 255), 1: (0, 0, 255, 255), 2: (7, 7, 7, 255)})
    png = write_raster(
        tmp_path / 'label.png', np.array([[2, 0, 1]], np.uint8), driver='PNG', interleave='band'
    )
    for label in (path, png):
        results = {
            'height': 1,
            'width': 3,
            'seg_map_path': str(label),
            'label_lookup': LOOKUP,
            'seg_fields': [],
        }
        assert LoadRasterAnnotations()(results)['gt_seg_map'].tolist() == [[2, 0, 1]]


def test_off_palette_colours_are_ignored_counted_and_warned_of_once(tmp_path, warned):
    pixels = np.zeros((4, 5, 3), np.uint8) + PALETTE[1]
    pixels[1, 2] = pixels[3, 4] = (12, 0, 254)
    pixels[3, 0] = (255, 255, 254)
    transform = LoadRasterAnnotations()
    for _ in range(3):
        labels = load_label(tmp_path, pixels, transform=transform)
        assert labels[1, 2] == labels[3, 4] == labels[3, 0] == 255
        assert (labels == 1).sum() == 17
    assert len(warned) == 1
    assert str(tmp_path / 'label.tif') in warned[0]
    assert 'first (12, 0, 254), in 3 pixels (15.000%)' in warned[0]


def test_an_index_beyond_the_classes_is_ignored_counted_and_warned_of_once(tmp_path, warned):
    transform = LoadRasterAnnotations()
    for _ in range(2):
        labels = load_label(tmp_path, np.array([[0, 254, 3, 2]], np.uint8), transform=transform)
        assert labels.tolist() == [[0, 255, 255, 2]]
    assert len(warned) == 1 and 'first 254, in 2 pixels (50.000%)' in warned[0]


def test_colours_of_more_than_a_byte_are_refused():
    with pytest.raises(ValueError, match='label in colours is uint16'):
        classes_of(np.zeros((2, 3, 3), np.uint16), LOOKUP)


def test_a_sample_without_labels_passes_unchanged():
    results = {'img_path': 'a', 'seg_fields': []}
    assert LoadRasterAnnotations()(dict(results)) == results


def pipeline_of(name):
    config = Config.fromfile(ROOT / 'configs/_base_/datasets/isprs_potsdam.py')
    return Compose(config[name])


def test_flips_move_the_image_and_its_labels_together(tmp_path):
    write_potsdam(tmp_path, ['2_10'])
    tiles = ISPRSPotsdamDataset(['2_10'], data_root=str(tmp_path))
    info = tiles.get_data_info(WindowIndex(0, 3, 5, 16, 24))
    optical, _, labels = (array[3:19, 5:29] for array in random_tile((37, 53)))
    pipeline = pipeline_of('train_pipeline')
    seen = set()
    for seed in range(20):
        np.random.seed(seed)
        packed = pipeline(dict(info, seg_fields=[]))
        inputs, truth = packed['inputs'].numpy(), packed['data_samples'].gt_sem_seg.data[0].numpy()
        for name, axes in (('none', ()), ('h', (1,)), ('v', (0,)), ('both', (0, 1))):
            if (inputs[:3].transpose(1, 2, 0) == np.flip(optical, axes)).all():
                np.testing.assert_array_equal(truth, np.flip(labels, axes))
                seen.add(name)
    assert seen == {'none', 'h', 'v', 'both'}


def test_a_packed_sample_tells_the_model_where_it_is_from(tmp_path):
    write_potsdam(tmp_path, ['2_10'])
    tiles = ISPRSPotsdamDataset(
        ['2_10'], data_root=str(tmp_path), pipeline=pipeline_of('test_pipeline').transforms
    )
    packed = pseudo_collate([tiles[WindowIndex(0, 3, 5, 16, 24)]])
    assert packed['inputs'][0].shape == (4, 16, 24)
    meta = packed['data_samples'][0].metainfo
    assert meta['window'] == (3, 5, 16, 24) and meta['ori_shape'] == (16, 24)
    assert meta['img_path'].endswith('RGB.tif')


def test_a_pipeline_of_flipped_views_flips_the_image_and_keeps_the_labels(tmp_path):
    write_potsdam(tmp_path, ['2_10'])
    tiles = ISPRSPotsdamDataset(['2_10'], data_root=str(tmp_path), test_mode=True)
    load, annotate, pack = pipeline_of('test_pipeline').transforms
    flips = [
        TRANSFORMS.build(dict(type='RandomFlip', prob=prob, direction=direction))
        for prob, direction in ((0.0, 'horizontal'), (1.0, 'horizontal'), (1.0, 'vertical'))
    ]
    views = TRANSFORMS.build(dict(type='TestTimeAug', transforms=[flips, [annotate], [pack]]))
    augmented = views(load(tiles.get_data_info(0)))
    plain, horizontal, vertical = augmented['inputs']
    assert plain.equal(horizontal.flip(2)) and plain.equal(vertical.flip(1))
    directions = [sample.flip_direction for sample in augmented['data_samples']]
    assert directions == [None, 'horizontal', 'vertical']
    for sample in augmented['data_samples']:
        np.testing.assert_array_equal(sample.gt_sem_seg.data[0], random_tile((37, 53))[2])
