from types import SimpleNamespace

import pytest
import torch
from mmseg.models import SegTTAModel
from mmseg.registry import MODELS
from scenes.models import tiny_model
from scenes.training import run, write_training
from torch import nn

from mobanet_mmseg.engine.checkpoint_hooks import StrictCheckpointHook

FINE_TUNING = 'default_hooks.strict_checkpoint.strict=False'


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A folder with a toy config, its data, and the checkpoint of one epoch of two windows."""
    folder = write_training(tmp_path_factory.mktemp('trained'))
    with pytest.MonkeyPatch.context() as patch:
        run(patch, folder, 'train', '--cfg-options', 'train_cfg.max_epochs=1')
    return folder


def changed(trained, tmp_path, change):
    """The checkpoint after a change to its content."""
    content = torch.load(trained / 'work' / 'epoch_1.pth', weights_only=True)
    change(content)
    torch.save(content, tmp_path / 'changed.pth')
    return tmp_path / 'changed.pth'


def of_three_classes(content):
    for name, value in content['state_dict'].items():
        if 'conv_seg' in name:
            content['state_dict'][name] = value[:3].clone()
    content['meta']['dataset_meta']['classes'] = ('a', 'b', 'c')


def without_the_last_block(content):
    for name in list(content['state_dict']):
        if name.startswith('backbone.encoder.vit.layers.3.'):
            del content['state_dict'][name]


def without_training_state(content):
    del content['optimizer'], content['message_hub']


def test_own_checkpoint_is_tested_with_and_without_tta_and_resumed(trained, monkeypatch):
    checkpoint = trained / 'work' / 'epoch_1.pth'
    run(monkeypatch, trained, 'test', checkpoint)
    run(monkeypatch, trained, 'test', checkpoint, '--tta')
    run(monkeypatch, trained, 'train', '--resume', checkpoint)
    assert (trained / 'work' / 'epoch_2.pth').exists()


def test_a_file_that_has_been_loaded_may_be_gone_when_its_training_is_tested(tmp_path):
    config = dict(load_from=str(tmp_path / 'gone.pth'), resume=True)
    StrictCheckpointHook().before_run(SimpleNamespace(cfg=config, _has_loaded=True))
    with pytest.raises(FileNotFoundError, match='gone.pth'):
        StrictCheckpointHook().before_run(SimpleNamespace(cfg=config, _has_loaded=False))


@pytest.mark.parametrize('tta', [(), ('--tta',)], ids=['plain', 'tta'])
@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (of_three_classes, r'it has 3 classes \(a, b, c\) and the config has 6'),
        (without_the_last_block, 'its encoder has 3 blocks .* the config has one of 4 blocks .*'),
    ],
)
def test_a_checkpoint_of_another_model_is_not_measured(
    trained, tmp_path, monkeypatch, change, said, tta
):
    with pytest.raises(SystemExit, match=rf'^error: .*changed\.pth does not fit .*{said}; give'):
        run(monkeypatch, trained, 'test', changed(trained, tmp_path, change), *tta)


def test_resuming_and_testing_stay_strict_where_fine_tuning_is_allowed(
    trained, tmp_path, monkeypatch
):
    checkpoint = changed(trained, tmp_path, of_three_classes)
    options = ('--cfg-options', FINE_TUNING)
    for command in (('test', checkpoint), ('train', '--resume', checkpoint)):
        with pytest.raises(SystemExit, match=r'it has 3 classes .*that it was trained with\.$'):
            run(monkeypatch, trained, *command, *options)


def test_training_starts_from_another_task_only_where_told_so(trained, tmp_path, monkeypatch):
    checkpoint = changed(trained, tmp_path, of_three_classes)
    options = [f'load_from={checkpoint}', 'train_cfg.max_epochs=1', f'work_dir={tmp_path}']
    with pytest.raises(SystemExit, match=rf'3 classes .* or set {FINE_TUNING} to start'):
        run(monkeypatch, trained, 'train', '--cfg-options', *options)
    run(monkeypatch, trained, 'train', '--cfg-options', *options, FINE_TUNING)


def test_a_hook_by_its_number_is_told_its_name(trained, monkeypatch):
    options = ('--cfg-options', 'custom_hooks.1.strict=False')
    with pytest.raises(SystemExit, match=r'error: custom_hooks\.1\.strict .* by name, as in def'):
        run(monkeypatch, trained, 'train', *options)


@pytest.mark.parametrize('command', [('test',), ('train', '--resume')], ids=lambda value: value[0])
def test_a_file_that_is_no_checkpoint_ends_with_one_sentence(
    trained, tmp_path, monkeypatch, command
):
    page = tmp_path / 'page.pth'
    page.write_text('<!DOCTYPE html><html></html>')
    with pytest.raises(SystemExit, match=r'^error: .*page\.pth is no checkpoint that torch can'):
        run(monkeypatch, trained, *command, page)
    with pytest.raises(SystemExit, match=r'^error: The checkpoint .*absent\.pth does not exist'):
        run(monkeypatch, trained, *command, tmp_path / 'absent.pth')


def test_weights_alone_cannot_be_resumed(trained, tmp_path, monkeypatch):
    weights = changed(trained, tmp_path, without_training_state)
    with pytest.raises(SystemExit, match=r'cannot be resumed: it holds no message_hub, optimizer;'):
        run(monkeypatch, trained, 'train', '--resume', weights)


def test_newest_checkpoint_is_looked_at_before_it_is_resumed(trained, tmp_path, monkeypatch):
    (tmp_path / 'work').mkdir()
    (tmp_path / 'work' / 'epoch_1.pth').write_text('cut off')
    (tmp_path / 'work' / 'last_checkpoint').write_text(str(tmp_path / 'work' / 'epoch_1.pth'))
    (tmp_path / 'config.py').write_text((trained / 'config.py').read_text())
    with pytest.raises(SystemExit, match=r'no checkpoint there is whole \(epoch_1\.pth\)'):
        run(monkeypatch, tmp_path, 'train', '--resume')


def test_a_models_own_checkpoint_fits_it_however_it_is_wrapped():
    model = MODELS.build(tiny_model())
    model.register_buffer('mask', torch.tensor([0, -float('inf')]))  # as some attention has
    tta = SegTTAModel(model)
    for wrapped in (model, tta, nn.DataParallel(model), nn.DataParallel(tta)):
        runner = SimpleNamespace(model=wrapped, optim_wrapper=None, cfg={})
        checkpoint = {'state_dict': model.state_dict()}
        StrictCheckpointHook().after_load_checkpoint(runner, checkpoint)
