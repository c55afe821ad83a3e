import json
import multiprocessing
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from mmseg.registry import DATASETS, MODELS
from scenes.archives import (
    OFF_PALETTE,
    SHAPE,
    write_potsdam_folders,
    write_potsdam_zip,
    write_vaihingen_zips,
    zip_folder,
)
from scenes.commands import run_tool
from scenes.folders import content
from scenes.limits import no_root
from scenes.models import tiny_model
from scenes.paths import ROOT
from scenes.processes import in_child
from scenes.rasters import PALETTE, random_tile, read_raster, write_raster

from mobanet_mmseg.conversion.isprs import convert
from mobanet_mmseg.datasets.wrappers import WindowIndex
from mobanet_mmseg.rasters.geotiff import TILE
from mobanet_mmseg.rasters.windows import read_with_validity

LOAD = [{'type': 'LoadMultimodalRaster'}, {'type': 'LoadRasterAnnotations'}]


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp('potsdam')
    write_potsdam_folders(root)
    return root


@pytest.fixture(scope='module')
def archive(folders, tmp_path_factory):
    return write_potsdam_zip(folders, tmp_path_factory.mktemp('downloads') / 'Potsdam.zip')


@pytest.fixture(scope='module')
def converted(archive, tmp_path_factory):
    out = tmp_path_factory.mktemp('converted') / 'potsdam'
    return out, convert('potsdam', archive.parent, out)


def dataset(name: str, split: str, root: Path, **changes):
    """A split of a converted archive, as the config reads it."""
    config = Config.fromfile(ROOT / f'configs/_base_/datasets/isprs_{name}_converted.py')
    loader = config.train_dataloader if split == 'train' else config.test_dataloader
    return DATASETS.build({**loader.dataset, 'data_root': str(root), 'pipeline': LOAD, **changes})


def assert_same_windows(ours, theirs, seed=0):
    rng = np.random.default_rng(seed)
    assert len(ours) == len(theirs)
    for tile in range(len(ours)):
        for _ in range(20):
            h, w = rng.integers(1, SHAPE[0]), rng.integers(1, SHAPE[1])
            row, col = rng.integers(0, SHAPE[0] - h + 1), rng.integers(0, SHAPE[1] - w + 1)
            index = WindowIndex(tile, *map(int, (row, col, h, w)))
            np.testing.assert_array_equal(ours[index]['img'], theirs[index]['img'])
            np.testing.assert_array_equal(ours[index]['gt_seg_map'], theirs[index]['gt_seg_map'])


@pytest.mark.parametrize(('split', 'tiles'), [('train', ['2_10', '3_11']), ('test', ['2_13'])])
def test_converted_windows_are_the_archives_pixels(converted, folders, split, tiles):
    theirs = DATASETS.build(
        {
            'type': 'ISPRSPotsdamDataset',
            'data_root': str(folders),
            'tiles': tiles,
            'pipeline': LOAD,
        }
    )
    ours = dataset('potsdam', split, converted[0])
    assert ours.metainfo['classes'] == theirs.metainfo['classes']
    assert_same_windows(ours, theirs)


def test_report_counts_what_was_found_missing_patched_and_off_palette(converted):
    out, report = converted
    assert report.splits == {'train': ['2_10', '3_11'], 'test': ['2_13']}
    assert (out / 'train.txt').read_text() == '2_10\n3_11\n'
    assert (out / 'test.txt').read_text() == '2_13\n'
    assert report.dropped == {'a file is missing': 35}
    assert sum('dsm_potsdam_03_13.tif was not found' in line for line in report.warnings) == 1
    assert report.notes == [
        'padded or cropped to the optical raster: 3_11 (aux), 2_13 (aux)',
        f'pixels off-palette, which are no label: {OFF_PALETTE} in 2_13',
    ]
    labels = [random_tile(SHAPE, seed)[2] for seed in (0, 1)]
    counts = [np.bincount(pixels.ravel()) for pixels in labels]
    assert report.pixels['train'].tolist() == [*sum(counts), 0]
    assert report.pixels['test'][-1] == OFF_PALETTE + 9
    assert report.pixels['test'].sum() == SHAPE[0] * SHAPE[1]
    entry = json.loads((out / 'conversion.json').read_text())['tiles']['2_13']
    assert (entry['mended'], entry['off_palette'], entry['ignored']) == (['aux'], OFF_PALETTE, 9)


def test_rasters_are_tiled_compressed_and_keep_their_place(converted, folders):
    out = converted[0]
    with rasterio.open(next(folders.rglob('top_potsdam_3_11_RGB.tif'))) as raster:
        crs, transform = raster.crs, raster.transform
    for kind, dtype in (('img', 'uint8'), ('aux', 'float32'), ('label', 'uint8')):
        with rasterio.open(out / kind / '3_11.tif') as raster:
            assert (raster.crs, raster.transform) == (crs, transform)
            assert raster.shape == SHAPE and raster.dtypes[0] == dtype
            assert raster.block_shapes[0] == (TILE.block, TILE.block)
            assert raster.compression.value == 'ZSTD'
    with rasterio.open(out / 'label' / '3_11.tif') as raster:
        assert raster.nodata == 255 and raster.colormap(1)[1] == (0, 0, 255, 255)


def test_training_finds_the_statistics_and_computes_nothing(converted, monkeypatch):
    monkeypatch.setattr('mobanet_mmseg.rasters.ranges._known', {})
    monkeypatch.setattr('mobanet_mmseg.rasters.ranges._compute', lambda path: 1 / 0)
    low, high, _ = dataset('potsdam', 'train', converted[0]).get_data_info(0)['aux_range']
    heights = random_tile(SHAPE, seed=0)[1]
    assert (low[0], high[0]) == (heights.min(), heights.max())


def test_folders_give_the_same_rasters_as_zips(converted, folders, tmp_path):
    convert('potsdam', folders, tmp_path / 'out')
    ours = content(tmp_path / 'out')
    theirs = content(converted[0])
    assert ours.keys() == theirs.keys()
    assert all(ours[name] == theirs[name] for name in ours if name.endswith(('.tif', '.txt')))


def test_other_rasters_are_a_choice(archive, folders, tmp_path):
    report = convert('potsdam', archive, tmp_path, optical='rgbir', height='ndsm', labels='full')
    assert report.splits == {'train': ['2_10', '3_11'], 'test': ['2_13', '3_13']}
    theirs = DATASETS.build(
        {
            'type': 'ISPRSPotsdamDataset',
            'data_root': str(folders),
            'tiles': ['2_10', '3_11'],
            'optical': 'rgbir',
            'height': 'ndsm',
            'labels': 'full',
            'pipeline': LOAD,
        }
    )
    ours = dataset('potsdam', 'train', tmp_path, img_bands=(1, 2, 3, 4))
    assert_same_windows(ours, theirs)


def test_vaihingens_folder_tells_its_labels_from_its_images(tmp_path):
    write_vaihingen_zips(tmp_path)
    for labels in ('full', 'eroded'):
        out = tmp_path / labels / 'out'
        report = convert('vaihingen', tmp_path / 'zips', out, labels=labels)
        assert report.splits == {'train': ['1'], 'test': ['2']}
        for split, seed in (('train', 0), ('test', 1)):
            sample = dataset('vaihingen', split, out)[0]
            optical, _, expected = random_tile(SHAPE, seed)
            np.testing.assert_array_equal(sample['img'][..., :3], optical)
            # the complete labels, not the participants' of the same name
            np.testing.assert_array_equal(sample['gt_seg_map'], expected)


def test_a_second_run_writes_nothing_and_reports_the_same(archive, tmp_path, monkeypatch):
    first = convert('potsdam', archive, tmp_path)
    before = content(tmp_path)
    monkeypatch.setattr('mobanet_mmseg.conversion.isprs._convert_tile', lambda *_: 1 / 0)
    assert str(convert('potsdam', archive, tmp_path)) == str(first)
    assert content(tmp_path) == before


def test_other_choices_or_files_convert_again(archive, folders, tmp_path):
    out = tmp_path / 'out'
    convert('potsdam', archive, out)
    convert('potsdam', archive, out, height='ndsm')
    convert('potsdam', archive, tmp_path / 'once', height='ndsm')
    rerun, once = content(out), content(tmp_path / 'once')
    assert json.loads(rerun.pop('aux/aux_statistics.json')) == json.loads(
        once.pop('aux/aux_statistics.json')
    )
    assert rerun == once
    (out / 'label/2_10.tif').write_bytes(b'II*')  # damaged, and no work of anybody's
    convert('potsdam', archive, out, height='ndsm')
    assert content(out)['label/2_10.tif'] == once['label/2_10.tif']


def test_what_the_conversion_has_not_written_is_neither_replaced_nor_taken_for_its_own(
    archive, tmp_path
):
    out = tmp_path / 'out'
    (out / 'img').mkdir(parents=True)
    (out / 'img' / '2_10.tif').write_text('mine')
    with pytest.raises(ValueError, match='is not empty and holds nothing that isprs.py has writ'):
        convert('potsdam', archive, out)
    assert content(out) == {'img/2_10.tif': b'mine'}
    shutil.rmtree(out)
    convert('potsdam', archive, out)
    corrected = (out / 'label/2_10.tif').read_bytes() + b'corrected'
    for name, mine in (('label/2_10.tif', corrected), ('train.txt', b'2_10\n')):
        theirs = (out / name).read_bytes()
        (out / name).write_bytes(mine)
        with pytest.raises(ValueError, match=rf"holds \['{name}'\], which isprs.py has not"):
            convert('potsdam', archive, out)
        assert (out / name).read_bytes() == mine
        (out / name).write_bytes(theirs)
    (out / 'img' / 'notes.txt').write_text('mine')
    convert('potsdam', archive, out, labels='full')
    assert (out / 'img' / 'notes.txt').read_text() == 'mine'


def test_conversion_with_other_choices_that_is_killed_leaves_nothing_to_train(
    archive, converted, tmp_path, monkeypatch
):
    out = tmp_path / 'out'
    convert('potsdam', archive, out)
    with monkeypatch.context() as patch:
        patch.setattr('mobanet_mmseg.conversion.isprs.aux_ranges', lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            convert('potsdam', archive, out, labels='full', height='ndsm')
    with pytest.raises(FileNotFoundError, match=r'The split file .*train.txt does not exist'):
        dataset('potsdam', 'train', out)
    convert('potsdam', archive, out)
    first = content(converted[0])
    assert {name: data for name, data in content(out).items() if 'json' not in name} == {
        name: data for name, data in first.items() if 'json' not in name
    }


def test_converted_tiles_train(converted):
    loader = Config.fromfile(ROOT / 'configs/_base_/datasets/isprs_potsdam_converted.py')
    loader = loader.train_dataloader
    loader.dataset.data_root = str(converted[0])
    loader.update(batch_size=2, num_workers=0, persistent_workers=False)
    loader.sampler.update(num_samples=4, window_size=(56, 84))
    model = tiny_model()
    for head in (model.decode_head, *model.auxiliary_head):
        head.num_classes = 6
    model = MODELS.build(model).train()
    wrapper = build_optim_wrapper(model, {'optimizer': {'type': 'AdamW', 'lr': 1e-3}})
    losses = [model.train_step(batch, wrapper) for batch in Runner.build_dataloader(loader, seed=0)]
    assert len(losses) == 2 and all(step['loss'].isfinite() for step in losses)


def failing(error: type[Exception], *arguments, **options) -> str:
    with pytest.raises(error) as caught:
        convert(*arguments, **options)
    sentence = str(caught.value)
    assert '\n' not in sentence
    return sentence


def test_a_source_without_a_whole_tile_is_refused_in_one_sentence(tmp_path):
    (tmp_path / 'empty').mkdir()
    said = failing(FileNotFoundError, 'potsdam', tmp_path / 'empty', tmp_path / 'out')
    assert 'holds no whole tile of potsdam' in said
    assert not content(tmp_path / 'out')


@pytest.mark.parametrize(
    ('folder', 'pixels', 'sentence'),
    [
        ('1_DSM/dsm_potsdam_02_10.tif', np.zeros((20, 32), np.float32), 'may differ by 1'),
        ('2_Ortho_RGB/top_potsdam_2_10_RGB.tif', np.zeros((20, 30), np.uint8), '1 band'),
        (
            '5_Labels_all_noBoundary/top_potsdam_2_10_label_noBoundary.tif',
            np.zeros((20, 30, 3), np.uint16),
            'uint8 is expected',
        ),
    ],
)
def test_a_raster_that_does_not_fit_is_named(tmp_path, folder, pixels, sentence):
    optical, heights, _ = random_tile((20, 30))
    root = tmp_path / 'in'
    write_raster(root / '2_Ortho_RGB/top_potsdam_2_10_RGB.tif', optical)
    write_raster(root / '1_DSM/dsm_potsdam_02_10.tif', heights)
    name = '5_Labels_all_noBoundary/top_potsdam_2_10_label_noBoundary.tif'
    write_raster(root / name, optical)
    write_raster(root / folder, pixels)
    zip_folder(root, tmp_path / 'a.zip')
    said = failing(ValueError, 'potsdam', tmp_path / 'a.zip', tmp_path / 'out')
    assert sentence in said and f'a.zip/{folder}' in said
    assert not (tmp_path / 'out/train.txt').exists()


def write_tile(root, optical, heights, colours, *, masks=(), **dsm):
    """Write one tile of the archive; what of the rasters is named has a mask, 0 in a corner."""
    names = ('top_potsdam_2_10_RGB', 'dsm_potsdam_02_10', 'top_potsdam_2_10_label_noBoundary')
    mask = np.ones(optical.shape[:2], bool)
    mask[:3, :7] = False
    for kind, name, pixels in zip(
        ('img', 'aux', 'label'), names, (optical, heights, colours), strict=True
    ):
        path = write_raster(root / f'{name}.tif', pixels, **(dsm if kind == 'aux' else {}))
        if kind in masks:
            with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, 'r+') as raster:
                raster.write_mask(mask)
    return mask


def test_heights_come_in_the_unit_that_scale_and_offset_give_them(tmp_path):
    optical, heights, labels = random_tile((20, 30))
    stored = np.round(heights * 100 - 4000).astype(np.int16)
    stored[4, 5] = -9999
    write_tile(tmp_path / 'in', optical, stored, PALETTE[labels], nodata=-9999)
    with rasterio.open(tmp_path / 'in/dsm_potsdam_02_10.tif', 'r+') as raster:
        raster.scales, raster.offsets = (0.01,), (40.0,)
    convert('potsdam', tmp_path / 'in', tmp_path / 'out')
    found = read_raster(tmp_path / 'out/aux/2_10.tif')
    assert np.argwhere(np.isnan(found)).tolist() == [[4, 5]]
    found[4, 5] = heights[4, 5]
    np.testing.assert_allclose(found, heights, atol=0.006)


def test_what_masks_leave_out_is_left_out_of_the_tiles(tmp_path):
    optical, heights, labels = random_tile((20, 30))
    colours = PALETTE[labels]
    kinds = ('img', 'aux', 'label')
    mask = write_tile(tmp_path / 'in', optical, heights, colours, masks=kinds)
    report = convert('potsdam', tmp_path / 'in', tmp_path / 'out')
    for kind, bands in zip(kinds, ((1, 2, 3), (1,), (1,)), strict=True):
        _, valid = read_with_validity(tmp_path / f'out/{kind}/2_10.tif', bands)
        np.testing.assert_array_equal(valid, mask)
    assert report.pixels['train'][-1] == 21
    np.testing.assert_array_equal(read_raster(tmp_path / 'out/img/2_10.tif'), optical)
    found = read_raster(tmp_path / 'out/aux/2_10.tif')
    np.testing.assert_array_equal(found[mask], heights[mask])


def test_heights_that_cannot_be_scaled_are_a_warning(tmp_path):
    optical, _, _ = random_tile((20, 30))
    root = tmp_path / 'in'
    write_raster(root / 'top_potsdam_2_10_RGB.tif', optical)
    write_raster(root / 'dsm_potsdam_02_10.tif', np.zeros((20, 30), np.float32))
    write_raster(root / 'top_potsdam_2_10_label_noBoundary.tif', optical)
    report = convert('potsdam', root, tmp_path / 'out')
    assert 'is constant in band 1' in report.warnings[-1]


def test_a_choice_that_the_archive_lacks_is_refused(tmp_path):
    sentence = failing(ValueError, 'vaihingen', tmp_path, tmp_path, height='ndsm')
    assert sentence == '--height is ndsm, but vaihingen has dsm only: give one of these.'
    assert 'give one of' in failing(ValueError, 'toronto', tmp_path, tmp_path)


def test_a_file_where_the_folder_should_be_is_one_sentence(tmp_path, archive):
    (tmp_path / 'out').write_text('')
    for out in (tmp_path / 'out', tmp_path / 'out/in'):
        assert f'{out} could not be written' in failing(OSError, 'potsdam', archive, out)


@pytest.mark.parametrize(('downloads', 'limit'), [('archive', 100_000), ('folders', 300_000)])
def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(
    request, tmp_path, downloads, limit
):
    source = request.getfixturevalue(downloads)  # fails while it unpacks, or while it writes
    told, tell = multiprocessing.Pipe(duplex=False)

    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            convert('potsdam', source, tmp_path)
        except OSError as error:
            tell.send(str(error))

    in_child(work).join(60)
    sentence = told.recv() if told.poll(0) else ''
    assert 'could not be written' in sentence and 'check the free space' in sentence
    assert '\n' not in sentence
    written = content(tmp_path)
    # the first raster is too large already: the manifest, if any, vouches for no tile
    assert json.loads(written.pop('conversion.json', '{}')).get('tiles', {}) == {}
    assert written == {}


def test_command_ends_with_the_report_and_warns_of_missing_tiles(
    archive, tmp_path, monkeypatch, capsys
):
    command = ('dataset_converters/isprs.py', 'potsdam', archive, '--out', tmp_path / 'out')
    run_tool(monkeypatch, *command)
    said = capsys.readouterr().out
    assert 'tiles: 2 train, 1 test' in said and '\n  car  ' in said
    assert 'WARNING: tile 3_13 is missing: dsm_potsdam_03_13.tif was not found' in said
    with pytest.raises(SystemExit, match='^error: '):
        run_tool(monkeypatch, *command, '--optical', 'irrg')


def test_the_conversion_of_an_archive_names_a_place_without_permission(open_folder):
    write_potsdam_folders(open_folder / 'archive')
    (open_folder / 'out').mkdir()
    (open_folder / 'out').chmod(0o500)
    with no_root(), pytest.raises(OSError, match=r'out could not be written .*[Pp]ermission'):
        convert('potsdam', open_folder / 'archive', open_folder / 'out')
    assert list((open_folder / 'out').iterdir()) == []
