import re
from functools import partial

import numpy as np
import pytest
from mmseg.registry import DATASETS
from rasterio.transform import from_origin
from scenes.rasters import PALETTE, random_tile, write_potsdam, write_raster

from mobanet_mmseg.datasets.isprs import ISPRSPotsdamDataset, ISPRSVaihingenDataset

LOAD = [{'type': 'LoadMultimodalRaster'}, {'type': 'LoadRasterAnnotations'}]
VAIHINGEN = 'ISPRS_semantic_labeling_Vaihingen'


def test_the_splits_are_the_benchmarks():
    potsdam, vaihingen = ISPRSPotsdamDataset, ISPRSVaihingenDataset
    assert (len(potsdam.TRAIN_TILES), len(potsdam.TEST_TILES)) == (24, 14)
    assert (len(vaihingen.TRAIN_TILES), len(vaihingen.TEST_TILES)) == (16, 17)
    for archive in (potsdam, vaihingen):
        assert not set(archive.TRAIN_TILES) & set(archive.TEST_TILES)
        assert archive.METAINFO['palette'] == PALETTE.tolist()


def test_a_tile_is_found_by_the_archives_names_with_zero_padded_heights(tmp_path):
    write_potsdam(tmp_path, ['2_10', '7_7'])
    tiles = DATASETS.build(
        {
            'type': 'ISPRSPotsdamDataset',
            'data_root': str(tmp_path),
            'tiles': ['7_7', '2_10'],
            'pipeline': LOAD,
        }
    )
    info = tiles.get_data_info(0)
    assert info['img_path'] == str(tmp_path / '2_Ortho_RGB/top_potsdam_7_7_RGB.tif')
    assert info['aux_path'] == str(tmp_path / '1_DSM/dsm_potsdam_07_07.tif')
    optical, heights, labels = random_tile((37, 53), seed=1)
    sample = tiles[0]
    np.testing.assert_array_equal(sample['img'][..., :3], optical)
    low, high = heights[:, :-1].min(), heights[:, :-1].max()
    np.testing.assert_allclose(
        sample['img'][:, :-1, 3], (heights[:, :-1] - low) / (high - low), atol=1e-6
    )
    np.testing.assert_array_equal(sample['img'][:, -1, 3], sample['img'][:, -2, 3])
    np.testing.assert_array_equal(sample['gt_seg_map'], labels)


@pytest.mark.parametrize(
    'folder',
    [
        '5_Labels_all_noBoundary',
        '5_Labels_for_participants_no_Boundary',
        '5_Labels_for_participants_no_Boundary/5_Labels_for_participants_no_Boundary',
    ],
)
def test_the_labels_of_older_and_nested_downloads_are_found(tmp_path, folder):
    write_potsdam(tmp_path, ['2_10'])
    (tmp_path / '5_Labels_all_noBoundary').rename(tmp_path / 'labels')
    (tmp_path / folder).parent.mkdir(exist_ok=True)
    (tmp_path / 'labels').rename(tmp_path / folder)
    info = ISPRSPotsdamDataset(['2_10'], data_root=str(tmp_path)).get_data_info(0)
    assert info['seg_map_path'] == str(tmp_path / folder / 'top_potsdam_2_10_label_noBoundary.tif')


@pytest.mark.parametrize('folder', ['5_Labels_all', '5_Labels_for_participants'])
def test_full_labels_infrared_and_normalised_heights_are_a_choice(tmp_path, folder):
    optical, _, labels = random_tile((37, 53))
    four = np.dstack([optical, optical[..., 0] // 2])
    write_raster(tmp_path / '4_Ortho_RGBIR/top_potsdam_3_13_RGBIR.tif', four)
    write_raster(tmp_path / folder / 'top_potsdam_3_13_label.tif', PALETTE[labels])
    name = '1_DSM_normalisation/dsm_potsdam_03_13_normalized_lastools.jpg'
    # as in the archive, this one lacks a column
    write_raster(tmp_path / name, optical[:, :-1, 0], driver='JPEG', interleave='band')
    tiles = ISPRSPotsdamDataset(
        ['3_13'], 'rgbir', 'ndsm', 'full', data_root=str(tmp_path), pipeline=LOAD
    )
    sample = tiles[0]
    assert sample['img'].shape == (37, 53, 5) and sample['img_bands'] == (1, 2, 3, 4)
    np.testing.assert_array_equal(sample['img'][..., :4], four)
    np.testing.assert_array_equal(sample['gt_seg_map'], labels)


@pytest.mark.parametrize(
    ('labels', 'folder', 'name'),
    [
        ('eroded', f'{VAIHINGEN}_ground_truth_eroded_COMPLETE', 'area1_noBoundary'),
        ('eroded', f'{VAIHINGEN}_ground_truth_eroded_for_participants', 'area1_noBoundary'),
        (
            'eroded',
            'ISPRS_semantic_labeing_Vaihingen_ground_truth_eroded_for_participants',
            'area1_noBoundary',
        ),
        ('full', f'{VAIHINGEN}_ground_truth_COMPLETE', 'area1'),
        ('full', 'gts_for_participants', 'area1'),
        ('full', f'{VAIHINGEN}/gts_for_participants', 'area1'),
    ],
)
@pytest.mark.parametrize('root', ['', f'{VAIHINGEN}/'])
def test_vaihingen_is_found_under_the_archives_names(tmp_path, labels, folder, name, root):
    optical, heights, classes = random_tile((29, 41))
    write_raster(tmp_path / f'{root}top/top_mosaic_09cm_area1.tif', optical)
    write_raster(tmp_path / f'{root}dsm/dsm_09cm_matching_area1.tif', heights)
    write_raster(tmp_path / f'{folder}/top_mosaic_09cm_{name}.tif', PALETTE[classes])
    tiles = ISPRSVaihingenDataset(['1'], labels=labels, data_root=str(tmp_path), pipeline=LOAD)
    np.testing.assert_array_equal(tiles[0]['gt_seg_map'], classes)
    np.testing.assert_array_equal(tiles[0]['img'][..., :3], optical)


def test_the_optical_image_alone_and_missing_heights_are_a_choice(tmp_path):
    write_potsdam(tmp_path, ['2_10', '2_11'])
    (tmp_path / '1_DSM/dsm_potsdam_02_11.tif').unlink()
    ask = partial(ISPRSPotsdamDataset, ['2_10', '2_11'], data_root=str(tmp_path), pipeline=LOAD)
    optical = random_tile((37, 53), seed=1)[0]
    np.testing.assert_array_equal(ask(height=None)[1]['img'], optical)
    both, without = ask(missing_aux='zeros')
    assert both['img'].shape == without['img'].shape == (37, 53, 4)
    np.testing.assert_array_equal(without['img'][..., :3], optical)
    assert both['img'][..., 3].any() and not without['img'][..., 3].any()


def test_what_is_missing_is_said_in_one_sentence_with_the_folders(tmp_path):
    write_potsdam(tmp_path, ['2_10', '2_11'])
    (tmp_path / '1_DSM/dsm_potsdam_02_11.tif').unlink()
    said = (
        f'2 of the 6 rasters of 2 tiles are missing under {tmp_path}: dsm_potsdam_02_11.tif, '
        'top_potsdam_2_11_label_noBoundary.tif (looked in 2_Ortho_RGB, 1_DSM, '
        '5_Labels_all_noBoundary, 5_Labels_for_participants_no_Boundary). Unpack the archive there'
    )
    (tmp_path / '5_Labels_all_noBoundary/top_potsdam_2_11_label_noBoundary.tif').unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(said)):
        ISPRSPotsdamDataset(['2_10', '2_11'], data_root=str(tmp_path))


def test_the_split_asks_for_all_its_tiles(tmp_path):
    write_potsdam(tmp_path, ['2_10'])
    with pytest.raises(FileNotFoundError, match='69 of the 72 rasters of 24 tiles are missing'):
        ISPRSPotsdamDataset('train', data_root=str(tmp_path))
    with pytest.raises(FileNotFoundError, match='42 of the 42 rasters of 14 tiles are missing'):
        ISPRSPotsdamDataset('test', data_root=str(tmp_path), test_mode=True)


def test_tiles_without_labels_can_be_predicted(tmp_path):
    write_potsdam(tmp_path, ['2_13'])
    tiles = ISPRSPotsdamDataset(
        ['2_13'], labels=None, data_root=str(tmp_path), test_mode=True, pipeline=LOAD
    )
    assert 'gt_seg_map' not in tiles[0]


@pytest.mark.parametrize(
    ('settings', 'said'),
    [
        ({'tiles': 'validation'}, r"tiles='validation': give one of \['train', 'test'\]"),
        ({'tiles': ['2_10', '9_9']}, r"the archive does not have: \['9_9'\]"),
        ({'tiles': ['2_10', '2_10']}, r"names \['2_10'\] more than once"),
        ({'optical': 'bgr'}, "optical='bgr': give one of"),
        ({'height': 'dem'}, "height='dem': give one of"),
        ({'labels': 'eroded3'}, "labels='eroded3': give one of"),
        ({'data_prefix': {}}, r"got \['data_prefix'\], but finds the files"),
    ],
)
def test_a_choice_that_is_not_there_is_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        ISPRSPotsdamDataset(**settings)


def test_vaihingen_has_neither_rgb_nor_normalised_heights():
    for choice in ({'optical': 'rgb'}, {'height': 'ndsm'}):
        with pytest.raises(ValueError, match='give one of'):
            ISPRSVaihingenDataset(**choice)


def test_fewer_classes_can_be_learned(tmp_path):
    write_potsdam(tmp_path, ['2_10'])
    tiles = ISPRSPotsdamDataset(
        ['2_10'],
        data_root=str(tmp_path),
        metainfo={'classes': ('car', 'building')},
        pipeline=LOAD,
    )
    labels = random_tile((37, 53))[2]
    expected = np.choose(labels, [255, 1, 255, 255, 0, 255])
    np.testing.assert_array_equal(tiles[0]['gt_seg_map'], expected)
    assert tiles.metainfo['palette'] == [[255, 255, 0], [0, 0, 255]]


def test_tiles_from_the_command_line_keep_their_names():
    from mmengine.config import DictAction

    tiles = DictAction._parse_iterable('[2_10,2_11]')
    assert tiles == [210, 211]  # what MMEngine makes of them
    dataset = ISPRSPotsdamDataset(tiles=tiles, data_root='.', lazy_init=True)
    assert dataset.tiles == ('2_10', '2_11')


def test_world_files_of_the_archive_are_not_relied_on(tmp_path):
    write_potsdam(tmp_path, ['2_10'])
    elsewhere = dict(transform=from_origin(400_000, 5_800_000, 0.05, 0.05))
    _, heights, _ = random_tile((37, 53))
    write_raster(tmp_path / '1_DSM/dsm_potsdam_02_10.tif', heights, **elsewhere)
    assert len(ISPRSPotsdamDataset(tiles=['2_10'], data_root=str(tmp_path))) == 1
    with pytest.raises(ValueError, match='pixels beside'):
        ISPRSPotsdamDataset(tiles=['2_10'], data_root=str(tmp_path), check_place=True)


@pytest.mark.parametrize(
    ('settings', 'said'),
    [
        ({'tiles': 'test'}, "split='paper': its 17 test tiles"),
        ({'tiles': 'train', 'split': 'ssrs'}, "split='ssrs': its 12 train tiles"),
        ({'tiles': ['30', '5', '21', '15']}, "split='ssrs': its 4 test tiles"),
        ({'tiles': ['5', '21'], 'split': 'ssrs'}, 'no published split, tiles: 2'),
    ],
)
def test_tables_are_told_the_split_that_the_tiles_are(settings, said):
    assert ISPRSVaihingenDataset(**settings, data_root='.', lazy_init=True).split_name == said


def test_a_split_that_is_not_published_is_refused():
    with pytest.raises(ValueError, match=r"split='val': give one of \['paper', 'ssrs'\]"):
        ISPRSPotsdamDataset(split='val')
