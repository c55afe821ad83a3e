import shutil
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import rasterio
import rasterio.shutil
import torch
from mmengine.structures import PixelData
from mmseg.registry import HOOKS
from mmseg.structures import SegDataSample
from scenes.prediction import ROTATED, UTM
from scenes.rasters import read_raster, write_raster
from torch import nn
from torch.utils.data import ConcatDataset

from mobanet_mmseg.engine import prediction_hooks
from mobanet_mmseg.models.data_preprocessor import MultimodalDataPreProcessor

META = {'classes': ('road', 'house'), 'palette': [[255, 255, 255], [0, 0, 255]]}


class Visualizer:
    """Keeps what MMEngine's visualizer would hand to its backends."""

    def __init__(self):
        self.dataset_meta = META
        self.images = {}

    def add_image(self, name, image, step):
        self.images[name, step] = image


@pytest.fixture
def runner():
    return SimpleNamespace(visualizer=Visualizer(), iter=7, model=nn.Module())


@pytest.fixture
def raster(tmp_path):
    pixels = np.full((37, 53, 3), 90, np.uint8)
    return write_raster(tmp_path / 'tile_1.tif', pixels, crs=UTM, transform=ROTATED)


def sample(path, labels, truth=None, **metainfo):
    metas = {'img_path': str(path), 'ori_shape': labels.shape, **metainfo}
    one = SegDataSample(metainfo=metas, pred_sem_seg=PixelData(data=labels[None]))
    if truth is not None:
        one.gt_sem_seg = PixelData(data=truth[None])
    return one


def batch_of(*images, flip=False):
    samples = [SegDataSample(metainfo={'flip': flip}) for _ in images]
    return {'inputs': list(images), 'data_samples': samples}


def test_tile_is_saved_with_the_georeference_of_its_image(tmp_path, runner, raster):
    labels = torch.randint(0, 2, (37, 53))
    hook = HOOKS.build({'type': 'SavePredictionHook', 'out_dir': str(tmp_path / 'out')})
    hook.after_test_iter(runner, 0, None, [sample(raster, labels)])
    with rasterio.open(tmp_path / 'out' / 'tile_1.tif') as written:
        assert np.array_equal(written.read(1), labels.numpy())
        assert (written.crs, written.transform) == (UTM, ROTATED)
        assert written.colormap(1)[1] == (0, 0, 255, 255)


def test_window_is_saved_at_its_own_place(tmp_path, runner, raster):
    labels = torch.ones(11, 13, dtype=torch.int64)
    hook = HOOKS.build({'type': 'SavePredictionHook', 'out_dir': str(tmp_path / 'out')})
    hook.after_test_iter(runner, 0, None, [sample(raster, labels, window=(20, 30, 11, 13))])
    with rasterio.open(tmp_path / 'out' / 'tile_1_20_30.tif') as written:
        assert written.shape == (11, 13)
        # column 30, row 20 of the rotated raster
        corner = (368000 + 0.04 * 30 + 0.03 * 20, 5808000 + 0.03 * 30 - 0.04 * 20)
        assert (written.transform.c, written.transform.f) == pytest.approx(corner, abs=1e-6)


def test_prediction_off_the_grid_of_its_image_is_refused(tmp_path, runner, raster):
    hook = HOOKS.build({'type': 'SavePredictionHook', 'out_dir': str(tmp_path / 'out')})
    with pytest.raises(ValueError, match=r'is \(11, 13\) pixels, but \(37, 53\) were read'):
        hook.after_test_iter(runner, 0, None, [sample(raster, torch.ones(11, 13))])


def test_images_of_one_name_get_maps_and_pictures_of_their_own(tmp_path, runner, raster):
    other = tmp_path / 'other' / raster.name
    other.parent.mkdir()
    other.write_bytes(raster.read_bytes())
    both = ConcatDataset([Tiles(str(raster)), Tiles(str(other))])
    both.get_data_info = lambda index: both.datasets[index].tile
    runner.test_dataloader = SimpleNamespace(dataset=both)
    out = str(tmp_path / 'out')
    maps = HOOKS.build({'type': 'SavePredictionHook', 'out_dir': out})
    for hook in (maps, drawing_hook(out_dir=out), drawing_hook()):
        hook.before_test(runner)
        for path, value in ((other, 1), (raster, 0)):  # as another process may come first
            one = sample(path, torch.full((37, 53), value))
            hook.after_test_iter(runner, 0, batch_of(torch.rand(4, 37, 53)), [one])
    names = ['tile_1.png', 'tile_1.tif', 'tile_1_2.png', 'tile_1_2.tif']
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == names
    assert (read_raster(tmp_path / 'out/tile_1_2.tif') == 1).all()
    assert {name for name, _ in runner.visualizer.images} == {'tile_1', 'tile_1_2'}


def test_dataset_without_colours_is_refused(tmp_path, runner, raster):
    runner.visualizer.dataset_meta = {'classes': ('road', 'house')}
    hook = HOOKS.build({'type': 'SavePredictionHook', 'out_dir': str(tmp_path)})
    with pytest.raises(ValueError, match='no class names or no colours'):
        hook.after_test_iter(runner, 0, None, [sample(raster, torch.ones(37, 53))])


class Tiles:
    """A dataset of one tile."""

    def __init__(self, *paths):
        self.tile = dict(zip(('img_path', 'aux_path', 'seg_map_path'), paths, strict=False))

    def __len__(self):
        return 1

    def get_data_info(self, index):
        return self.tile


@pytest.mark.parametrize('which', [0, 1, 2])
def test_folder_of_the_rasters_that_are_read_is_refused(tmp_path, runner, raster, which):
    paths = [str(raster)] * 3
    paths[which] = str(tmp_path / 'here' / raster.name)
    (tmp_path / 'here').mkdir()
    shutil.copy(raster, paths[which])
    rasterio.shutil.copy(raster, tmp_path / 'tile.vrt', driver='VRT')
    hook = HOOKS.build({'type': 'SavePredictionHook', 'out_dir': str(tmp_path / 'here')})
    runner.test_dataloader = SimpleNamespace(dataset=Tiles(*paths))
    with pytest.raises(ValueError, match=r'here/tile_1\.tif would be written over'):
        hook.before_test(runner)
    hook.out_dir = tmp_path / 'elsewhere'
    hook.before_test(runner)
    hook.out_dir = tmp_path
    runner.test_dataloader.dataset = Tiles(str(tmp_path / 'tile.vrt'))
    with pytest.raises(ValueError, match=r'tile_1\.tif would be written over'):
        hook.before_test(runner)


def test_folder_of_pictures_that_are_read_is_refused(tmp_path, runner, raster):
    rasterio.shutil.copy(raster, tmp_path / 'tile.png', driver='PNG')
    runner.test_dataloader = SimpleNamespace(dataset=Tiles(str(tmp_path / 'tile.png')))
    runner.val_dataloader = runner.test_dataloader
    for split in ('val', 'test'):
        with pytest.raises(ValueError, match=r'tile\.png would be written over'):
            getattr(drawing_hook(out_dir=str(tmp_path)), f'before_{split}')(runner)
        getattr(drawing_hook(out_dir=str(tmp_path), draw=False), f'before_{split}')(runner)
        getattr(drawing_hook(), f'before_{split}')(runner)


def drawing_hook(**options):
    options = {'draw': True, **options}
    return HOOKS.build({'type': 'MultimodalVisualizationHook', **options})


def test_nothing_is_drawn_unless_asked_for(runner):
    hook = HOOKS.build({'type': 'MultimodalVisualizationHook'})
    image, labels = torch.rand(4, 37, 53), torch.ones(37, 53)
    hook.after_val_iter(runner, 0, batch_of(image), [sample('tile.tif', labels)])
    assert runner.visualizer.images == {}


def test_tile_is_drawn_from_the_batch_and_not_read_again(tmp_path, runner):
    image = torch.rand(4, 37, 53) * 255
    kept = image.clone()
    one = sample('nowhere/tile.tif', torch.ones(37, 53), truth=torch.zeros(37, 53))
    drawing_hook(out_dir=str(tmp_path)).after_test_iter(runner, 0, batch_of(image), [one])
    picture = cv2.imread(str(tmp_path / 'tile.png'))
    assert picture.shape[1] > 5 * 53  # five panels beside each other
    assert torch.equal(image, kept)
    assert runner.visualizer.images == {}


def test_without_a_folder_pictures_go_to_the_visualizer(runner):
    image = torch.rand(4, 37, 53)
    one = sample('tile.tif', torch.ones(37, 53))
    drawing_hook().after_val_iter(runner, 0, batch_of(image), [one])
    drawing_hook().after_test_iter(runner, 0, batch_of(image), [one])
    assert set(runner.visualizer.images) == {('val_tile', 7), ('tile', 7)}
    assert all(image.dtype == np.uint8 for image in runner.visualizer.images.values())


def test_with_a_folder_each_validation_keeps_its_pictures(tmp_path, runner):
    hook = drawing_hook(out_dir=str(tmp_path))
    for runner.iter in (7, 14):
        one = sample('tile.tif', torch.ones(37, 53))
        hook.after_val_iter(runner, 0, batch_of(torch.rand(4, 37, 53)), [one])
    assert {path.name for path in tmp_path.iterdir()} == {'val_7_tile.png', 'val_14_tile.png'}


def test_only_each_nth_batch_is_drawn(runner):
    hook = drawing_hook(interval=3)
    for index in range(7):
        one = sample(f'tile_{index}.tif', torch.ones(37, 53))
        hook.after_test_iter(runner, index, batch_of(torch.rand(4, 37, 53)), [one])
    assert {name for name, _ in runner.visualizer.images} == {'tile_2', 'tile_5'}


def test_with_augmentation_the_plain_image_is_drawn(tmp_path, runner, monkeypatch):
    flipped, plain, small = torch.zeros(4, 37, 53), torch.ones(4, 37, 53), torch.zeros(4, 18, 26)
    batches = [batch_of(flipped, flip=True), batch_of(small), batch_of(plain)]
    data = {key: [batch[key] for batch in batches] for key in ('inputs', 'data_samples')}
    hook = drawing_hook()
    ((image, _),) = prediction_hooks._pairs(data, [sample('tile.tif', torch.ones(37, 53))])
    assert image is plain
    data = {key: values[:2] for key, values in data.items()}
    with pytest.raises(ValueError, match='only flipped or resized'):
        hook.after_test_iter(runner, 0, data, [sample('tile.tif', torch.ones(37, 53))])


def test_the_auxiliary_image_is_drawn_as_its_dataset_says(tmp_path, runner):
    batch, labels = batch_of(torch.rand(4, 37, 53)), torch.ones(37, 53)
    for kind in ('height', 'sar', 'bands', None):
        runner.visualizer.dataset_meta = META if kind is None else {**META, 'aux_kind': kind}
        hook = drawing_hook(out_dir=str(tmp_path / str(kind)))
        hook.after_test_iter(runner, 0, batch, [sample('tile.tif', labels)])
    height, sar, bands, unknown = (
        (tmp_path / kind / 'tile.png').read_bytes() for kind in ('height', 'sar', 'bands', 'None')
    )
    assert unknown == height and len({height, sar, bands}) == 3


@pytest.fixture
def split(monkeypatch):
    """Channels of the layers that are drawn."""
    drawn = []

    def render(rgb, aux, aux_kind, **rest):
        drawn.append((rgb.shape[-1], aux.shape[-1]))
        return np.zeros((2, 3, 3), np.uint8)

    monkeypatch.setattr(prediction_hooks, 'render_panels', render)
    return drawn


def test_channels_are_split_as_the_data_preprocessor_says_wherever_it_lies(runner, split):
    settings = {'mean': [0.0] * 5, 'std': [1.0] * 5, 'modality_channels': (4, 1)}
    runner.model.wrapped = nn.Sequential(MultimodalDataPreProcessor(**settings))
    labels = torch.ones(37, 53)
    batch = batch_of(torch.rand(5, 37, 53))
    drawing_hook().after_test_iter(runner, 0, batch, [sample('tile.tif', labels)])
    drawing_hook(modality_channels=(3, 2)).after_test_iter(
        runner, 0, batch, [sample('tile.tif', labels)]
    )
    assert split == [(4, 1), (3, 2)]


@pytest.mark.parametrize('channels', [3, 4, 6])
def test_the_first_three_channels_of_a_stock_model_are_the_optical_image(runner, split, channels):
    batch = batch_of(torch.rand(channels, 37, 53))
    one = sample('tile.tif', torch.ones(37, 53), truth=torch.zeros(37, 53))
    drawing_hook().after_val_iter(runner, 0, batch, [one])
    assert split == [(3, channels - 3)]


def test_image_of_other_channels_is_refused(runner):
    hook = drawing_hook(modality_channels=(3, 1))
    batch, one = batch_of(torch.rand(5, 37, 53)), sample('tile.tif', torch.ones(37, 53))
    with pytest.raises(ValueError, match=r'5 channels where modality_channels=\(3, 1\)'):
        hook.after_test_iter(runner, 0, batch, [one])
