import re

import pytest
from scenes.training import run, write_training

from mobanet_mmseg.engine.aux_gain_hook import idle_modality


@pytest.mark.parametrize(
    ('both', 'alone', 'idle'),
    [(85.1, 85.3, True), (85.1, 85.05, True), (85.1, 84.9, False), (85.1, 60.0, False)],
)
def test_a_modality_is_idle_if_it_brings_less_than_a_tenth_of_a_point(both, alone, idle):
    said = idle_modality({'OA': 1, 'mIoU': both}, {'OA': 90, 'mIoU': alone}, 'rgb')
    assert (said is not None) == idle
    if idle:
        assert said.startswith(f'mIoU is 85.10 with both modalities and {alone:.2f} with rgb alone')
        assert 'no better with its auxiliary image' in said
        assert '\n' not in said


def test_the_optical_image_may_be_idle_too_and_other_metrics_say_nothing():
    assert 'its optical image' in idle_modality({'a/mIoU': 50}, {'a/mIoU': 50}, 'aux')
    assert idle_modality({'OA': 50}, {'OA': 50}, 'rgb') is None


def test_the_last_validation_is_repeated_with_rgb_alone(tmp_path, monkeypatch):
    """What is said are the scores of the saved model, which are those of the averaged weights."""
    write_training(tmp_path)
    train = ['train_cfg.val_interval=1', 'optim_wrapper.optimizer.lr=0.5']
    train.append('default_hooks.ema.type=EMAHook')
    run(monkeypatch, tmp_path, 'train', '--cfg-options', *train)
    (log,) = (tmp_path / 'work').rglob('*.log')
    text = log.read_text()
    ((both, alone),) = re.findall(r'of mIoU: ([\d.]+) with both, ([\d.]+) with rgb alone', text)
    assert text.count('per class results') == 3  # two epochs and the repetition
    assert text.count('Epoch(val)') == 2
    for modality, expected in (('both', both), ('rgb', alone)):
        work, option = f'test_{modality}', f'model.data_preprocessor.modality={modality}'
        last = 'work/epoch_2.pth', '--work-dir', work
        run(monkeypatch, tmp_path, 'test', *last, '--cfg-options', option)
        (log,) = (tmp_path / work).rglob('*.log')
        assert re.findall(r' mIoU: ([\d.]+)', log.read_text())[-1] == f'{float(expected):.4f}'


def test_it_is_left_out_where_that_is_asked_for(tmp_path, monkeypatch):
    write_training(tmp_path)
    options = ['default_hooks.aux_gain.compare=False', 'train_cfg.val_interval=2']
    run(monkeypatch, tmp_path, 'train', '--cfg-options', *options)
    (log,) = (tmp_path / 'work').rglob('*.log')
    assert log.read_text().count('per class results') == 1
