"""What is wrong with a tile, and the sentence that a user gets.

``refused``: the dataset does not load, so that nothing trains. ``hurts`` and ``look at it``: it
could be trained on, and check_data says so. Each also gets its sentence from check_data.
"""

import numpy as np
import pytest
import rasterio
from mmseg.registry import DATASETS
from rasterio.transform import from_origin
from scenes.checked_tiles import SHAPE, said, the_only, tile_pixels, tiles_config, write_tile
from scenes.rasters import write_raster

from mobanet_mmseg.checks.checks import check_config

RGB, DSM, LABELS = tile_pixels(seed=0)
HTML = b'<!DOCTYPE html>\n<html><body>404 Not Found</body></html>' * 9
REFUSED, HURTS, LOOK = 'refused', 'hurts', 'look at it'


def raw(folder, content):
    return lambda root: (root / folder / 'a.tif').write_bytes(content)


def cut(folder):
    def write(root):
        path = root / folder / 'a.tif'
        path.write_bytes(path.read_bytes()[:-500])

    return write


def pixels(folder, values, **profile):
    return lambda root: write_raster(root / folder / 'a.tif', values, **profile)


def both(*writes):
    return lambda root: [write(root) for write in writes]


def with_values(values, **changes):
    """A copy whose values of some rows are changed: rows_10_20=value."""
    values = values.copy()
    for rows, value in changes.items():
        first, last = map(int, rows.split('_')[1:])
        values[first:last] = value
    return values


def with_one(values, value):
    """A copy with one pixel of a value."""
    values = values.copy()
    values[40, 50] = value
    return values


def palette_png(folder):
    def write(root):
        layout = {'driver': 'PNG', 'height': 96, 'width': 128, 'count': 1, 'dtype': 'uint8'}
        with rasterio.open(root / folder / 'a.tif', 'w', **layout) as png:
            png.write(LABELS, 1)
            png.write_colormap(1, {0: (9, 9, 9), 1: (255, 0, 0), 2: (0, 255, 0)})

    return write


def folder_instead(folder):
    def write(root):
        (root / folder / 'a.tif').unlink()
        (root / folder / 'a.tif').mkdir()

    return write


def alpha(root):
    opaque = np.full((*SHAPE, 1), 255, np.uint8)
    write_raster(root / 'rgb/a.tif', np.concatenate([RGB, opaque], -1), alpha='yes')


def loop(root):
    (root / 'rgb/a.tif').unlink()
    (root / 'rgb/a.tif').symlink_to(root / 'rgb/a.tif')


NAN = np.full(SHAPE, np.nan, np.float32)
WIDE = np.concatenate([RGB, RGB], axis=1)
CASES = {
    'truncated image': (cut('rgb'), REFUSED, 'rgb/a.tif is truncated: it has'),
    'truncated heights': (cut('dsm'), REFUSED, 'dsm/a.tif is truncated: it has'),
    'truncated labels': (cut('labels'), REFUSED, 'labels/a.tif is truncated: it has'),
    'zero bytes': (raw('dsm', b''), REFUSED, 'dsm/a.tif is empty (0 bytes)'),
    'web page': (raw('rgb', HTML), REFUSED, 'rgb/a.tif is a web page where a raster is'),
    'text file': (raw('labels', b'a b c'), REFUSED, 'labels/a.tif cannot be read as a raster'),
    'folder': (folder_instead('rgb'), REFUSED, 'are missing|is a folder where a raster is'),
    'missing labels': (lambda r: (r / 'labels/a.tif').unlink(), REFUSED, 'labels/a.tif'),
    'link to itself': (loop, REFUSED, 'rgb/a.tif (a link that leads nowhere)'),
    'complex heights': (
        pixels('dsm', DSM.astype(np.complex64)), REFUSED, 'holds complex64 numbers where real'),
    'heights all nodata': (
        pixels('dsm', np.full(SHAPE, -9999, np.float32), nodata=-9999), REFUSED,
        'dsm/a.tif holds no valid value in band 1'),
    'heights all NaN': (pixels('dsm', NAN), REFUSED, 'dsm/a.tif holds no valid value in band 1'),
    'heights all infinite': (
        pixels('dsm', NAN + np.inf), REFUSED, 'dsm/a.tif holds no valid value in band 1'),
    'flat heights': (pixels('dsm', DSM * 0), REFUSED, 'dsm/a.tif is constant in band 1'),
    'heights with NaN': (
        pixels('dsm', with_values(DSM, rows_0_30=np.nan)), LOOK,
        '31.2% of the auxiliary raster hold no data'),
    'heights with inf': (
        pixels('dsm', with_values(DSM, rows_0_60=np.inf)), HURTS,
        '62.5% of the auxiliary raster hold no data'),
    'undeclared nodata': (
        pixels('dsm', with_values(DSM, rows_0_2=-9999)), HURTS, "which value means 'no data'"),
    'one spike': (
        pixels('dsm', with_one(DSM, 1e6)), HURTS, "aux_range=('percentile', 1, 99)"),
    'files swapped': (
        both(pixels('rgb', DSM), pixels('dsm', RGB)), REFUSED,
        'rgb/a.tif has 1 band(s), but (1, 2, 3) are asked for'),
    'image as heights': (
        pixels('dsm', RGB), HURTS, 'auxiliary raster is a copy of an optical channel'),
    'heights as labels': (
        pixels('labels', DSM), HURTS, 'have a value that belongs to no class'),
    'image as labels': (
        pixels('labels', RGB), HURTS, 'have a colour that belongs to no class'),
    'grey image': (
        pixels('rgb', RGB[..., 0]), REFUSED, 'rgb/a.tif has 1 band(s), but (1, 2, 3)'),
    'palette PNG as image': (
        palette_png('rgb'), REFUSED, 'rgb/a.tif has 1 band(s), but (1, 2, 3) are asked for'),
    'labels with alpha': (
        pixels('labels', np.zeros((*SHAPE, 4), np.uint8)), REFUSED,
        'labels/a.tif has 4 bands; a label raster has 1'),
    'colours of 16 bits': (
        pixels('labels', np.zeros((*SHAPE, 3), np.uint16)), HURTS, 'colours is uint16, and uint8'),
    '16-bit image': (
        pixels('rgb', RGB.astype(np.uint16) * 16), HURTS, '(uint16) has mean'),
    'image of 0..1': (
        pixels('rgb', (RGB / 255).astype(np.float32)), HURTS, '(float32) is nearly constant'),
    'blank image': (
        pixels('rgb', np.full((*SHAPE, 3), 255, np.uint8)), HURTS, 'as in a blank image'),
    'gaps in the image': (
        pixels('rgb', with_values(RGB | 1, rows_0_24=0), nodata=0), LOOK,
        '25.0% of the optical raster hold no data'),
    'image of nodata': (
        pixels('rgb', RGB * 0, nodata=0), HURTS, '100.0% of the optical raster hold no data'),
    'transposed tile': (
        pixels('dsm', DSM.T), REFUSED, 'dsm/a.tif has 128 x 96 pixels and'),
    'other size': (pixels('rgb', WIDE), REFUSED, 'dsm/a.tif has 96 x 128 pixels and'),
    'mirrored labels': (
        pixels('labels', LABELS[:, ::-1]), HURTS, 'fits the optical one better mirrored left-'),
    'mirrored heights': (
        pixels('dsm', DSM[:, ::-1]), HURTS, 'fits the optical one better mirrored left-right'),
    'turned heights': (
        pixels('dsm', DSM[::-1, ::-1]), HURTS, 'better turned by 180 degrees'),
    'shifted heights': (
        pixels('dsm', np.roll(DSM, (3, -2), (0, 1))), HURTS, 'seems shifted by (+3, -2) pixels'),
    'slightly shifted heights': (
        pixels('dsm', np.roll(DSM, (0, 2), (0, 1))), LOOK, 'shifted by (+0, +2) pixels (down,'),
    'shifted labels': (
        pixels('labels', np.roll(LABELS, (-4, 0), (0, 1))), HURTS,
        'the label raster seems shifted by (-4, +0) pixels'),
    'slightly shifted labels': (
        pixels('labels', np.roll(LABELS, (0, 2), (0, 1))), LOOK,
        'the label raster seems shifted by (+0, +2) pixels'),
    'one label of no class': (
        pixels('labels', with_one(LABELS, 9)), LOOK,
        'have a value that belongs to no class'),
    'labels beyond the classes': (
        pixels('labels', LABELS + 1), HURTS, 'have a value that belongs to no class'),
    'labels of 255 alone': (
        pixels('labels', np.full(SHAPE, 255, np.uint8)), HURTS, 'holds no pixel of any class'),
    'image without CRS': (
        pixels('rgb', RGB, crs=None), LOOK, 'has no CRS, the auxiliary raster EPSG:32633'),
    'heights without CRS': (
        pixels('dsm', DSM, crs=None), LOOK, 'has EPSG:32633, the auxiliary raster no CRS'),
    'another CRS': (
        pixels('dsm', DSM, crs='EPSG:25832'), REFUSED, 'dsm/a.tif is in EPSG:25832 and'),
    'another place': (
        pixels('dsm', DSM, transform=from_origin(366_001, 5_808_000, 0.05, 0.05)),
        REFUSED, 'dsm/a.tif lies 20 pixels beside'),
    'another resolution': (
        pixels('labels', LABELS, transform=from_origin(366_000, 5_808_000, 1, 1)),
        REFUSED, 'labels/a.tif lies'),
}  # fmt: skip


@pytest.mark.parametrize('name', CASES)
def test_a_bad_tile_gets_its_sentence(data, name):
    write, outcome, said = CASES[name]
    write(data)
    config = tiles_config(data)
    findings = check_config(config, 'train').findings
    if outcome == REFUSED:
        with pytest.raises((ValueError, OSError)) as error:
            DATASETS.build(config.train_dataloader.dataset)
        text = str(error.value)
        assert any(part in text for part in said.split('|')), text
        assert '\n' not in text and 'a.tif' in text
        assert [finding.level for finding in findings if 'a.tif' in finding.text][:1] == [HURTS]
    else:
        levels = {finding.level for finding in findings if said in finding.text}
        assert levels == {outcome}, findings


def test_an_alpha_band_is_left_out_and_found_if_it_is_read(data):
    alpha(data)
    assert check_config(tiles_config(data), 'train').findings == []
    config = tiles_config(data, img_bands=(1, 2, 4))
    assert 'channel 3 (uint8) is nearly constant' in check_config(config, 'train').findings[0].text


def test_labels_of_a_palette_png_are_its_indices(data):
    palette_png('labels')(data)
    checks = check_config(tiles_config(data), 'train')
    assert checks.tiles[0].report.counts == tuple((index == LABELS).sum() for index in range(3))
    assert not checks.hurt


def test_an_outlier_of_a_million_metres_hurts_and_clipping_cures_it(data):
    write_raster(data / 'dsm/a.tif', with_one(DSM, 1e6))
    level, split, text = the_only(said(data))
    assert (level, split) == ('hurts', 'train')
    assert 'they take 0.00% of 0..1' in text and "('percentile', 1, 99)" in text
    assert said(data, aux_range=('percentile', 1, 99)) == []


def test_nodata_that_the_file_does_not_declare_hurts_even_with_clipping(data):
    heights = with_values(DSM, rows_0_2=-9999)  # 2.1 %
    write_raster(data / 'dsm/a.tif', heights.astype(np.float64))
    texts = [
        text for level, _, text in said(data, aux_range=('percentile', 1, 99)) if level == 'hurts'
    ]
    assert 'gdal_edit.py -a_nodata' in the_only(texts)


def test_labels_that_are_drawn_one_pixel_off_are_right(data):
    write_raster(data / 'labels/a.tif', np.roll(LABELS, 1, 0))
    assert said(data, split='train') == []


GROUND = np.zeros(SHAPE, np.float32)
ROWS, COLS = np.indices(SHAPE)


def above_ground(*things):
    """Heights above flat ground of cones (row, col, radius, height) that lie on it."""
    cones = [
        height * (1 - np.hypot(ROWS - row, COLS - col) / radius)
        for row, col, radius, height in things
    ]
    return np.maximum.reduce([GROUND, *cones]).astype(np.float32)


HOUSE = np.where((ROWS > 40) & (ROWS < 60) & (COLS > 40) & (COLS < 60), 8, GROUND)  # flat: 0 or 8
NOISE = np.random.default_rng(0).normal(0, 0.05, SHAPE).astype(np.float32)
SPECKLE = np.random.default_rng(0).lognormal(-3, 3, SHAPE).astype(np.float32)
TAILS = {
    'few trees': (above_ground((30, 40, 6, 25), (70, 90, 5, 18), (60, 20, 3, 3)), []),
    'one tree': (above_ground((30, 40, 5, 30)), []),
    'a flat roof': (HOUSE, []),
    'a mask': (np.uint8(HOUSE == 0), []),
    'a tower above rough ground': (NOISE + 7 * HOUSE, ['look at it']),
    'amplitudes that no decibels are of': (SPECKLE, ['look at it']),
    'a hole of 0 in a surface': (np.where(HOUSE > 0, 0, DSM + 300), ['hurts']),
    'a hole of 0 in most of a surface': (np.where(ROWS < 60, np.float32(-9999), DSM), ['hurts']),
}


@pytest.mark.parametrize('name', TAILS)
def test_a_long_tail_is_no_outlier_and_a_gap_may_be_one(data, name):
    heights, levels = TAILS[name]
    write_raster(data / 'dsm/a.tif', heights)
    found = [level for level, _, text in said(data, split='train') if 'of auxiliary' in text]
    assert found == levels


def test_a_transposed_label_of_a_square_tile_is_found(data):
    write_tile(data, 'a', 0, (110, 110))
    write_raster(data / 'labels/a.tif', tile_pixels((110, 110))[2].T)
    assert 'better transposed' in the_only(said(data))[2]


def test_values_outside_of_a_fixed_range_are_found(data):
    found = said(data, aux_range=(0, 32))
    assert len(found) == 2
    assert all('lie outside of aux_range=(0, 32)' in text for *_, text in found)
    assert {level for level, *_ in said(data, aux_range=(0, 28))} == {'hurts'}
    found = said(data, aux_range=(0, 5000))
    assert {level for level, *_ in found} == {'look at it'} and len(found) == 2
    assert all('choose an aux_range closer' in text for *_, text in found)


def test_a_tile_smaller_than_the_window_is_found(data):
    write_tile(data, 'a', 4, (36, 128))
    assert 'fewer than the window of 40 x 48' in the_only(said(data))[2]
