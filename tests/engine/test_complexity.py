import json
import runpy
import sys

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmseg.registry import MODELS
from scenes.models import tiny_model
from scenes.paths import ROOT
from torch import nn

from mobanet_mmseg.engine.complexity import count_multiply_adds, count_parameters, measure_config

DEMO = ROOT / 'configs' / 'mobanet' / 'demo.py'


class Counted(nn.Module):
    """One convolution, one attention of two heads, one linear layer; 5 x 7 places."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.linear = nn.Linear(8, 5)

    def forward(self, inputs, mode):
        assert mode == 'tensor'
        tokens = self.norm(self.conv(inputs)).flatten(2).mT  # (1, 35, 8)
        heads = tokens.unflatten(2, (2, 4)).transpose(1, 2)
        tokens = F.scaled_dot_product_attention(heads, heads, heads).transpose(1, 2).flatten(2)
        return self.linear(tokens)


def test_multiply_adds_are_those_counted_by_hand():
    convolution = 35 * 8 * 3 * 3 * 3
    attention = 2 * 35 * 35 * 8  # scores, then the weighted sum; heads share the channels
    linear = 35 * 8 * 5
    with torch.device('meta'):
        model = Counted()
    assert count_multiply_adds(model, (3, 10, 14)) == convolution + attention + linear


def test_a_config_is_measured_at_its_crop_padded_to_the_patches():
    cost = measure_config(Config.fromfile(ROOT / 'configs' / 'mobanet' / 'potsdam_dinov2_b.py'))
    assert cost.input_shape == (4, 266, 266)
    assert sum(count.trainable for count in cost.parts.values()) == 6_182_530
    tokens = 2 * (19 * 19 + 1)  # both streams, with CLS
    blocks = 12 * (12 * 768**2 * tokens + 2 * 768 * tokens * (tokens // 2))
    assert blocks < cost.multiply_adds < 1.05 * blocks


def test_another_crop_and_a_config_that_does_not_say_its_own():
    config = Config.fromfile(DEMO)
    assert measure_config(config, (100, 60)).input_shape == (4, 104, 64)
    config.crop_size = None
    with pytest.raises(ValueError, match=r'demo\.py has no crop_size'):
        measure_config(config)


def test_command_prints_a_table_or_json_per_config(monkeypatch, capsys):
    def run(*options):
        monkeypatch.setattr(sys, 'argv', ['count_parameters.py', str(DEMO), *options])
        tool = ROOT / 'tools' / 'analysis_tools' / 'count_parameters.py'
        runpy.run_path(str(tool), run_name='__main__')
        return capsys.readouterr().out

    cost = measure_config(Config.fromfile(DEMO))
    numbers = json.loads(run('--json'))[str(DEMO)]
    assert numbers == cost.to_dict()
    assert numbers['flops'] == 2 * numbers['multiply_adds']
    everything = numbers['parameters']['all']
    assert everything['total'] == everything['trainable'] + everything['frozen']
    table = run('--cfg-options', 'model.neck.gated=False')
    assert 'neck.projections' in table
    assert 'neck.fusions' not in table
    assert 'G multiply-adds' in table
    with pytest.raises(SystemExit, match=r'error: .*demo\.py has no crop_size'):
        run('--cfg-options', 'crop_size=None')


def test_parts_add_up_to_the_model():
    model = MODELS.build(tiny_model())
    parts = count_parameters(model)
    assert sum(part.total for part in parts.values()) == sum(p.numel() for p in model.parameters())
    assert parts['backbone.encoder'].trainable == 0
    assert parts['backbone.aux_embed'].frozen == 0
    # aux embedding of 3 x 14 x 14 -> 16 with a bias
    assert parts['backbone.aux_embed'].trainable == 3 * 14 * 14 * 16 + 16
