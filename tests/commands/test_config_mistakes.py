"""A mistake in a config ends in one sentence that names it; a bug keeps its traceback."""

import mmengine.config.config
import mmengine.runner.runner
import numpy as np
import pytest
import torch
from mmseg.registry import MODELS
from scenes.commands import run_tool
from scenes.training import write_training


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_training(tmp_path_factory.mktemp('training'))


@pytest.fixture
def train(folder, monkeypatch):
    """Run tools/train.py in the folder of a config."""
    monkeypatch.chdir(folder)
    # what a runner logs before it builds anything takes longer than all else here
    monkeypatch.setattr(mmengine.runner.runner, 'collect_env', dict)
    monkeypatch.setattr(mmengine.config.config, 'FormatCode', lambda text, **options: (text, True))

    def run(*words):
        run_tool(monkeypatch, 'train.py', *words)

    return run


def sentence(run, *words) -> str:
    """What a command ends with."""
    with pytest.raises(SystemExit) as ended:
        run(*words)
    return str(ended.value.code)


@pytest.mark.parametrize(
    ('option', 'said'),
    [
        (
            'model.backbone.adaptr=1',
            "config.py, model.backbone: MultimodalViT takes no 'adaptr': is 'adapter' meant?",
        ),
        ('model.necc=1', "config.py, model: MoBaNet takes no 'necc': is 'neck' meant?"),
        (
            'model.backbone.type=MultimodalVit',
            "model.backbone: nothing is registered as 'MultimodalVit' among the models: is "
            "'MultimodalViT' meant?",
        ),
        (
            'model.backbone.adapter=LoRA',
            "model.backbone: adapter is 'LoRA', but MultimodalViT.__init__ takes None or a dict.",
        ),
        ('model.backbone=ViT', "config.py: model.backbone is 'ViT', where settings belong"),
        ('model.backbone.encoder.arch.num_heads=5', 'whose embed_dims its num_heads do not divide'),
        (
            'model.decode_head.loss_decode.los_weight=1',
            "takes no 'los_weight': is 'loss_weight' meant?",
        ),
        ('model.auxiliary_head.7.in_index=4', 'has no place for model.auxiliary_head.7.in_index=4'),
        ('train_dataloader.batch_size=0', 'train_dataloader.batch_size is 0: give'),
        ('default_hooks.logger.type=LogHook', "is 'LoggerHook' meant?"),
        ('default_hooks.mine.a=1', 'default_hooks.mine: it says no type'),
        ('launcher=pytorch', '--launcher pytorch finds no RANK'),
        ('train_dataloader.batch_size=many', 'train_dataloader.batch_size is many: give'),
        ('train_dataloader.dataset=None', 'train_dataloader.dataset is None, where a dataset'),
        ('model.test_cfg.crop_size=5', 'test_cfg has crop_size=5: give it as (height, width)'),
        ('model.test_cfg.mode=tiles', "model.test_cfg.mode is 'tiles': give 'slide' or 'whole'"),
        ('log_level=LOUD', 'config.py: KeyError: LOUD'),
        ('randomness.seed=abc', 'config.py: TypeError: Cannot cast'),
        ('default_scope=mmsegg', "it is in another scope, correct default_scope (here 'mm"),
    ],
)
def test_a_wrong_setting_is_named_in_one_sentence(train, option, said):
    found = sentence(train, 'config.py', '--cfg-options', option)
    assert found.startswith('error: ')
    assert said in found


@pytest.mark.parametrize(
    ('option', 'said'),
    [
        (
            'optim_wrapper.optimizer.type=AdmW',
            "optim_wrapper.optimizer.type is 'AdmW', which is no",
        ),
        (
            'optim_wrapper.optimizer.lr=fast',
            "optim_wrapper.optimizer: AdamW: TypeError: '<=' not supported",
        ),
        (
            'model.decode_head.in_channels=[1,2,3,4]',
            'the layer decode_head.lateral_convs.0.conv of the model is built for 1 channels, and '
            '8 come',
        ),
    ],
)
def test_what_shows_only_when_training_starts_is_named_too(train, option, said):
    assert said in sentence(train, 'config.py', '--cfg-options', option)


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('model = dict(\n', "'(' was never closed"),
        ('a = b + 1\n', 'line 2 of '),
        ("_base_ = ['none.py']\n", 'none.py does not exist, which it names'),
        ("custom_imports = dict(imports=['no_module'])\n", "No module named 'no_module'"),
        ("default_hooks = [dict(type='LoggerHook')]\n", 'default_hooks is a list'),
        ('model = dict(neck=dict(_delete_=True, a=1))\n', 'model.neck: it says no type'),
    ],
)
def test_a_file_that_is_no_config_is_named_with_the_line(train, folder, text, said):
    base = '' if '_base_' in text else "_base_ = ['config.py']\n"
    (folder / 'mine.py').write_text(base + text)
    found = sentence(train, 'mine.py')
    assert found.startswith('error: mine.py')
    assert said in found


def test_other_files_are_no_configs(train, folder):
    torch.save({}, folder / 'model.pth')
    assert 'model.pth is no config' in sentence(train, 'model.pth')
    assert 'data is neither a file nor a config' in sentence(train, 'data')


def test_a_bug_of_the_package_keeps_its_traceback(train, monkeypatch):
    monkeypatch.setattr('mobanet_mmseg.models.dgfm.DGFM', lambda *_: {}['bug'])  # fails within ours
    with pytest.raises(KeyError, match='bug'):
        train('config.py')


@MODELS.register_module()
class BrokenNeck(torch.nn.Module):
    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = {}[scale]


@MODELS.register_module()
class MisspeltNeck(torch.nn.Module):
    def __init__(self, scale: int) -> None:
        super().__init__()
        torch.nn.Identity.forward(self, scale=scale)  # which takes no scale


@MODELS.register_module()
class ForgetfulNeck(torch.nn.Module):
    def __init__(self, scale: int) -> None:
        super().__init__()
        MODELS.build(dict(type='DGFMNeck', in_channels=scale))  # without out_channels


@MODELS.register_module()
class DividingNeck(torch.nn.Module):
    def __init__(self, scale: int) -> None:
        super().__init__()
        with np.errstate(all='raise'):
            self.scale = np.float64(scale) / np.float64(0)


@pytest.mark.parametrize(
    ('kind', 'error', 'said'),
    [
        ('BrokenNeck', KeyError, '1'),
        ('MisspeltNeck', TypeError, 'scale'),
        ('ForgetfulNeck', TypeError, 'out_channels'),
        ('DividingNeck', FloatingPointError, 'divide by zero'),
    ],
)
def test_a_bug_of_the_users_own_class_keeps_its_traceback(train, folder, kind, error, said):
    neck = f"model = dict(neck=dict(_delete_=True, type='{kind}', scale=1))\n"
    (folder / 'mine.py').write_text("_base_ = ['config.py']\n" + neck)
    with pytest.raises(error, match=said):
        train('mine.py')


def test_the_traceback_comes_where_it_is_asked_for(train, monkeypatch):
    monkeypatch.setenv('MOBANET_TRACEBACK', '1')
    with pytest.raises(TypeError, match='adaptr'):
        train('config.py', '--cfg-options', 'model.backbone.adaptr=1')
