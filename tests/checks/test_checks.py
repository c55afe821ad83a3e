import json
import runpy
import shutil
import sys

import cv2
import numpy as np
import pytest
from scenes.checked_tiles import SHAPE, tile_pixels, tiles_config, write_tile
from scenes.paths import ROOT
from scenes.rasters import PALETTE as ISPRS_PALETTE
from scenes.rasters import write_raster

from mobanet_mmseg.checks import scan as tile_scan
from mobanet_mmseg.checks.checks import check_config
from mobanet_mmseg.rasters import percentiles

OPTICAL, HEIGHTS, LABELS = tile_pixels(seed=0)


@pytest.fixture
def data(tmp_path):
    for seed, stem in enumerate('abc'):
        write_tile(tmp_path, stem, seed)
    return tmp_path


def said(data, split='all', **settings):
    """(level, split, text) of each finding."""
    checks = check_config(tiles_config(data, **settings), split)
    return [(finding.level, finding.split, finding.text) for finding in checks.findings]


def the_only(findings):
    assert len(findings) == 1, findings
    return findings[0]


def run_tool(data, monkeypatch, *options, **settings):
    """Run the command; gives its exit code."""
    config = tiles_config(data, **settings)
    (data / 'config.py').write_text(config.pretty_text)
    monkeypatch.setattr(sys, 'argv', ['check_data.py', str(data / 'config.py'), *options])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / 'tools/misc/check_data.py'), run_name='__main__')
    return ended.value.code


def test_good_data_have_no_findings_and_exit_code_0(data, monkeypatch, capsys):
    assert said(data, train='ac') == []
    assert run_tool(data, monkeypatch, train='ac') == 0
    printed = capsys.readouterr().out
    assert '3 tiles measured: 0 findings will hurt, 0 to look at.' in printed
    assert 'val, test' in printed and '96 x 128' in printed and 'house' in printed


def test_numbers_are_those_counted_by_hand(data, monkeypatch):
    monkeypatch.setattr(tile_scan, 'CHUNK_PIXELS', 128 * 7)  # strips of 7 rows
    monkeypatch.setattr(percentiles, 'CHUNK_BYTES', 128 * 4 * 5)
    optical, heights, labels = tile_pixels(seed=0)
    heights[:, :16] = -9999  # an eighth
    labels[:24] = 255  # a quarter
    labels[24, :64] = 7  # half a row of 96
    write_raster(data / 'dsm/a.tif', heights, nodata=-9999)
    write_raster(data / 'labels/a.tif', labels)
    report = check_config(tiles_config(data), 'train').tiles[0].report
    valid = heights[:, 16:]
    assert report.aux.nodata == 1 / 8 and report.optical.nodata == 0
    assert report.ignored == 1 / 4 and report.unknown == 1 / 192
    assert report.counts == tuple((labels == index).sum() for index in range(3))
    np.testing.assert_allclose(report.mean, optical.mean(axis=(0, 1)))
    np.testing.assert_allclose(report.std, optical.std(axis=(0, 1)))
    low, p1, *_, p99, high = report.percentiles[0]
    assert (low, high) == (valid.min(), valid.max()) and report.outside == 0
    assert p99 == np.percentile(valid, 99, method='inverted_cdf')
    assert report.filled[0] == pytest.approx((p99 - p1) / (high - low))


@pytest.mark.parametrize('side', [7, 96])
def test_a_reduced_tile_shows_the_whole_tile(data, monkeypatch, side):
    monkeypatch.setattr(tile_scan, 'OVERVIEW', side)
    layers = []
    check_config(tiles_config(data), 'train', lambda _, found: layers.append(found))
    factor = -(-128 // side)
    shape = (96 // factor, 128 // factor)
    rgb, aux, truth = layers[0].values()
    assert rgb.shape == (*shape, 3) and aux.shape == (*shape, 1) and truth.shape == shape
    block = OPTICAL[:factor, factor : 2 * factor].mean(axis=(0, 1))
    np.testing.assert_allclose(rgb[0, 1], block, rtol=1e-5)
    assert truth[1, 2] == LABELS[factor + factor // 2, 2 * factor + factor // 2]


def test_an_outlier_of_a_million_metres_hurts_and_clipping_cures_it(data):
    heights = HEIGHTS.copy()
    heights[50, 60] = 1e6
    write_raster(data / 'dsm/a.tif', heights)
    level, split, text = the_only(said(data))
    assert (level, split) == ('hurts', 'train')
    assert 'they take 0.00% of 0..1' in text and "('percentile', 1, 99)" in text
    assert said(data, aux_range=('percentile', 1, 99)) == []


@pytest.mark.parametrize('aux_range', ['tile', ('percentile', 1, 99)])
def test_nodata_that_the_file_does_not_declare_hurts_even_with_clipping(data, aux_range):
    heights = HEIGHTS.copy()
    heights[:2] = -9999  # 2.1 %
    write_raster(data / 'dsm/a.tif', heights.astype(np.float64))
    texts = [text for level, _, text in said(data, aux_range=aux_range) if level == 'hurts']
    assert 'gdal_edit.py -a_nodata' in the_only(texts)


@pytest.mark.parametrize(('shift', 'level'), [((3, -2), 'hurts'), ((0, 2), 'look at it')])
def test_a_shifted_height_model_is_found(data, shift, level):
    write_raster(data / 'dsm/a.tif', np.roll(HEIGHTS, shift, (0, 1)))
    found = the_only(said(data))
    assert found[0] == level
    assert f'seems shifted by ({shift[0]:+d}, {shift[1]:+d}) pixels (down, right)' in found[2]


@pytest.mark.parametrize('folder', ['labels', 'dsm'])
def test_a_mirrored_raster_is_found(data, folder):
    pixels = {'labels': LABELS, 'dsm': HEIGHTS}[folder][:, ::-1]
    write_raster(data / folder / 'a.tif', pixels)
    level, _, text = the_only(said(data))
    name = {'labels': 'label', 'dsm': 'auxiliary'}[folder]
    assert level == 'hurts'
    assert f'the {name} raster fits the optical one better mirrored left-right' in text


def test_a_transposed_label_of_a_square_tile_is_found(data):
    write_tile(data, 'a', 0, (110, 110))
    write_raster(data / 'labels/a.tif', tile_pixels((110, 110))[2].T)
    assert 'better transposed' in the_only(said(data))[2]


@pytest.mark.parametrize(('share', 'level'), [(0.25, 'look at it'), (0.75, 'hurts')])
@pytest.mark.parametrize('folder', ['rgb', 'dsm'])
def test_gaps_are_found(data, folder, share, level):
    pixels = {'rgb': OPTICAL, 'dsm': HEIGHTS}[folder].copy()
    pixels[: int(96 * share)] = 0
    write_raster(data / folder / 'a.tif', pixels, nodata=0)
    found = [text for found, _, text in said(data) if found == level and 'no data' in text]
    assert f'{share:.1%} of the' in the_only(found)


def test_values_outside_of_a_fixed_range_are_found(data):
    found = said(data, aux_range=(0, 32))
    assert len(found) == 2
    assert all('lie outside of aux_range=(0, 32)' in text for *_, text in found)
    assert {level for level, *_ in said(data, aux_range=(0, 28))} == {'hurts'}
    found = said(data, aux_range=(0, 5000))
    assert {level for level, *_ in found} == {'look at it'} and len(found) == 2
    assert all('choose an aux_range closer' in text for *_, text in found)


def test_an_image_in_another_unit_is_found(data):
    write_raster(data / 'rgb/a.tif', OPTICAL.astype(np.uint16) * 40)
    assert all('channel' in text and '(uint16) has mean' in text for *_, text in said(data))
    write_raster(data / 'rgb/a.tif', (OPTICAL / 255).astype(np.float32))
    assert all('(float32) is nearly constant' in text for *_, text in said(data))


def test_a_copied_band_instead_of_heights_is_found(data):
    write_raster(data / 'dsm/a.tif', OPTICAL[..., 0])
    assert 'is a copy of an optical channel' in the_only(said(data))[2]


@pytest.mark.parametrize(('rows', 'level'), [(1, 'hurts'), (0, 'look at it')])
def test_pixels_of_no_class_are_found(data, rows, level):
    labels = LABELS.copy()
    labels[40 : 40 + rows] = 9
    labels[10, 10] = 9
    write_raster(data / 'labels/a.tif', labels)
    found = the_only(said(data))
    assert found[0] == level and 'a value that belongs to no class' in found[2]


def test_off_palette_colours_are_found(data):
    write_raster(data / 'labels/a.tif', ISPRS_PALETTE[LABELS])
    found = said(data)
    assert any('have a colour that belongs to no class' in text for *_, text in found)
    assert any('no pixel of its tiles is ground, house, tree' in text for *_, text in found)


@pytest.mark.parametrize(('split', 'level'), [('a', 'hurts'), ('b', 'look at it')])
def test_a_class_that_never_occurs_is_found(data, split, level):
    labels = tile_pixels(seed='ab'.index(split))[2]
    write_raster(data / f'labels/{split}.tif', np.where(labels == 1, 255, labels))
    assert the_only(said(data))[0] == level
    assert 'no pixel of its tiles is house' in said(data)[0][2]


def test_a_crs_on_one_side_only_is_to_be_looked_at(data):
    write_raster(data / 'dsm/a.tif', HEIGHTS, crs=None)
    level, _, text = the_only(said(data))
    assert level == 'look at it' and 'has EPSG:32633, the auxiliary raster no CRS' in text


def test_a_tile_smaller_than_the_window_is_found(data):
    write_tile(data, 'a', 4, (36, 128))
    assert 'fewer than the window of 40 x 48' in the_only(said(data))[2]


def test_the_same_file_and_the_same_pixels_in_train_and_test_are_found(data):
    assert 'it is in val, test, too' in the_only(said(data, train='ab'))[2]
    for folder in ('rgb', 'dsm', 'labels'):
        shutil.copy(data / folder / 'b.tif', data / folder / 'd.tif')
    write_raster(data / 'rgb/d.tif', tile_pixels(seed=1)[0], compress='deflate')  # other bytes
    level, split, text = the_only(said(data, train='ad'))
    assert (level, split) == ('hurts', 'train')
    assert 'b.tif, which has the same pixels, is in val, test, too' in text
    level, _, text = the_only(said(data, train='ac', test='bd'))
    assert level == 'look at it' and 'it counts twice' in text


def test_the_same_unreadable_file_in_both_splits_is_found(data):
    (data / 'rgb/b.tif').write_bytes(b'')
    assert any('it is in val, test, too' in text for *_, text in said(data, train='ab'))


def test_each_bad_tile_is_named_and_the_others_are_measured(data, monkeypatch, capsys):
    (data / 'rgb/a.tif').write_bytes(b'')
    (data / 'dsm/b.tif').unlink()
    assert run_tool(data, monkeypatch, train='ac') == 1
    printed = capsys.readouterr().out
    assert 'rgb/a.tif is empty (0 bytes)' in printed and 'dsm/b.tif does not exist' in printed
    assert '1 tiles measured: 2 findings will hurt' in printed


def test_one_split_is_checked_alone(data):
    (data / 'rgb/a.tif').write_bytes(b'')
    assert said(data, split='test') == []
    assert the_only(said(data, split='train'))[1] == 'train'


def test_an_empty_split_is_found(data):
    assert 'its split is empty' in the_only(said(data, train=''))[2]


def test_datasets_are_found_through_wrappers(data):
    config = tiles_config(data)
    part = config.train_dataloader.dataset
    concat = {'type': 'ConcatDataset', 'datasets': [part]}
    config.train_dataloader.dataset = {'type': 'RepeatDataset', 'times': 2, 'dataset': concat}
    assert len(check_config(config).tiles) == 2


def test_json_and_pictures_hold_what_was_measured(data, monkeypatch):
    pictures, numbers = data / 'pictures', data / 'out/numbers.json'
    options = ('--pictures', str(pictures), '--json', str(numbers), '--split', 'train')
    write_raster(data / 'dsm/a.tif', np.where(HEIGHTS > 39.5, np.nan, HEIGHTS))
    code = run_tool(data, monkeypatch, *options, train='ac')
    content = json.loads(numbers.read_text())
    assert code == any(finding['level'] == 'hurts' for finding in content['findings'])
    assert [tile['optical']['height'] for tile in content['tiles']] == [96, 96]
    assert content['tiles'][0]['shift'].keys() == {'row', 'col', 'fit'}
    assert sorted(path.name for path in (pictures / 'train').iterdir()) == ['a.png', 'c.png']
    assert min(cv2.imread(str(pictures / 'train/a.png')).shape[:2]) > SHAPE[0]


def test_a_config_without_such_data_is_refused_with_one_sentence(data, monkeypatch):
    code = run_tool(data, monkeypatch, data_root=str(data / 'elsewhere'))
    assert code.startswith('error: The split file') and 'Traceback' not in code
    config = tiles_config(data)
    config.pop('train_dataloader')
    with pytest.raises(ValueError, match='has no train_dataloader to check'):
        check_config(config, 'train')
