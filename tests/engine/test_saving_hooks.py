import os
import time
from pathlib import Path

import pytest
from mmengine.fileio import LocalBackend
from scenes.training import run, write_training

from mobanet_mmseg.engine.runner import SafeRunner
from mobanet_mmseg.engine.saving_hooks import LEFTOVER_AGE, WholeCheckpointHook

BEST = 'default_hooks.checkpoint.save_best=OA', 'train_cfg.val_interval=1'


@pytest.fixture
def folder(tmp_path):
    return write_training(tmp_path)


def train(patch, folder, *options, keep=1):
    options = (f'default_hooks.checkpoint.max_keep_ckpts={keep}', *options)
    run(patch, folder, 'train', '--cfg-options', *options)


def checkpoints(folder):
    return sorted(path.name for path in (folder / 'work').glob('*.p*t*'))


def test_the_old_checkpoints_go_once_the_new_ones_are_written(folder, monkeypatch):
    seen = []
    put = LocalBackend.put

    def spy(self, content, path):
        seen.append(checkpoints(folder))
        put(self, content, path)

    monkeypatch.setattr(LocalBackend, 'put', spy)
    monkeypatch.setattr(WholeCheckpointHook, 'rule_map', {'greater': lambda new, old: True})
    train(monkeypatch, folder, *BEST)
    assert seen == [
        [],
        ['epoch_1.pth'],  # the best one of the first epoch; then the first epoch's, which names it
        ['best_OA_epoch_1.pth', 'epoch_1.pth'],
        ['best_OA_epoch_1.pth', 'epoch_1.pth'],
        ['best_OA_epoch_1.pth', 'epoch_2.pth'],
        ['best_OA_epoch_1.pth', 'best_OA_epoch_2.pth', 'epoch_2.pth'],
    ]
    assert checkpoints(folder) == ['best_OA_epoch_2.pth', 'epoch_2.pth']


@pytest.mark.parametrize('half', [b'', b'PK'])
def test_a_save_that_fails_leaves_the_last_checkpoint_and_nothing_else(folder, monkeypatch, half):
    train(monkeypatch, folder, 'train_cfg.max_epochs=1')

    def full(self, content, path):
        Path(path).write_bytes(half)
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(LocalBackend, 'put', full)
    with pytest.raises(SystemExit, match=r'epoch_2\.pth could not be written \(No space left'):
        run(monkeypatch, folder, 'train', '--resume')
    assert checkpoints(folder) == ['epoch_1.pth']
    assert not list((folder / 'work').glob('.*'))


def test_more_checkpoints_than_wanted_are_removed_as_a_training_resumes(folder, monkeypatch):
    train(monkeypatch, folder, keep=3)
    (folder / 'work' / 'epoch_1.pth').unlink()
    (folder / 'work' / 'epoch_1.pth').mkdir()  # somebody's folder
    train(monkeypatch, folder, 'resume=True', 'train_cfg.max_epochs=3')
    assert checkpoints(folder) == ['epoch_1.pth', 'epoch_3.pth']


def test_what_a_killed_process_left_half_written_is_removed(folder, monkeypatch):
    names = ['.epoch_2.pth.7.part', '.best_OA_epoch_1.pth.7.part', '.epoch_3.pth.8.part', '.mine']
    (folder / 'work').mkdir()
    for name in names:
        (folder / 'work' / name).touch()
    old = time.time() - 2 * LEFTOVER_AGE
    for name in (*names[:2], names[3]):
        os.utime(folder / 'work' / name, (old, old))
    train(monkeypatch, folder, 'train_cfg.max_epochs=1')
    assert sorted(path.name for path in (folder / 'work').glob('.*')) == sorted(names[2:])


@pytest.mark.parametrize('metric', ['OA', 'mF1', 'mIoU', 'mIoU_all', 'F1.car', 'IoU.car'])
def test_more_of_our_metrics_is_better(metric):
    hook = WholeCheckpointHook(save_best=metric)
    assert hook.rules == ['greater']


def test_other_storages_are_left_to_mmengine(monkeypatch):
    seen = []
    monkeypatch.setattr('mobanet_mmseg.engine.runner.get_file_backend', lambda path: object())
    monkeypatch.setattr(
        'mmengine.runner.Runner.save_checkpoint', lambda *args: seen.append(args[1:])
    )
    SafeRunner.save_checkpoint(object.__new__(SafeRunner), 's3://bucket', 'epoch_1.pth')
    assert seen == [('s3://bucket', 'epoch_1.pth')]
