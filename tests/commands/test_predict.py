"""The command tools/predict.py, as a user types it."""

import csv
import hashlib
import shutil
import time
import zipfile

import cv2
import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.transform import Affine
from scenes.predict_command import fail, predict, run_tool
from scenes.prediction import PALETTE, ROTATED, UTM, LargestChannel
from scenes.processes import in_child
from scenes.rasters import read_raster, write_raster

from mobanet_mmseg.inference import pair_inferencer


def test_label_map_is_written_and_the_shares_are_said(scene, monkeypatch, capsys):
    predict(monkeypatch, scene)
    assert np.array_equal(read_raster(scene['out']), scene['expected'])
    said = capsys.readouterr().out
    assert '1 to predict on cpu: windows of 16 x 24 pixels, stride 8 x 12, 4 at once' in said
    assert f'{scene["out"]}: {37 * 53:,} pixels' in said
    share = np.mean(scene['expected'] == 3)
    assert f'high {share:.2%}'.split() in [line.split() for line in said.splitlines()]


@pytest.mark.skipif(rasterio.__gdal_version__ != '3.10.3', reason='other GDALs write other bytes')
@pytest.mark.parametrize(
    ('options', 'hashes'),
    [
        ((), ('a7f5efc69fdb1ee5', '83db1490587dc387', 'abb06afc39f107e2')),
        (('--tta', 'd4', '--cog'), ('9a2bff1911596ea5', 'a37c1d4cbcc9a19c', '4b5ded8d139b1f47')),
    ],
)
def test_files_are_byte_for_byte_those_of_version_0_1(scene, monkeypatch, options, hashes):
    predict(monkeypatch, scene, '--probabilities', '--confidence', *options)
    paths = [scene['out'].with_stem(f'out{end}') for end in ('', '_probabilities', '_confidence')]
    assert tuple(hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in paths) == hashes


def test_picture_shows_truth_and_errors(scene, monkeypatch, capsys):
    colours = np.uint8(PALETTE)[scene['expected']]
    label = write_raster(scene['out'].with_name('label.tif'), colours, crs=UTM, transform=ROTATED)
    picture = scene['out'].with_suffix('.png')
    predict(monkeypatch, scene, '--label', label, '--picture', picture)
    drawn = cv2.imread(str(picture))
    assert min(drawn.shape[:2]) > 100
    assert str(picture) in capsys.readouterr().out
    without = scene['out'].with_name('without.png')
    predict(monkeypatch, scene, '--picture', without)
    assert cv2.imread(str(without)).shape != drawn.shape


def test_picture_shows_the_auxiliary_raster_as_what_it_is(scene, monkeypatch):
    drawn = []
    for kind in ('height', 'sar', 'bands'):
        picture = scene['out'].with_name(f'{kind}.png')
        kind = f'test_dataloader.dataset.aux_kind={kind}'
        predict(monkeypatch, scene, '--picture', picture, '--cfg-options', kind)
        drawn.append(picture.read_bytes())
    assert len(set(drawn)) == 3


def test_progress_and_time_left_go_to_stderr(scene, monkeypatch, capsys):
    predict(monkeypatch, scene)
    said = capsys.readouterr()
    assert 'rgb.tif' not in said.out
    assert 'elapsed' not in said.out
    predict(monkeypatch, scene, '--skip-existing')
    assert 'elapsed' not in capsys.readouterr().out


def test_results_stay_on_stdout_where_the_progress_is_a_terminal_s(scene, monkeypatch, capsys):
    monkeypatch.setenv('FORCE_COLOR', '1')
    predict(monkeypatch, scene)
    said = capsys.readouterr()
    assert f'{37 * 53:,} pixels' in said.out
    assert 'elapsed' in said.err
    assert '\x1b' not in said.out


def test_range_of_warped_heights_is_shown_on_stderr(scene, monkeypatch, capsys):
    monkeypatch.setattr('mobanet_mmseg.inference.reading.QUICK', 0)
    shifted = ROTATED @ Affine.translation(5, 0)
    write_raster(scene['aux'], read_raster(scene['aux']), crs=UTM, transform=shifted)
    predict(monkeypatch, scene)
    said = capsys.readouterr()
    assert 'Range of the auxiliary raster' in said.err
    assert 'Range of the auxiliary raster' not in said.out


def test_options_reach_the_files(scene, monkeypatch, capsys):
    options = ('--probabilities', '--confidence', '--cog', '--window', '20', '--stride', '9', '11')
    options += ('--tta', '--amp', 'bf16', '--blend', 'cosine', '--batch-size', '3')
    predict(monkeypatch, scene, *options)
    assert 'windows of 20 x 20 pixels, stride 9 x 11, 3 at once, blend cosine' in (
        capsys.readouterr().out
    )
    folder = scene['out'].parent
    assert np.array_equal(read_raster(scene['out']), scene['expected'])
    assert read_raster(folder / 'out_probabilities.tif').shape == (37, 53, 4)
    assert read_raster(folder / 'out_confidence.tif').shape == (37, 53)
    with rasterio.open(scene['out']) as written:
        assert written.tags(ns='IMAGE_STRUCTURE')['LAYOUT'] == 'COG'


def test_batch_size_auto_says_what_was_chosen(scene, monkeypatch, capsys):
    monkeypatch.setattr(pair_inferencer, 'choose_batch_size', lambda *args: 5)
    predict(monkeypatch, scene, '--batch-size', 'auto')
    assert '5 at once' in capsys.readouterr().out


def test_overrides_of_the_config_are_taken(scene, monkeypatch):
    predict(monkeypatch, scene, '--cfg-options', 'test_dataloader.dataset.aux_range=(10, 1010)')
    assert not (read_raster(scene['out']) == 3).any()


def test_range_of_the_heights_is_taken(scene, monkeypatch):
    predict(monkeypatch, scene, '--aux-range', '10', '1010')
    assert not (read_raster(scene['out']) == 3).any()
    config = 'test_dataloader.dataset.aux_range=(10, 1010)'
    predict(monkeypatch, scene, '--aux-range', 'tile', '--cfg-options', config)
    assert np.array_equal(read_raster(scene['out']), scene['expected'])
    predict(monkeypatch, scene, '--aux-range', '-30.5', '31')
    assert (read_raster(scene['out']) == 3).any()


def test_one_modality_needs_no_heights(scene, monkeypatch):
    pair = ('--rgb', scene['rgb'], '--out', scene['out'], '--modality', 'rgb')
    run_tool(monkeypatch, scene, *pair)
    expected = np.zeros((37, 53), np.uint8)  # the heights' channel is 0, below all others
    expected[:, 20:35] = 1
    expected[30:] = 2
    assert np.array_equal(read_raster(scene['out']), expected)
    predict(monkeypatch, scene, '--modality', 'rgb')
    assert np.array_equal(read_raster(scene['out']), expected)


def test_a_line_of_a_csv_without_heights_is_predicted_as_the_training_saw_it(scene, monkeypatch):
    folder = scene['out'].parent
    (folder / 'pairs.csv').write_text('rgb,aux,out\nrgb.tif,aux.tif,x.tif\nrgb.tif,,y.tif\n')
    given = ('--pairs', folder / 'pairs.csv')
    (sentence,) = fail(run_tool, monkeypatch, scene, *given)
    assert f'There is no auxiliary image (--aux) of {folder / "rgb.tif"}: give one' in sentence
    assert not (folder / 'x.tif').exists()
    dataset = ('missing_aux=zeros', 'aux_fill=0.6')
    options = [f'test_dataloader.dataset.{option}' for option in dataset]
    run_tool(monkeypatch, scene, *given, '--cfg-options', *options)
    assert np.array_equal(read_raster(folder / 'x.tif'), scene['expected'])
    expected = np.zeros((37, 53), np.uint8)  # red's 0.8
    expected[:, 20:] = 3  # 0.6 is above green's 0.5
    expected[30:] = 2  # blue's 0.9
    assert np.array_equal(read_raster(folder / 'y.tif'), expected)
    run_tool(monkeypatch, scene, *given, '--modality', 'rgb')
    assert 3 not in read_raster(folder / 'y.tif')


@pytest.mark.parametrize('kind', ['folders', 'globs', 'CSV'])
def test_failure_of_one_pair_stops_no_other_and_is_told_at_the_end(
    many, scene, monkeypatch, kind, capsys
):
    out = many / 'out'
    given = ('--rgb', many / 'rgbs', '--aux', many / 'auxs', '--out', out)
    if kind == 'globs':
        given = ('--rgb', many / 'rgbs' / '*.tif', '--aux', many / 'auxs' / '*.tif', '--out', out)
    if kind == 'CSV':
        with (many / 'pairs.csv').open('w', newline='') as file:
            rows = [['rgb', 'aux', 'out']]
            rows += [[f'rgbs/{n}.tif', f'auxs/{n}.tif', f'out/{n}.tif'] for n in 'abc']
            csv.writer(file).writerows(rows)
        given = ('--pairs', many / 'pairs.csv')
    (sentence,) = fail(run_tool, monkeypatch, scene, *given)
    assert 'b.tif cannot be read as a raster' in sentence
    assert sorted(path.name for path in out.iterdir()) == ['a.tif', 'c.tif']
    for name in 'ac':
        assert np.array_equal(read_raster(out / f'{name}.tif'), scene['expected'])
    said = capsys.readouterr().out
    assert '3 to predict' in said
    assert said.index('a.tif') < said.index('c.tif')


def test_each_failure_gets_its_sentence(many, scene, monkeypatch):
    (many / 'auxs' / 'c.tif').write_text('no raster')
    given = ('--rgb', many / 'rgbs', '--aux', many / 'auxs', '--out', many / 'out')
    first, second = fail(run_tool, monkeypatch, scene, *given)
    assert 'rgbs/b.tif' in first
    assert 'auxs/c.tif' in second


def test_what_is_there_already_is_left_as_it_is(many, scene, monkeypatch, capsys):
    shutil.copy(many / 'rgbs' / 'a.tif', many / 'rgbs' / 'b.tif')
    out = many / 'out'
    out.mkdir()
    (out / 'b.tif').write_bytes(b'done before')
    given = ('--rgb', many / 'rgbs', '--aux', many / 'auxs', '--out', out, '--skip-existing')
    run_tool(monkeypatch, scene, *given)
    assert (out / 'b.tif').read_bytes() == b'done before'
    assert '2 to predict' in capsys.readouterr().out
    times = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    run_tool(monkeypatch, scene, *given)
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == times
    assert '0 to predict' in capsys.readouterr().out


def test_a_picture_that_is_missing_is_drawn_of_the_map_that_is_there(scene, monkeypatch, capsys):
    predict(monkeypatch, scene)
    before, picture = scene['out'].read_bytes(), scene['out'].with_suffix('.png')
    time = scene['out'].stat().st_mtime_ns
    for _ in range(2):
        predict(monkeypatch, scene, '--skip-existing', '--picture', picture)
        assert (scene['out'].read_bytes(), scene['out'].stat().st_mtime_ns) == (before, time)
        assert cv2.imread(str(picture)) is not None
    assert capsys.readouterr().out.count(f'{picture}\n') == 1


@pytest.mark.parametrize('kind', ['single', 'folder', 'CSV'])
def test_rasters_in_archives_are_predicted(scene, monkeypatch, kind):
    folder = scene['out'].parent
    monkeypatch.chdir(folder)
    with zipfile.ZipFile('a.zip', 'w') as archive:
        archive.write('rgb.tif', 'rgbs/a.tif')
        archive.write('aux.tif', 'auxs/a.tif')
    (folder / 'pairs.csv').write_text('rgb,aux,out\nzip://a.zip!rgbs/a.tif,aux.tif,out/a.tif\n')
    given = {
        'single': ('--rgb', 'zip://a.zip!rgbs/a.tif', '--aux', '/vsizip/a.zip/auxs/a.tif'),
        'folder': ('--rgb', '/vsizip/a.zip/rgbs', '--aux', '/vsizip/a.zip/auxs'),
        'CSV': ('--pairs', 'pairs.csv'),
    }[kind]
    run_tool(monkeypatch, scene, *given, *(() if kind == 'CSV' else ('--out', 'out/')))
    assert np.array_equal(read_raster(folder / 'out' / 'a.tif'), scene['expected'])
    if kind != 'CSV':
        (sentence,) = fail(run_tool, monkeypatch, scene, *given, '--out', '/vsizip/a.zip/b/')
        assert 'what is written goes to a disk' in sentence


def test_both_images_may_be_bands_of_one_file(scene, monkeypatch):
    pixels = np.concatenate(
        [read_raster(scene['rgb']), read_raster(scene['aux'])[..., None].astype(np.uint8)], axis=-1
    )
    both = write_raster(scene['out'].with_name('both.tif'), pixels, crs=UTM, transform=ROTATED)
    bands = 'test_dataloader.dataset.aux_bands=(4,)'
    pair = ('--rgb', both, '--aux', both, '--out', scene['out'], '--cfg-options', bands)
    run_tool(monkeypatch, scene, *pair)
    assert np.array_equal(read_raster(scene['out']), scene['expected'])


def test_what_is_left_out_an_error_and_a_picture_go_together(many, scene, monkeypatch, capsys):
    out, picture = many / 'out', many / 'picture.png'
    out.mkdir()
    (out / 'a.tif').write_bytes(b'done before')
    given = ('--rgb', many / 'rgbs', '--aux', many / 'auxs', '--out', out, '--skip-existing')
    (sentence,) = fail(run_tool, monkeypatch, scene, *given, '--picture', picture)
    assert 'are for one raster, but 3 came' in sentence
    assert [path.name for path in out.iterdir()] == ['a.tif'] and not picture.exists()
    (sentence,) = fail(run_tool, monkeypatch, scene, *given)
    assert 'b.tif cannot be read as a raster' in sentence
    assert (out / 'a.tif').read_bytes() == b'done before'
    assert np.array_equal(read_raster(out / 'c.tif'), scene['expected'])
    one = ('--rgb', many / 'rgbs' / 'b.tif', '--aux', many / 'auxs' / 'b.tif', '--out', out)
    fail(run_tool, monkeypatch, scene, *one, '--skip-existing', '--picture', picture)
    assert not picture.exists() and not (out / 'b.tif').exists()


@pytest.mark.slow
def test_killed_run_leaves_nothing_that_looks_finished_and_can_be_repeated(scene, monkeypatch):
    folder = scene['out'].parent
    rng = np.random.default_rng(0)
    place = {'crs': UTM, 'transform': ROTATED}
    write_raster(scene['rgb'], rng.integers(0, 256, (900, 53, 3), dtype=np.uint8), **place)
    write_raster(scene['aux'], rng.uniform(0, 1, (900, 53)).astype(np.float32), **place)
    scene['out'].write_bytes(b'old')
    before = set(folder.iterdir())
    network = LargestChannel.encode_decode

    def slowly(*arguments):
        time.sleep(0.02)
        return network(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(LargestChannel, 'encode_decode', slowly)
        process = in_child(lambda: predict(monkeypatch, scene, '--confidence'))
    while not any(path.stat().st_size > 1000 for path in folder.glob('.out.tif*')):
        assert process.is_alive(), 'the run ended before it was killed'
        time.sleep(0.01)
    process.kill()
    process.join()
    assert scene['out'].read_bytes() == b'old'
    left = set(folder.iterdir()) - before
    assert left
    assert all(path.name.startswith('.') and path.suffix == '.part' for path in left)
    predict(monkeypatch, scene, '--confidence')
    assert read_raster(scene['out']).shape == (900, 53)
    assert read_raster(folder / 'out_confidence.tif').shape == (900, 53)
