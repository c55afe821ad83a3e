"""A network is exported by a command, and predict.py runs the file without config and network."""

import numpy as np
import pytest
from scenes.commands import run_tool
from scenes.predict_command import fail, predict
from scenes.rasters import read_raster

from mobanet_mmseg.inference import inferencer


@pytest.fixture
def exported(scene, monkeypatch, capsys):
    """The scene with its model as a file, whose own network can no longer be built."""
    path = scene['out'].with_name('m.onnx')
    run_tool(monkeypatch, 'export_onnx.py', scene['config'], scene['checkpoint'], '--out', path)
    assert '100.00% of the pixels get the same label' in capsys.readouterr().out
    monkeypatch.setattr(inferencer, 'load_segmentor', None)
    scene['checkpoint'].unlink()
    return scene | {'onnx': path}


def run(monkeypatch, scene, *options):
    pair = ('--rgb', scene['rgb'], '--aux', scene['aux'], '--out', scene['out'])
    run_tool(monkeypatch, 'predict.py', scene['onnx'], *pair, *options)


def test_the_file_alone_predicts_what_is_known(exported, monkeypatch, capsys):
    picture = exported['out'].with_name('map.png')
    run(monkeypatch, exported, '--probabilities', '--picture', picture, '--device', 'cpu')
    assert 'windows of 16 x 24 pixels, stride 8 x 12, 4 at once' in capsys.readouterr().out
    assert np.array_equal(read_raster(exported['out']), exported['expected'])
    assert read_raster(exported['out'].with_name('out_probabilities.tif')).shape == (37, 53, 4)
    assert picture.exists()


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (('--amp', 'bf16', '--cfg-options', 'a=1'), 'takes no --amp and no --cfg-options'),
        (('--device', 'cuda:7'), "onnxruntime has no device 'cuda:7'"),
        (('--window', '20', '--stride', '30'), 'leaves holes'),
    ],
)
def test_what_a_file_cannot_do_is_one_sentence(exported, monkeypatch, options, said):
    (sentence,) = fail(run, monkeypatch, exported, *options)
    assert said in sentence
    assert not exported['out'].exists()


def test_a_config_alone_is_one_sentence(scene, monkeypatch):
    (sentence,) = fail(run, monkeypatch, scene | {'onnx': scene['config']})
    assert 'comes without a checkpoint' in sentence


def test_the_checkpoint_of_a_model_is_still_taken(scene, monkeypatch):
    predict(monkeypatch, scene)
    assert np.array_equal(read_raster(scene['out']), scene['expected'])


def test_a_name_that_is_no_onnx_files_is_one_sentence(scene, monkeypatch, capsys):
    arguments = scene['config'], scene['checkpoint'], '--out', scene['out'].with_name('m.pt')
    with pytest.raises(SystemExit, match='m.pt is to be an ONNX file: let its name end in .onnx'):
        run_tool(monkeypatch, 'export_onnx.py', *arguments)
