"""The cost of toy networks side by side."""

import json
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from scenes.commands import run_tool
from scenes.paths import ROOT
from scenes.toy import toy

from mobanet_mmseg.experiments import speed
from mobanet_mmseg.experiments.networks import paper_row
from mobanet_mmseg.experiments.speed import Settings, measure_rows, plan_rows
from mobanet_mmseg.experiments.speed_report import to_json, to_markdown

TOOL = 'analysis_tools/benchmark.py'
NAMES = ['potsdam_dinov2_b', 'plain', 'base', 'plain two-pass composition', 'two bare streams']


@pytest.fixture(scope='module')
def configs(tmp_path_factory):
    """Toys of MoBaNet, under the name of the paper's, and of a network without streams."""
    folder = tmp_path_factory.mktemp('configs') / 'mobanet'
    folder.mkdir()
    written = []
    for name, base in (
        ('potsdam_dinov2_b', 'mobanet/potsdam_dinov2_b.py'),
        ('plain', 'deeplabv3plus/deeplabv3plus_r50_potsdam_rgb.py'),
    ):
        config = Config.fromfile(ROOT / 'configs' / base)
        config.model = toy(config)
        config.crop_size = (30, 42)
        config.train_dataloader.batch_size = 3
        config.train_dataloader.sampler.window_size = (30, 42)
        written.append(folder / f'{name}.py')
        config.dump(written[-1])
    return written


@pytest.fixture(scope='module')
def measured(configs):
    """Rows of both, of a variant and of the yardsticks; memory is not estimated here."""
    init_default_scope('mmseg')
    variant = ('base', {'model.backbone.cpia': None, 'model.auxiliary_head': None})
    rows = plan_rows(configs, [variant])
    settings = Settings(3, 2, None, torch.device('cpu'), None).resolved(rows[0].config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed, 'estimate_prediction_memory', lambda config: 5 * 2**20)
        patch.setattr(speed, 'estimate_step_memory', lambda config, size: size * 2**20)
        return measure_rows(rows, settings, lambda rounds, what: rounds), settings


def test_rows_variants_and_yardsticks_stand_beside_one_another(measured):
    numbers = json.loads(to_json(*measured))
    rows = {row['name']: row for row in numbers['rows']}
    assert list(rows) == NAMES
    assert numbers['settings'] == {
        'repeats': 3, 'amp': None, 'batch_size': 2, 'memory_batch_size': 3}  # fmt: skip
    ours, composition = rows['potsdam_dinov2_b'], rows['plain two-pass composition']
    assert ours['trainable'] == composition['trainable'] > rows['base']['trainable']
    assert ours['input_shape'] == [4, 42, 42]
    assert (ours['paper'], rows['base']['paper']) == ('MoBaNet-DINOv2-B', '')
    assert ours['ratios']['prediction']['first'] == ours['ratios']['step']['first'] == 1
    for row in rows.values():
        assert len(row['prediction_seconds']) == len(row['step_seconds']) == 3
        assert list(row['ratios']['step']) == ['first', 'composition', 'bare streams']
        assert row['step_bytes'] is row['prediction_bytes'] is row['graph_seconds'] is None
        estimated = None if row['name'] == 'two bare streams' else 3 * 2**20
        assert row['estimated_step_bytes'] == estimated


def test_tables_have_the_papers_values_where_it_has_them(measured):
    text = to_markdown(*measured)
    lines = text.splitlines()
    assert lines[0] == '## Predicting a crop, batch 1'
    assert '## A training step of batch 2; its memory at batch 3' in lines
    (first, step), (second, _) = (
        [line.split(' | ') for line in lines if line.startswith(f'| {name} |')]
        for name in NAMES[:2]
    )
    assert first[-6:] == ['not measured', '5', '6.18', '13.97', '71.60', '402.99 |']
    assert second[-4:] == ['-', '-', '-', '- |']
    assert step[-3:] == ['not measured', '3', '1.000 |']
    assert '- Crops, channels, height and width as the networks get them: 4 x 42 x 42' in text


def test_a_section_is_printed_alone(configs, monkeypatch, capsys):
    options = ['--repeats', 1, '--sections', 'predict', '--amp', 'bf16', '--device', 'cpu']
    run_tool(monkeypatch, TOOL, configs[1], *options)
    out = capsys.readouterr().out
    assert 'training step' not in out and "paper's" not in out and 'yardsticks' not in out
    assert '- bfloat16 by autocast; random weights; medians of 1 rounds' in out


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (['nowhere.py'], r'error: There is no config nowhere\.py'),
        ([0, 0], 'error: Two rows are called potsdam_dinov2_b'),
        ([0, '--cfg-options', 'crop_size=None'], 'error: .* has no crop_size'),
        ([0, '--cfg-options', 'optim_wrapper=None'], 'error: .* has no optim_wrapper'),
        (
            [0, '--cfg-options', 'train_dataloader.batch_size=None'],
            r'error: .* has no train_dataloader\.batch_size',
        ),
    ],
)
def test_mistakes_are_one_sentence(configs, monkeypatch, arguments, sentence):
    arguments = [configs[each] if isinstance(each, int) else each for each in arguments]
    with pytest.raises(SystemExit, match=sentence):
        run_tool(monkeypatch, TOOL, *arguments)


def test_arguments_that_make_no_sense_are_refused(configs, monkeypatch, capsys):
    for wrong in (['--repeats', '0'], ['--variant', 'model.a=1'], ['--variant', 'name', 'model.a']):
        with pytest.raises(SystemExit):
            run_tool(monkeypatch, TOOL, configs[0], *wrong)
        assert 'error: --' in capsys.readouterr().err
    assert sys.argv[0] == TOOL


def test_configs_of_the_papers_rows_are_known():
    configs = ROOT / 'configs'
    assert paper_row(configs / 'mobanet' / 'vaihingen_sam_l.py') == 'MoBaNet-SAM-L'
    assert paper_row(configs / 'manet' / 'manet_potsdam.py') == 'MANet'
    assert paper_row(configs / 'mobanet' / 'potsdam_dinov2_b_base.py') == ''
    assert paper_row(configs / 'deeplabv3plus' / 'deeplabv3plus_r50_potsdam_rgb.py') == ''
