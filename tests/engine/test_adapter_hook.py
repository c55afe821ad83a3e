"""Checkpoints without the frozen encoder, in trainings and in all that loads what they wrote."""

import hashlib
import json
import shutil
import time
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.apis import init_model
from scenes.commands import run_tool
from scenes.encoders import random_encoder, tiny_dinov3
from scenes.training import run, write_training

from mobanet_mmseg.inference.calibration import write_calibrated
from mobanet_mmseg.inference.trained import load_segmentor
from mobanet_mmseg.models.frozen_streams import FrozenStreams

FINGERPRINT = 'backbone.encoder.fingerprint'
VIT = 'backbone.encoder.vit.'
WEIGHTS = 'model.backbone.encoder.init_cfg.checkpoint'
EVERY_EPOCH = 'default_hooks.checkpoint.interval=1'
AVERAGES = 'default_hooks.ema.type=EMAHook', 'default_hooks.ema.momentum=0.5'


def train(patch, folder, work_dir, *options, resume=None):
    resumed = () if resume is None else ('--resume', resume)
    options = ('--work-dir', work_dir, '--cfg-options', EVERY_EPOCH, *options)
    run(patch, folder, 'train', *resumed, *options)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A folder with three trainings of two epochs: as it is, saved whole, and with averages."""
    folder = write_training(tmp_path_factory.mktemp('trained'), pretrained=True)
    now = time.localtime()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, 'localtime', lambda *_: now)  # so that all begin in one second
        train(patch, folder, 'work')
        train(patch, folder, 'whole', 'default_hooks.adapters.whole=True')
        train(patch, folder, 'averaged', *AVERAGES)
    return folder


def content(path):
    return torch.load(path, weights_only=True)


def log_of(folder, work_dir):
    logs = (folder / work_dir).glob('*/*.log')
    return max(logs, key=lambda path: path.stat().st_mtime).read_text()


def assert_same(one, other, *keys):
    for key in keys:
        torch.testing.assert_close(one[key], other[key], rtol=0, atol=0)


def test_a_checkpoint_holds_what_is_trained_and_says_what_the_encoder_is(trained):
    given = content(trained / 'work' / 'epoch_2.pth')
    whole = content(trained / 'whole' / 'epoch_2.pth')
    names = {name for name in whole['state_dict'] if not name.startswith(VIT)}
    assert given['state_dict'].keys() == {FINGERPRINT, *names}
    for name in names:
        assert torch.equal(given['state_dict'][name], whole['state_dict'][name])
    words = {
        'class': 'DINOv2',
        'architecture': 'a ViT without layer scale of 4 blocks, 16 channels, patches of 8',
        'file': 'vit.pth',
        'licence': 'Apache-2.0',
    }
    for each in (given, whole):
        assert each['meta']['frozen_encoders'] == {'backbone.encoder': words}
    said = 'Checkpoints leave out backbone.encoder, which is frozen'
    counts = [log_of(trained, name).count(said) for name in ('work', 'whole', 'averaged')]
    assert counts == [1, 0, 1]


@pytest.mark.parametrize('work_dir', ['work', 'averaged'])
def test_a_resumed_training_ends_bit_for_bit_as_one_that_was_not(trained, monkeypatch, work_dir):
    options = AVERAGES if work_dir == 'averaged' else ()
    resumed = f'resumed_{work_dir}'
    train(monkeypatch, trained, resumed, *options, resume=f'{work_dir}/epoch_1.pth')
    ends = [content(trained / folder / 'epoch_2.pth') for folder in (work_dir, resumed)]
    keys = ('state_dict', 'ema_state_dict') if options else ('state_dict',)
    assert_same(*ends, *keys)
    assert_same(*(end['optimizer'] for end in ends), 'state')
    for key, start in zip(keys, ('', 'module.'), strict=False):
        assert [name for name in ends[0][key] if '.encoder.' in name] == [start + FINGERPRINT]


def test_a_whole_checkpoint_is_resumed_and_tested_without_the_weight_file(trained, monkeypatch):
    gone = f'{WEIGHTS}=gone.pth'
    train(monkeypatch, trained, 'without', gone, resume='whole/epoch_1.pth')
    ends = [content(trained / folder / 'epoch_2.pth') for folder in ('whole', 'without')]
    assert_same(*ends, 'state_dict')
    said = 'Checkpoints hold backbone.encoder whole: The weight file '
    assert said in log_of(trained, 'without')
    test = 'test', 'whole/epoch_2.pth', '--work-dir', 'without'
    run(monkeypatch, trained, *test, '--cfg-options', gone)


def test_a_weight_file_beside_the_checkpoint_will_do(trained, tmp_path, monkeypatch):
    shutil.copy(trained / 'vit.pth', tmp_path)
    shutil.copy(trained / 'work' / 'epoch_1.pth', tmp_path)
    gone, moved = f'{WEIGHTS}=gone/vit.pth', tmp_path / 'epoch_1.pth'
    train(monkeypatch, trained, tmp_path, gone, resume=moved)  # beside what it writes, too
    ends = [content(folder / 'epoch_2.pth') for folder in (trained / 'work', tmp_path)]
    assert FINGERPRINT in ends[1]['state_dict']
    assert_same(*ends, 'state_dict')


def test_every_loader_puts_the_encoder_back(trained, monkeypatch):
    monkeypatch.chdir(trained)
    expected = content('whole/epoch_2.pth')['state_dict']
    config = Config.fromfile('config.py')
    config.merge_from_dict({'load_from': 'work/epoch_2.pth', 'work_dir': 'loaded'})
    stock = Runner.from_cfg(config)
    stock.load_or_resume()
    write_calibrated('work/epoch_2.pth', 'work/calibrated.pth', 2.0, 'no tile')
    assert FINGERPRINT in content('work/calibrated.pth')['state_dict']
    models = [
        stock.model,
        init_model('config.py', 'work/epoch_2.pth', device='cpu'),
        load_segmentor('config.py', 'work/epoch_2.pth'),
        load_segmentor('config.py', 'work/calibrated.pth'),
    ]
    for model in models:
        assert_same({'it': dict(model.state_dict())}, {'it': dict(expected)}, 'it')
    run(monkeypatch, trained, 'test', 'averaged/epoch_2.pth', '--tta', '--work-dir', 'tta')
    report = 'analysis_tools/modality_report.py', 'config.py', 'work/epoch_2.pth'
    bounds = '--rgb-bound', 'work/epoch_2.pth', '--aux-bound', 'whole/epoch_2.pth'
    options = '--aux-absent', '50', '--work-dir', 'report', '--out', 'report.json'
    run_tool(monkeypatch, *report, *bounds, *options)
    measured = json.loads(Path('report.json').read_text())
    assert measured['bounds'] == {key: measured['metrics'][key] for key in ('rgb', 'aux')}
    curves = 'analysis_tools/degradation.py', 'config.py', 'work/calibrated.pth', '--of', 'aux'
    run_tool(monkeypatch, *curves, '--kinds', 'shift', '--levels', 'shift=2', '--out', 'curves')


def test_runs_with_and_without_the_encoder_in_their_files_compare_as_equal(trained, monkeypatch):
    monkeypatch.chdir(trained)
    run_tool(monkeypatch, 'analysis_tools/compare.py', 'work', 'whole', '--out', 'compared')
    report = json.loads((trained / 'compared' / 'report.json').read_text())
    assert report['scores']['work'] == report['scores']['whole']


@pytest.mark.parametrize(
    'command',
    [
        ('test', 'work/epoch_2.pth'),
        ('train', '--work-dir', 'refused', '--resume', 'work/epoch_1.pth'),
    ],
    ids=lambda command: command[0],
)
def test_another_encoder_is_refused_in_one_sentence(trained, monkeypatch, command):
    state = content(trained / 'vit.pth')
    state['layers.0.ln1.bias'][0] += 1e-6
    (trained / 'other').mkdir(exist_ok=True)
    torch.save(state, trained / 'other' / 'tuned.pth')
    said = (
        rf'^error: work/epoch_\d\.pth leaves out its frozen encoder \(a ViT .* from vit\.pth, .*'
        rf'\(other/tuned\.pth holds another one \(\w{{8}}\)\): set {WEIGHTS} .*\.$'
    )
    with pytest.raises(SystemExit, match=said):
        run(monkeypatch, trained, *command, '--cfg-options', f'{WEIGHTS}=other/tuned.pth')


def test_an_encoder_of_another_size_is_named_before_any_tensor(trained, monkeypatch):
    config = Config.fromfile(trained / 'config.py')
    config.model.backbone.encoder.arch.num_layers = 6
    torch.save(random_encoder(config.model.backbone.encoder).vit.state_dict(), trained / 'six.pth')
    options = (f'{WEIGHTS}=six.pth', 'model.backbone.encoder.arch.num_layers=6')
    with pytest.raises(SystemExit, match=r'its encoder is a ViT .* of 4 bl.* has a ViT .* of 6 b'):
        run(monkeypatch, trained, 'test', 'work/epoch_2.pth', '--cfg-options', *options)


def test_a_trained_encoder_is_saved_whole(trained, monkeypatch):
    build = FrozenStreams.__init__

    def unfrozen(self, *args, **kwargs):
        build(self, *args, **kwargs)
        self.encoder.vit.ln1.requires_grad_(True)

    monkeypatch.setattr(FrozenStreams, '__init__', unfrozen)
    train(monkeypatch, trained, 'unfrozen', 'train_cfg.max_epochs=1')
    assert 'Checkpoints hold backbone.encoder whole: it is trained.' in log_of(trained, 'unfrozen')
    assert f'{VIT}pos_embed' in content(trained / 'unfrozen' / 'epoch_1.pth')['state_dict']


def test_a_checkpoint_is_merged_split_and_published(trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    merge = 'misc/merge_checkpoint.py', 'config.py'
    run_tool(monkeypatch, *merge, 'work/epoch_2.pth', 'merged.pth')
    run_tool(monkeypatch, *merge, 'merged.pth', 'split.pth', '--split')
    assert_same(content('merged.pth'), content('whole/epoch_2.pth'), 'state_dict')
    assert_same(content('split.pth'), content('work/epoch_2.pth'), 'state_dict')
    said = capsys.readouterr().out
    assert 'merged.pth: ' in said and ' MB, with vit.pth, whose licence is Apache-2.0' in said
    assert 'split.pth: ' in said and ' MB, without vit.pth, whose licence is Apache-2.0' in said
    for wrong in (('merged.pth', 'it is whole as it is'), ('gone.pth', 'does not exist')):
        with pytest.raises(SystemExit, match=rf'^error: .*{wrong[1]}'):
            run_tool(monkeypatch, *merge, wrong[0], 'never.pth')
    with pytest.raises(SystemExit, match=r'^error: The encoder of merged.* cannot be left out: '):
        run_tool(
            monkeypatch, *merge, 'merged.pth', 'never.pth', '--split', '--cfg-options',
            f'{WEIGHTS}=gone.pth',
        )  # fmt: skip
    assert not Path('never.pth').exists()


def test_a_published_file_holds_no_training_and_says_its_licence(trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    for source, where in (('work', 'is not in it: who loads it needs'), ('whole', 'is in it')):
        run_tool(monkeypatch, 'misc/publish_checkpoint.py', f'{source}/epoch_2.pth', 'shared.pth')
        said = capsys.readouterr().out
        written = Path(said.split(': ')[0])
        assert f'from vit.pth (licence: Apache-2.0), {where}' in said
        assert content(written).keys() == {'meta', 'state_dict'}
        assert_same(content(written), content(f'{source}/epoch_2.pth'), 'state_dict')
        digest = hashlib.sha256(written.read_bytes()).hexdigest()
        assert written.name == f'shared-{digest[:8]}.pth'
        load_segmentor('config.py', written)
    assert not Path('shared.pth').exists()


def test_an_older_file_is_published_with_what_the_config_says(trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    older = content('whole/epoch_2.pth')
    del older['meta']['frozen_encoders']
    torch.save(older, 'older.pth')
    publish = 'misc/publish_checkpoint.py', 'older.pth', 'shared.pth'
    run_tool(monkeypatch, *publish)
    assert 'of what licence: give --config' in capsys.readouterr().out
    run_tool(monkeypatch, *publish, '--config', 'config.py')
    assert '(licence: Apache-2.0), is in it' in capsys.readouterr().out
    torch.save({'weight': torch.ones(1)}, 'weights.pth')
    with pytest.raises(SystemExit, match=r'^error: weights\.pth holds no state_dict with a meta'):
        run_tool(monkeypatch, 'misc/publish_checkpoint.py', 'weights.pth', 'shared.pth')


def test_dinov3_is_left_out_and_found_again_and_its_licence_said(tmp_path, monkeypatch, capsys):
    folder = write_training(tmp_path, pretrained=True, encoder=tiny_dinov3(patch_size=8))
    train(monkeypatch, folder, 'work')
    train(monkeypatch, folder, 'resumed', resume='work/epoch_1.pth')
    ends = [content(folder / name / 'epoch_2.pth') for name in ('work', 'resumed')]
    assert_same(*ends, 'state_dict')
    state, meta = ends[0]['state_dict'], ends[0]['meta']['frozen_encoders']['backbone.encoder']
    assert [name for name in state if '.encoder.' in name] == [FINGERPRINT]
    assert (meta['class'], meta['licence']) == ('DINOv3', 'DINOv3 License')
    run(monkeypatch, folder, 'test', 'work/epoch_2.pth')
    capsys.readouterr()
    merge = 'misc/merge_checkpoint.py', 'config.py', 'work/epoch_2.pth', 'merged.pth'
    run_tool(monkeypatch, *merge)
    assert 'with vit.pth, whose licence is DINOv3 License' in capsys.readouterr().out
    vit = content(folder / 'vit.pth')
    merged = content('merged.pth')['state_dict']
    assert_same({VIT + name: value for name, value in vit.items()}, merged, *(VIT + n for n in vit))
