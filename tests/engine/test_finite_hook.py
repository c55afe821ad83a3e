from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.optim import AmpOptimWrapper
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from scenes.training import run, write_training

from mobanet_mmseg.engine.finite_hook import FiniteHook

NAN, INF = float('nan'), float('inf')


def trained(tmp_path, optim_wrapper=None, **numbers):
    """A runner in its eighth iteration, whose log has these numbers."""
    hub = MessageHub('test')
    hub.update_scalars({f'train/{name}': value for name, value in numbers.items()})
    model = torch.nn.Linear(2, 1)
    model.register_buffer('mask', torch.tensor([0.0, -INF]))
    return SimpleNamespace(
        message_hub=hub, iter=7, work_dir=tmp_path, model=model, optim_wrapper=optim_wrapper
    )


def batch(**images):
    """A batch of one-pixel images by their paths."""
    samples = [SegDataSample(metainfo=dict(img_path=path)) for path in images]
    return dict(inputs=[torch.tensor(value) for value in images.values()], data_samples=samples)


def watch(runner, data_batch, **outputs):
    FiniteHook().after_train_iter(runner, 0, data_batch, outputs)


@pytest.mark.parametrize(('value', 'said'), [(NAN, 'nan'), (INF, 'inf'), (-INF, '-inf')])
def test_a_loss_that_is_not_finite_stops_with_the_files_of_the_batch(tmp_path, value, said):
    runner = trained(tmp_path, loss=value, loss_ce=1.0, acc_seg=NAN)
    with pytest.raises(
        FloatingPointError,
        match=rf'^In iteration 8, loss is {said}; the last batch was of a, b \(largest value: 9.0, '
        r'in b\)\. The training stops, there is no checkpoint yet: ',
    ):
        watch(runner, batch(a=3.0, b=-9.0), loss=value, loss_ce=1.0, acc_seg=NAN)


def test_files_with_numbers_that_are_not_finite_are_named_alone(tmp_path):
    (tmp_path / 'last_checkpoint').write_text('work/epoch_3.pth')
    with pytest.raises(
        FloatingPointError,
        match=r'was of b, c, which hold values that are not finite\. The training stops, '
        r'work/epoch_3\.pth is the last good checkpoint',
    ):
        watch(trained(tmp_path, loss=NAN), batch(a=3.0, b=NAN, c=-INF), loss=NAN)


def test_finite_numbers_stop_nothing(tmp_path):
    watch(trained(tmp_path, loss=1e38, grad_norm=0.0), batch(a=3.0), loss=1e38)
    watch(trained(tmp_path), None)


def test_an_infinite_gradient_stops_but_where_the_loss_is_scaled(tmp_path):
    with pytest.raises(FloatingPointError, match='grad_norm is inf'):
        watch(trained(tmp_path, loss=1.0, grad_norm=INF), batch(a=3.0), loss=1.0)
    amp = object.__new__(AmpOptimWrapper)  # which needs a GPU
    watch(trained(tmp_path, amp, loss=1.0, grad_norm=INF), batch(a=3.0), loss=1.0)
    with pytest.raises(FloatingPointError, match='loss is nan'):
        watch(trained(tmp_path, amp, loss=NAN), batch(a=3.0), loss=NAN)


@pytest.mark.parametrize('value', [NAN, INF])
@pytest.mark.parametrize('mode', ['val', 'test'])
def test_logits_that_are_not_finite_are_no_class(tmp_path, mode, value):
    logits = torch.zeros(2, 5, 8)
    sample = SegDataSample(metainfo=dict(img_path='a.tif'), seg_logits=PixelData(data=logits))
    look = getattr(FiniteHook(), f'after_{mode}_iter')
    look(trained(tmp_path), 0, None, [sample, SegDataSample()])
    logits[1, 3, 4:7] = value
    place = 'rows 3 to 3, columns 4 to 6, counted from 0'
    with pytest.raises(FloatingPointError, match=rf'^a\.tif gets logits .* in {place}: look'):
        look(trained(tmp_path), 0, None, [SegDataSample(), sample])


@pytest.mark.parametrize(
    ('part', 'content', 'said'),
    [
        ('state_dict', {'weight': torch.tensor([1.0, NAN])}, 'weight'),
        ('state_dict', {'bn.running_var': torch.tensor(INF)}, 'bn.running_var'),
        ('ema_state_dict', {'module.weight': torch.tensor(-INF)}, 'module.weight'),
        ('optimizer', {'state': {3: {'exp_avg': torch.tensor(NAN)}}}, 'state.3.exp_avg'),
    ],
)
def test_nothing_that_is_not_finite_is_saved(tmp_path, part, content, said):
    hook, runner = FiniteHook(), trained(tmp_path)
    hook.before_train(runner)
    hook.before_save_checkpoint(runner, {'state_dict': runner.model.state_dict()})  # with its mask
    with pytest.raises(FloatingPointError, match=rf'^After iteration 7, {part}, {said}, holds'):
        hook.before_save_checkpoint(runner, {'state_dict': {}, part: content})


def test_a_training_that_diverges_ends_in_a_sentence_and_keeps_its_good_checkpoint(
    tmp_path, monkeypatch
):
    folder = write_training(tmp_path)
    options = ['optim_wrapper.optimizer.lr=1e30', 'param_scheduler=[]', 'train_cfg.max_epochs=9']
    options += ['default_hooks.checkpoint.max_keep_ckpts=1', 'train_cfg.val_interval=99']
    with pytest.raises(SystemExit, match=r'^error: (In|After) iteration \d.*2_10.*last good'):
        run(monkeypatch, folder, 'train', '--cfg-options', *options)
    (kept,) = (folder / 'work').glob('*.pth')
    weights = torch.load(kept, weights_only=True)['state_dict']
    assert all(value.isfinite().all() for value in weights.values())
