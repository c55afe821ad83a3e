"""A training that stops and resumes ends in the very numbers of one that does not."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop
from mmseg.registry import HOOKS
from scenes.training import run, write_training

from mobanet_mmseg.engine.randomness_hook import RandomnessHook

# flips are in the pipeline, dropout is in the heads and adapters
SETTINGS = [
    'model.data_preprocessor.mcrm.ratio=0.5',
    'train_dataloader.sampler.num_samples=6',
    'default_hooks.checkpoint.max_keep_ckpts=-1',
]


class Stopped(BaseException):
    pass


@HOOKS.register_module()
class StopHook(Hook):
    """Stops a training before its last word, as a kill would."""

    priority = 'LOWEST'

    def __init__(self, at):
        self.at = at

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.at:
            raise Stopped


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_training(tmp_path_factory.mktemp('exact'))


def train(patch, folder, work_dir, *options, resume=False):
    command = ('train', '--work-dir', work_dir, *(['--resume'] if resume else []))
    epochs = [] if 'train_cfg._delete_=True' in options else ['train_cfg.max_epochs=3']
    run(patch, folder, *command, '--cfg-options', *SETTINGS, *epochs, *options)


def stop_and_resume(patch, folder, work_dir, *options, at):
    stop = ('default_hooks.stop.type=StopHook', f'default_hooks.stop.at={at}')
    with pytest.raises(Stopped):
        train(patch, folder, work_dir, *options, *stop)
    train(patch, folder, work_dir, *options, resume=True)


def end_of(folder, work_dir, name='epoch_3.pth'):
    return torch.load(folder / work_dir / name, weights_only=True)


def assert_same(one, other):
    torch.testing.assert_close(one['state_dict'], other['state_dict'], rtol=0, atol=0)
    states = [end['optimizer']['state'] for end in (one, other)]
    torch.testing.assert_close(*states, rtol=0, atol=0)
    assert one['optimizer']['param_groups'] == other['optimizer']['param_groups']
    assert one['param_schedulers'] == other['param_schedulers']
    first, second = (
        end['message_hub']['log_scalars']['train/loss'].data[0] for end in (one, other)
    )
    np.testing.assert_array_equal(first, second)


@pytest.fixture(scope='module')
def uninterrupted(folder):
    with pytest.MonkeyPatch.context() as patch:
        train(patch, folder, 'whole')
    return end_of(folder, 'whole')


@pytest.mark.parametrize(('at', 'options'), [
    (4, []),
    (6, ['train_cfg.val_interval=1']),
    # without workers or with some, windows and draws are the same
    (8, ['train_dataloader.num_workers=2', 'train_dataloader.persistent_workers=True']),
    (5, ['default_hooks.checkpoint.by_epoch=False', 'default_hooks.checkpoint.interval=4']),
    (7, ['default_hooks.checkpoint.by_epoch=False', 'default_hooks.checkpoint.interval=3']),
])  # fmt: skip
def test_a_resumed_training_ends_as_the_uninterrupted_one(
    folder, uninterrupted, monkeypatch, at, options
):
    work_dir = f'stopped_{at}'
    stop_and_resume(monkeypatch, folder, work_dir, *options, at=at)
    name = 'iter_9.pth' if 'by_epoch=False' in ''.join(options) else 'epoch_3.pth'
    assert_same(end_of(folder, work_dir, name), uninterrupted)


def test_a_training_by_iterations_goes_on_alike(folder, monkeypatch):
    options = ['train_cfg._delete_=True', 'train_cfg.type=IterBasedTrainLoop']
    options += ['train_cfg.max_iters=6', 'train_cfg.val_interval=4', 'log_processor.by_epoch=False']
    options += ['default_hooks.checkpoint.by_epoch=False', 'default_hooks.checkpoint.interval=2']
    train(monkeypatch, folder, 'iterations', *options)
    stop_and_resume(monkeypatch, folder, 'iterations_stopped', *options, at=5)
    ends = (end_of(folder, name, 'iter_6.pth') for name in ('iterations', 'iterations_stopped'))
    assert_same(*ends)


def test_a_training_whose_seed_was_drawn_goes_on_with_it(folder, monkeypatch):
    stop_and_resume(monkeypatch, folder, 'drawn', 'randomness.seed=None', at=4)
    end = end_of(folder, 'drawn')
    seed = end['meta']['seed']
    train(monkeypatch, folder, 'same', f'randomness.seed={seed}')
    assert_same(end, end_of(folder, 'same'))


def training(**changes):
    return SimpleNamespace(**{'seed': 7, 'epoch': 1, 'iter': 9, **changes})


def draws():
    return random.random(), np.random.random(), torch.rand(()).item()


def test_each_iteration_and_seed_draws_its_own():
    hook, seen = RandomnessHook(), []
    for changes in ({}, {'iter': 10}, {'seed': 8}, {'iter': 0, 'seed': 0}):
        hook.before_train_iter(training(**changes), 0)
        seen.append(draws())
    assert len(set(seen)) == 4
    hook.before_train_iter(training(), 0)
    assert draws() == seen[0]


class Loader(list):
    sampler, batch_size = DefaultSampler.__new__(DefaultSampler), 2


@pytest.mark.parametrize(
    ('iteration', 'told'), [(3, []), (5, ['The checkpoint is of iteration 2 of an epoch'])]
)
def test_another_sampler_begins_a_stopped_epoch_anew_and_says_so(iteration, told):
    said = []
    runner = training(
        iter=iteration,
        train_dataloader=Loader('abc'),
        train_loop=EpochBasedTrainLoop.__new__(EpochBasedTrainLoop),
        logger=SimpleNamespace(log=lambda level, text: said.append(text)),
    )
    RandomnessHook().before_train_epoch(runner)
    assert [text.split(',')[0] for text in said] == told
