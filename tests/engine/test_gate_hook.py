import json

import numpy as np
import pytest
import torch
from mmseg.registry import MODELS
from PIL import Image
from scenes.models import tiny_model
from scenes.training import run, write_training

from mobanet_mmseg.engine.gate_hook import gate_maps
from mobanet_mmseg.models.gates import GateWatch


@pytest.mark.parametrize('mode', ['whole', 'slide'])
def test_gates_are_known_at_each_pixel(mode):
    model = MODELS.build(tiny_model()).eval()
    model.test_cfg.mode = mode
    for stage, fusion in enumerate(model.neck.fusions):
        torch.nn.init.constant_(fusion.gate[-1].bias, float(stage))
    maps = gate_maps(model, GateWatch(model), torch.rand(4, 61, 95) * 255)
    assert maps.shape == (8, 61, 95)
    for stage in range(4):
        expected = 1 - torch.tensor(float(stage)).sigmoid()
        np.testing.assert_allclose(maps[stage], expected, atol=1e-5)
    assert maps.min() >= 0
    assert maps.max() <= 1


def test_validations_draw_the_gates_and_tell_of_each_class(tmp_path, monkeypatch):
    write_training(tmp_path)
    options = ['default_hooks.gates.draw=True', 'train_cfg.val_interval=1']
    run(monkeypatch, tmp_path, 'train', '--cfg-options', *options)
    (log,) = (tmp_path / 'work').rglob('*.log')
    assert log.read_text().count('Weight of aux in the gates (%), mean of the stages: ') == 2
    pictures = sorted((tmp_path / 'work').rglob('*_gates_*.png'))
    assert len(pictures) == 2
    with Image.open(pictures[0]) as picture:
        assert len(picture.getcolors(2**24)) > 100
    (scalars,) = (tmp_path / 'work').rglob('scalars.json')
    lines = [json.loads(line) for line in scalars.read_text().splitlines()]
    told = [line for line in lines if 'gate/aux_weight.car' in line]
    assert [line['step'] for line in told] == [1, 2]
    assert all(0 < line['gate/aux_weight.building'] < 100 for line in told)
