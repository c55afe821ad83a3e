"""Resuming: what a checkpoint says does no harm, and the newest whole one counts."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from scenes.training import run, write_training


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A folder with a toy config, its data, and the checkpoints of two epochs."""
    folder = write_training(tmp_path_factory.mktemp('trained'))
    best = ('default_hooks.checkpoint.save_best=mIoU', 'train_cfg.val_interval=1')
    with pytest.MonkeyPatch.context() as patch:
        run(patch, folder, 'train', '--cfg-options', *best)
    return folder


@pytest.fixture
def copy(trained, tmp_path):
    """A copy of that folder, where the test may change what it likes; the config trains on."""
    folder = tmp_path / 'moved'
    shutil.copytree(trained, folder)
    return folder


def resume(patch, folder, *options, source=()):
    """Train a third epoch."""
    options = ('train_cfg.max_epochs=3', 'train_cfg.val_interval=1', *options)
    run(patch, folder, 'train', '--resume', *source, '--cfg-options', *options)


def rewrite(path, change, to=None):
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, to or path)


def log_of(folder):
    logs = folder.glob('work*/*/*.log')
    return max(logs, key=lambda path: path.stat().st_mtime).read_text()


@pytest.mark.parametrize('where', ['work/epoch_2.pth', 'elsewhere.pth'])
def test_python_in_a_checkpoint_is_not_run(copy, monkeypatch, where):
    mark = copy / 'ran'

    def change(content):
        content['meta']['config'] = f"gpu_ids = [__import__('os').mkdir({str(mark)!r})]"

    rewrite(copy / 'work' / 'epoch_2.pth', change, to=copy / where)
    resume(monkeypatch, copy, source=(where,))
    assert (copy / 'work' / 'epoch_3.pth').exists()
    assert not mark.exists()


def test_files_and_folders_that_a_checkpoint_names_stay(copy, monkeypatch):
    photos, notes = copy / 'photos', copy / 'work' / 'notes.txt'
    photos.mkdir()
    notes.touch()
    folder = copy / 'work' / 'epoch_7.pth'
    folder.mkdir()

    def change(content):
        content['message_hub']['runtime_info'].update(
            best_ckpt=str(photos), best_ckpt_mIoU=str(notes), best_ckpt_OA='notes.txt',
            best_score=-1.0, best_score_mIoU=-1.0, best_score_OA=-1.0, keep_ckpt_ids=[7, 8, 9, 10],
        )  # fmt: skip

    rewrite(copy / 'work' / 'epoch_2.pth', change)
    resume(monkeypatch, copy, 'default_hooks.checkpoint.save_best=mIoU')
    shutil.rmtree(copy / 'work' / 'epoch_3.pth', ignore_errors=True)
    resume(monkeypatch, copy, "default_hooks.checkpoint.save_best=['mIoU','OA']")
    assert photos.is_dir() and notes.exists() and folder.is_dir()


def test_a_checkpoint_from_elsewhere_removes_no_file_of_this_run(copy, monkeypatch):
    best = next((copy / 'work').glob('best_*.pth'))

    def change(content):
        info = content['message_hub']['runtime_info']
        info.update(best_ckpt=best.name, best_score=-1.0, keep_ckpt_ids=[1, 2, 3, 4])

    rewrite(copy / 'work' / 'epoch_2.pth', change, to=copy / 'elsewhere.pth')
    options = (
        'default_hooks.checkpoint.save_best=mIoU',
        'default_hooks.checkpoint.max_keep_ckpts=1',
    )
    resume(monkeypatch, copy, *options, source=('elsewhere.pth',))
    left = {path.name for path in (copy / 'work').glob('*.pth')}
    assert {'epoch_1.pth', 'epoch_2.pth', 'epoch_3.pth', best.name} <= left


def test_the_best_checkpoint_of_a_moved_folder_gives_way_to_a_better_one(copy, monkeypatch):
    best = next((copy / 'work').glob('best_*.pth'))

    def change(content):
        assert Path(content['message_hub']['runtime_info']['best_ckpt']).name == best.name
        content['message_hub']['runtime_info']['best_score'] = -1.0

    rewrite(copy / 'work' / 'epoch_2.pth', change)
    resume(monkeypatch, copy, 'default_hooks.checkpoint.save_best=mIoU')
    assert [path.name for path in (copy / 'work').glob('best_*')] == ['best_mIoU_epoch_3.pth']
    assert 'resumed epoch: 2' in log_of(copy)


@pytest.mark.parametrize('note', ['', '/absent/model.pth', None], ids=['empty', 'foreign', 'none'])
def test_the_newest_whole_checkpoint_is_resumed_whatever_the_note_says(copy, monkeypatch, note):
    newest = copy / 'work' / 'epoch_2.pth'
    os.truncate(newest, newest.stat().st_size // 2)
    if note is None:
        (copy / 'work' / 'last_checkpoint').unlink()
    else:
        (copy / 'work' / 'last_checkpoint').write_text(note)
    resume(monkeypatch, copy)
    log = log_of(copy)
    assert f'Resuming from {copy}/work/epoch_1.pth, the newest whole checkpoint there' in log
    assert 'newer, but not whole: epoch_2.pth' in log
    assert 'resumed epoch: 1' in log


def test_a_note_that_names_a_file_elsewhere_is_not_followed(trained, copy, monkeypatch):
    (copy / 'work' / 'epoch_2.pth').unlink()
    (copy / 'work' / 'last_checkpoint').write_text(f'{trained}/work/epoch_2.pth')
    resume(monkeypatch, copy)
    assert 'resumed epoch: 1' in log_of(copy)


def test_checkpoints_in_a_folder_of_their_own_are_found(copy, monkeypatch):
    (copy / 'large' / 'work').mkdir(parents=True)
    shutil.move(copy / 'work' / 'epoch_2.pth', copy / 'large' / 'work' / 'epoch_2.pth')
    resume(monkeypatch, copy, 'default_hooks.checkpoint.out_dir=large')
    assert 'resumed epoch: 2' in log_of(copy)
    assert (copy / 'large' / 'work' / 'epoch_3.pth').exists()


def test_a_work_folder_without_checkpoints_begins_anew(copy, monkeypatch):
    shutil.rmtree(copy / 'work')
    resume(monkeypatch, copy, 'train_cfg.max_epochs=1')
    assert 'has no checkpoint to resume from: the training begins' in log_of(copy)


def test_a_checkpoint_that_does_not_say_when_it_is_of_is_refused(copy, monkeypatch):
    rewrite(copy / 'work' / 'epoch_2.pth', lambda content: content['meta'].update(iter='4'))
    with pytest.raises(SystemExit, match='does not say of which epoch and iteration'):
        resume(monkeypatch, copy)
