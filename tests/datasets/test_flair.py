import re
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmseg.registry import DATASETS
from scenes.paths import ROOT
from scenes.rasters import write_raster
from scenes.toy import train_toy

from mobanet_mmseg.datasets.flair import FLAIRDataset

LOAD = [{'type': 'LoadMultimodalRaster'}, {'type': 'LoadRasterAnnotations'}]
SHAPE = (48, 64)
CONFIG = ROOT / 'configs' / 'mobanet' / 'flair_dinov2_b.py'


def write_patch(root, domain, zone, number, layout='challenge', mask=None):
    """Write a patch of five bands and its mask as one of the downloads names them."""
    rng = np.random.default_rng(int(number))
    pixels = rng.integers(0, 256, (*SHAPE, 5), dtype=np.uint8)
    mask = rng.integers(1, 20, SHAPE, dtype=np.uint8) if mask is None else mask
    folders = {
        # one zip of images and one of masks, with the same folders in both
        'challenge': (f'flair_aerial_train/{domain}/{zone}/img', f'flair_labels_train/{domain}'),
        'datapaper': (f'{domain}/{zone}/img', domain),
        'by domain': (f'{domain}/aerial/{zone}', f'{domain}/labels'),  # one zip a domain
    }
    images, masks = folders[layout]
    masks = f'{masks}/{zone}' + ('' if layout == 'by domain' else '/msk')
    options = dict(crs='EPSG:2154', photometric='minisblack')
    write_raster(root / images / f'IMG_{number}.tif', pixels, **options)
    write_raster(root / masks / f'MSK_{number}.tif', mask, crs='EPSG:2154')
    return pixels, mask


def ask(root, domains=('D041_2021',), **options):
    return FLAIRDataset(domains, data_root=str(root), pipeline=LOAD, **options)


@pytest.mark.parametrize('layout', ['challenge', 'datapaper', 'by domain'])
def test_a_patch_of_any_download_gives_its_colours_its_height_and_its_classes(tmp_path, layout):
    pixels, mask = write_patch(tmp_path, 'D041_2021', 'Z1_UU', '027013', layout)
    write_patch(tmp_path, 'D041_2021', 'Z9_FA', '027900', layout)
    patches = ask(tmp_path)
    assert len(patches) == 2
    info, sample = patches.get_data_info(0), patches[0]
    assert Path(info['img_path']).name == 'IMG_027013.tif' and info['aux_path'] == info['img_path']
    assert Path(info['seg_map_path']).name == 'MSK_027013.tif'
    np.testing.assert_array_equal(sample['img'][..., :3], pixels[..., :3])
    # 20 cm a step: 255 steps are 51 m
    np.testing.assert_allclose(sample['img'][..., 3] * 51, pixels[..., 4] * 0.2, atol=1e-4)
    expected = np.where(mask <= 12, mask - 1, 12)
    np.testing.assert_array_equal(sample['gt_seg_map'], expected)


def test_each_value_of_a_mask_is_the_class_that_ign_names(tmp_path):
    mask = np.zeros(SHAPE, np.uint8)
    mask[0, :20] = range(20)
    mask[0, 20] = 255
    write_patch(tmp_path, 'D041_2021', 'Z1_UU', '000001', mask=mask)
    found = ask(tmp_path)[0]['gt_seg_map'][0]
    assert found[0] == 255 and found[20] == 255  # named by no class
    names = [FLAIRDataset.METAINFO['classes'][index] for index in found[1:20]]
    assert names == [
        *('building', 'pervious_surface', 'impervious_surface', 'bare_soil', 'water'),
        *('coniferous', 'deciduous', 'brushwood', 'vineyard', 'herbaceous_vegetation'),
        *('agricultural_land', 'plowed_land'),
        *['other'] * 7,
    ]


def test_twelve_classes_leave_other_out(tmp_path):
    _, mask = write_patch(tmp_path, 'D041_2021', 'Z1_UU', '000001')
    patches = ask(tmp_path, metainfo=dict(classes=FLAIRDataset.METAINFO['classes'][:12]))
    assert len(patches.metainfo['palette']) == 12
    expected = np.where(mask <= 12, mask - 1, 255)
    np.testing.assert_array_equal(patches[0]['gt_seg_map'], expected)


def test_infrared_is_an_optical_or_an_auxiliary_band_where_it_is_asked_for(tmp_path):
    pixels, _ = write_patch(tmp_path, 'D041_2021', 'Z1_UU', '000001')
    sample = ask(tmp_path, img_bands=(4, 1, 2))[0]
    np.testing.assert_array_equal(sample['img'][..., :3], pixels[..., [3, 0, 1]])
    sample = ask(tmp_path, aux_bands=(4, 5))[0]
    np.testing.assert_allclose(sample['img'][..., 3:] * 255, pixels[..., 3:], atol=1e-3)
    sample = ask(tmp_path, img_bands=(4, 1, 2), aux_bands=())[0]
    np.testing.assert_array_equal(sample['img'], pixels[..., [3, 0, 1]])


def test_the_split_is_by_domain_and_no_domain_is_in_two():
    splits = FLAIRDataset.SPLITS
    assert {name: len(set(domains)) for name, domains in splits.items()} == {
        'train': 32,
        'val': 8,
        'test': 10,
    }
    assert len(set().union(*splits.values())) == 50  # spatio-temporal domains, says the datapaper
    names = [name for domains in splits.values() for name in domains]
    assert all(re.fullmatch(r'D\d{3}_20(18|19|20|21)', name) for name in names)


def test_the_split_is_that_of_igns_own_lists():
    # csv_full of https://github.com/IGNF/FLAIR-1: flair-1-paths-val.csv, flair-1-paths-test.csv
    assert set(FLAIRDataset.SPLITS['val']) == {
        *('D004_2021', 'D014_2020', 'D029_2021', 'D031_2019', 'D058_2020', 'D066_2021'),
        *('D067_2021', 'D070_2020'),
    }
    assert set(FLAIRDataset.SPLITS['test']) == {
        *('D012_2019', 'D022_2021', 'D026_2020', 'D064_2021', 'D068_2021', 'D071_2020'),
        *('D075_2021', 'D076_2019', 'D083_2020', 'D085_2019'),
    }
    assert 'D077_2021' in FLAIRDataset.SPLITS['train']


def test_a_split_takes_the_patches_of_its_domains_alone(tmp_path):
    for split, domains in FLAIRDataset.SPLITS.items():
        for index, domain in enumerate(domains):
            number = f'{["train", "val", "test"].index(split)}{index:05}'
            write_patch(tmp_path, domain, 'Z1_UU', number)
    found = {split: ask(tmp_path, split) for split in FLAIRDataset.SPLITS}
    assert {split: len(patches) for split, patches in found.items()} == {
        'train': 32,
        'val': 8,
        'test': 10,
    }
    first = found['val'].get_data_info(0)['img_path']
    assert 'D004_2021' in first and first.endswith('IMG_100000.tif')


def test_what_is_missing_or_twice_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'The folder .*nowhere does not exist: unpack'):
        ask(tmp_path / 'nowhere')
    write_patch(tmp_path, 'D041_2021', 'Z1_UU', '000001')
    sentence = r'^31 of 32 domains have no IMG_\*.tif under .*: D006_2020, .*, \.\.\.; unpack each'
    with pytest.raises(FileNotFoundError, match=sentence):
        ask(tmp_path, 'train')
    mask = next(tmp_path.rglob('MSK_000001.tif'))
    mask.rename(mask.with_name('MSK_000002.tif'))
    with pytest.raises(FileNotFoundError, match=r'^1 of 1 patches .* no MSK_.*IMG_000001.tif; unp'):
        ask(tmp_path)
    assert len(ask(tmp_path, labels=False, test_mode=True)) == 1
    mask.with_name('MSK_000002.tif').rename(mask)
    write_patch(tmp_path / 'again', 'D041_2021', 'Z1_UU', '000001')
    with pytest.raises(ValueError, match=r'000001.tif is there a second time as .*: keep one'):
        ask(tmp_path)


def test_a_mask_of_another_size_or_an_image_without_height_is_refused(tmp_path):
    write_patch(tmp_path, 'D041_2021', 'Z1_UU', '000001', mask=np.ones((48, 60), np.uint8))
    with pytest.raises(ValueError, match=r'MSK_000001.tif has 48 x 60 pixels and .* 48 x 64; they'):
        ask(tmp_path)
    write_patch(tmp_path, 'D041_2021', 'Z1_UU', '000001')
    image = next(tmp_path.rglob('IMG_000001.tif'))
    write_raster(image, np.zeros((*SHAPE, 4), np.uint8), crs='EPSG:2154')
    with pytest.raises(ValueError, match=r'has 4 band\(s\), but \(5,\) are asked for'):
        ask(tmp_path)


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"got domains='D041_2021': give one of \['train', 'val'"):
        FLAIRDataset('D041_2021', lazy_init=True)
    with pytest.raises(ValueError, match=r'domains names .* more than once'):
        FLAIRDataset(['D041_2021', 'D041_2021'], lazy_init=True)
    with pytest.raises(ValueError, match=r"got \['ann_file', 'label_values'\], but finds the"):
        FLAIRDataset(ann_file='a', label_values=(1,), lazy_init=True)


def test_the_config_trains_validates_and_tests_on_the_layout(tmp_path):
    domains = {'train': 'D041_2021', 'val': 'D004_2021', 'test': 'D012_2019'}
    config = Config.fromfile(CONFIG)
    for number, (split, domain) in enumerate(domains.items()):
        root = tmp_path / ('flair#1-test' if split == 'test' else 'train-val')
        write_patch(root, domain, 'Z1_UU', f'00000{number}')
        dataset = config[f'{split}_dataloader'].dataset
        assert dataset.domains == split
        assert dataset.data_root == f'data/flair/{root.name}'
        dataset.update(data_root=str(root), domains=[domain])
    config.train_dataloader.sampler.window_size = (28, 42)
    runner = train_toy(config, tmp_path / 'work')
    assert runner.iter == 2
    assert 0 <= runner.message_hub.get_scalar('test/mIoU').current() <= 100
    assert DATASETS.get('FLAIRDataset') is FLAIRDataset
