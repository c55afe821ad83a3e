"""What tools/predict.py cannot do is one sentence, and nothing is written."""

import shutil

import pytest
import rasterio
import rasterio.shutil
import torch
from scenes.predict_command import fail, predict, run_tool

from mobanet_mmseg.inference.inferencer import MultimodalInferencer

PAIR = ('--rgb', 'rgb.tif', '--aux', 'aux.tif', '--out', 'out.tif')
MISTAKES = {
    'nothing': ((), 'Give --rgb and --aux, or --pairs with a CSV'),
    'both': ((*PAIR, '--pairs', 'pairs.csv'), 'Give --rgb and --aux, or --pairs with a CSV'),
    'pairs and aux': (
        ('--pairs', 'pairs.csv', '--aux', 'aux.tif'), 'or --pairs with a CSV, and not both'),
    'no out': (PAIR[:4], 'Give --out'),
    'no aux': (PAIR[:2] + PAIR[4:], 'There is no auxiliary image (--aux): give one, or predict'),
    'no rgb': (('--rgb', 'absent.tif', *PAIR[2:]), r'absent.tif does not exist'),
    'no aux file': ((*PAIR, '--aux', 'absent.tif'), 'absent.tif does not exist'),
    'no CSV': (('--pairs', 'absent.csv'), 'absent.csv'),
    'out is an input': ((*PAIR, '--out', 'aux.tif'), 'aux.tif would be written over aux.tif'),
    'out is no GeoTIFF': ((*PAIR, '--out', 'out.png'), 'out.png is to be a GeoTIFF'),
    'picture': ((*PAIR, '--picture', 'picture.tif'), 'picture.tif is to be a picture'),
    'label alone': ((*PAIR, '--label', 'aux.tif'), '--label is drawn into a picture'),
    'label absent': (
        (*PAIR, '--label', 'absent.tif', '--picture', 'a.png'), 'absent.tif does not exist'),
    'range of one': ((*PAIR, '--aux-range', '5'), "--aux-range got 5: give 'tile' or two numbers"),
    'range in words': ((*PAIR, '--aux-range', 'a', 'b'), "--aux-range got a b: give 'tile'"),
    'range turned': ((*PAIR, '--aux-range', '9', '5'), 'aux_range=(9.0, 5.0): give'),
    'range without an end': ((*PAIR, '--aux-range', '0', 'inf'), 'aux_range=(0.0, inf): give'),
    'range of nothing': ((*PAIR, '--aux-range', 'nan', '5'), 'aux_range=(nan, 5.0): give'),
    'three sides': ((*PAIR, '--window', '1', '2', '3'), '--window got 3 numbers: give one, or'),
    'three steps': ((*PAIR, '--stride', '1', '2', '3'), '--stride got 3 numbers'),
    'holes': ((*PAIR, '--stride', '20'), 'A stride of 20 pixels leaves holes'),
    'no window': ((*PAIR, '--window', '0'), 'Windows, strides and batches are at least 1'),
    'batch in words': ((*PAIR, '--batch-size', 'many'), "--batch-size got many: give a number"),
    'batch of none': ((*PAIR, '--batch-size', '0'), 'Windows, strides and batches are at least 1'),
    'no device': ((*PAIR, '--device', 'cuda:99'), 'Device cuda:99 is not there'),
    'no such device': ((*PAIR, '--device', 'gpu'), "There is no device 'gpu'"),
}  # fmt: skip


@pytest.mark.parametrize('name', MISTAKES)
def test_mistake_of_the_user_is_one_sentence_and_nothing_is_written(scene, monkeypatch, name):
    options, said = MISTAKES[name]
    folder = scene['out'].parent
    monkeypatch.chdir(folder)
    (folder / 'pairs.csv').write_text('rgb,aux,out\nrgb.tif,aux.tif,out.tif\n')
    before = {path: path.read_bytes() for path in folder.iterdir()}
    (sentence,) = fail(run_tool, monkeypatch, scene, *options)
    assert said in sentence
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


OVERWRITTEN = {
    'picture over rgb': (('--rgb', 'rgb.png', *PAIR[2:], '--picture', 'rgb.png'), 'rgb.png'),
    'picture over label': (
        (*PAIR, '--label', 'rgb.png', '--picture', './rgb.png'), 'rgb.png would be written over'),
    'picture over a source': (('--rgb', 'rgb.vrt', *PAIR[2:], '--picture', 'rgb.png'), 'rgb.png'),
    'picture over a link': ((*PAIR, '--label', 'rgb.png', '--picture', 'link.png'), 'link.png'),
    'labels over label': (
        (*PAIR[:4], '--out', 'truth.tif', '--label', 'truth.tif', '--picture', 'a.png'), 'truth.'),
    'labels over checkpoint': ((*PAIR[:4], '--out', 'model.tif'), 'model.tif would be written'),
    'folder over a source': (('--rgb', 'out/out.vrt', *PAIR[2:4], '--out', 'out/'), 'out.tif'),
    'confidence over aux': (
        (*PAIR[:2], '--aux', 'a_confidence.tif', '--out', 'a.tif', '--confidence'), 'a_confidence'),
    'labels over the next pair': (('--pairs', 'over.csv'), 'truth.tif would be written over'),
    'probabilities over another pair': (('--pairs', 'beside.csv', '--probabilities'), 'b_probab'),
    'labels over what is left out': (('--pairs', 'over.csv', '--skip-existing'), 'truth.tif would'),
    'two maps of one name': (('--pairs', 'twice.csv', '--confidence'), 'would be written twice'),
}  # fmt: skip


@pytest.mark.parametrize('name', OVERWRITTEN)
def test_nothing_that_is_read_is_written_over(scene, monkeypatch, name):
    options, said = OVERWRITTEN[name]
    folder = scene['out'].parent
    monkeypatch.chdir(folder)
    for copy in ('a_confidence.tif', 'b_probabilities.tif', 'truth.tif', 'done.tif'):
        shutil.copy(scene['aux'], folder / copy)
    (folder / 'out').mkdir()
    shutil.copy(scene['rgb'], folder / 'out' / 'out.tif')
    rasterio.shutil.copy(folder / 'out' / 'out.tif', folder / 'out' / 'out.vrt', driver='VRT')
    rasterio.shutil.copy(scene['rgb'], folder / 'rgb.png', driver='PNG')
    rasterio.shutil.copy(folder / 'rgb.png', folder / 'rgb.vrt', driver='VRT')
    (folder / 'link.png').symlink_to(folder / 'rgb.png')
    shutil.copy(scene['checkpoint'], folder / 'model.tif')
    scene['checkpoint'] = folder / 'model.tif'
    lines = 'rgb.tif,aux.tif,{}\nout/out.tif,{},{}\n'
    for csv_name, cells in (
        ('over', ('truth.tif', 'truth.tif', 'done.tif')),
        ('beside', ('b.tif', 'b_probabilities.tif', 'c.tif')),
        ('twice', ('c.tif', 'aux.tif', 'c_confidence.tif')),
    ):
        (folder / f'{csv_name}.csv').write_text('rgb,aux,out\n' + lines.format(*cells))
    before = {path: path.read_bytes() for path in folder.rglob('*.*') if path.is_file()}
    (sentence,) = fail(run_tool, monkeypatch, scene, *options)
    assert said in sentence
    after = {path: path.read_bytes() for path in folder.rglob('*.*') if path.is_file()}
    assert after == before


@pytest.mark.parametrize('name', ['config', 'checkpoint'])
def test_missing_file_of_the_model_is_one_sentence(scene, monkeypatch, name):
    scene[name].unlink()
    (sentence,) = fail(predict, monkeypatch, scene)
    assert scene[name].name in sentence
    assert not scene['out'].exists()


def test_a_gpu_without_memory_is_one_sentence(scene, monkeypatch):
    def too_large(*args, **kwargs):
        raise torch.OutOfMemoryError('CUDA out of memory.')

    monkeypatch.setattr(MultimodalInferencer, 'predict_rows', too_large)
    (sentence,) = fail(predict, monkeypatch, scene)
    assert 'rgb.tif was not predicted' in sentence
    assert 'give a smaller --batch-size' in sentence


def test_picture_and_label_are_of_one_raster(many, scene, monkeypatch):
    given = ('--rgb', many / 'rgbs', '--aux', many / 'auxs', '--out', many / 'out')
    (sentence,) = fail(run_tool, monkeypatch, scene, *given, '--picture', 'a.png')
    assert 'are for one raster, but 3 came' in sentence
