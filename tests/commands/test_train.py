"""What docs/training.md offers, each option once on a toy."""

import pytest
import torch
from scenes.paths import ROOT
from scenes.training import run, write_training

MANUAL = (ROOT / 'docs' / 'training.md').read_text()


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_training(tmp_path_factory.mktemp('options'))


def train(patch, folder, work_dir, *documented, rest=()):
    """Train two epochs of two iterations with options of the manual, and give the checkpoint."""
    assert [option for option in documented if option not in MANUAL] == []
    samples = 'train_dataloader.sampler.num_samples=4'
    options = ('--cfg-options', samples, *documented, *rest)
    run(patch, folder, 'train', '--work-dir', work_dir, *options)
    newest = max((folder / work_dir).glob('epoch_*.pth'))
    return torch.load(newest, weights_only=True)


def test_ema_is_what_is_saved_as_the_model_with_the_trained_weights_beside_it(folder, monkeypatch):
    saved = train(monkeypatch, folder, 'ema', 'default_hooks.ema.type=EMAHook')
    name = 'decode_head.conv_seg.weight'
    averaged, trained = saved['state_dict'][name], saved['ema_state_dict'][f'module.{name}']
    assert not torch.equal(averaged, trained)


def test_clipped_gradients_are_logged_by_their_norm(folder, monkeypatch):
    saved = train(monkeypatch, folder, 'clip', 'optim_wrapper.clip_grad.max_norm=1.0')
    norms, _ = saved['message_hub']['log_scalars']['train/grad_norm'].data
    assert len(norms) == 4


def test_tensorboard_gets_the_losses(folder, monkeypatch):
    train(
        monkeypatch,
        folder,
        'board',
        'visualizer.vis_backends.0.type=TensorboardVisBackend',
        rest=['default_hooks.logger.interval=1', 'visualizer.name=board'],
    )
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (file,) = (folder / 'board').rglob('events.out.tfevents.*')
    events = EventAccumulator(str(file)).Reload()
    for told in ('loss', 'balance/gate_stage4', 'balance/grad_norm_aux'):
        assert [event.step for event in events.Scalars(told)] == [1, 2, 3, 4]


def test_a_training_that_does_not_improve_stops_early(folder, monkeypatch):
    saved = train(
        monkeypatch,
        folder,
        'stop',
        'default_hooks.stop.type=EarlyStoppingHook',
        'default_hooks.stop.monitor=mIoU',
        rest=[
            'default_hooks.stop.min_delta=100',
            'default_hooks.stop.patience=1',
            'train_cfg.max_epochs=5',
        ],
    )
    assert saved['meta']['epoch'] == 2  # the first sets the mark, the second is no better


def test_two_batches_are_one_step(folder, monkeypatch):
    saved = train(monkeypatch, folder, 'two', 'optim_wrapper.accumulative_counts=2')
    assert {int(state['step']) for state in saved['optimizer']['state'].values()} == {2}
