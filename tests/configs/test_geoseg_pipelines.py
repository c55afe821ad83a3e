"""The crops of GeoSeg's recipe: scaled, of more than one class, turned by quarters."""

import numpy as np
import pytest
from mmcv.transforms import Compose
from mmengine.config import Config
from mmseg.registry import TRANSFORMS
from scenes.paths import ROOT

DATASETS = ROOT / 'configs' / '_base_' / 'datasets'
CROPS = dict(vaihingen=512, potsdam=768)


def sample(label):
    """A window of four channels, the last of which is its label."""
    img = np.repeat(label[..., None], 4, axis=-1).astype(np.float32)
    return dict(
        img=img,
        img_shape=label.shape,
        ori_shape=label.shape,
        gt_seg_map=label,
        seg_fields=['gt_seg_map'],
        img_path='a.tif',
        seg_map_path='b.tif',
    )


@pytest.mark.parametrize('name', CROPS)
def test_crops_have_one_size_and_their_labels_go_along(name):
    config = Config.fromfile(DATASETS / f'isprs_{name}_geoseg.py')
    assert config.crop_size == (CROPS[name], CROPS[name])
    assert config.train_dataloader.dataset.pipeline == config.train_pipeline
    assert config.test_dataloader.dataset.pipeline == config.test_pipeline  # whole tiles
    label = np.kron(np.random.default_rng(1).integers(0, 6, (8, 8)), np.ones((128, 128), int))
    crops = Compose(config.train_pipeline[2:])
    for seed in range(4):
        np.random.seed(seed)
        packed = crops(sample(label.astype(np.uint8)))
        given = packed['data_samples'].gt_sem_seg.data[0]
        assert packed['inputs'].shape == (4, *config.crop_size)
        assert (packed['inputs'][3].round() == given).float().mean() > 0.97  # but for the borders


def test_a_crop_of_one_class_is_drawn_again():
    config = Config.fromfile(DATASETS / 'isprs_vaihingen_geoseg.py')
    label = np.zeros((1024, 1024), np.uint8)
    label[:, 700:] = 1
    crop = TRANSFORMS.build(config.train_pipeline[3])
    shares = []
    for seed in range(20):
        np.random.seed(seed)
        shares.append(crop(sample(label))['gt_seg_map'].mean())
    assert all(0.25 < share < 0.75 for share in shares)


@pytest.mark.parametrize('number', [0, 1, 2])
def test_a_turn_by_quarters_is_exact(number):
    config = Config.fromfile(DATASETS / 'isprs_vaihingen_geoseg.py')
    turn = Compose(config.turns[number])
    label = np.random.default_rng(2).integers(0, 6, (512, 512)).astype(np.uint8)
    turned = turn(sample(label))
    expected = np.rot90(label, -(number + 1))  # clockwise
    np.testing.assert_array_equal(turned['gt_seg_map'], expected)
    np.testing.assert_allclose(turned['img'][..., 3], expected, atol=1e-6)
