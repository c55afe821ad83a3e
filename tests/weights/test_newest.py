import os

import pytest
import torch

from mobanet_mmseg.weights.newest import is_whole, last_checkpoint, newest_checkpoint


def save(folder, *numbers, at=0):
    """Write whole checkpoints of these epochs, a second from one another."""
    for second, number in enumerate(numbers, start=at):
        path = folder / f'epoch_{number}.pth'
        torch.save({'state_dict': {'weight': torch.ones(64)}}, path)
        os.utime(path, (second, second))


def cut(path):
    time = path.stat().st_mtime
    path.write_bytes(path.read_bytes()[:-100])
    os.utime(path, (time, time))


def newest(folder, named=''):
    path, broken = newest_checkpoint(folder, 'epoch_{}.pth', named)
    return path and path.name, [path.name for path in broken]


@pytest.mark.parametrize('named', ['', 'epoch_9.pth', '/moved/epoch_10.pth', '/other/model.pth'])
def test_the_highest_number_is_the_newest(tmp_path, named):
    save(tmp_path, 2, 9, 10)
    assert newest(tmp_path, named) == ('epoch_10.pth', [])


def test_a_file_that_is_cut_off_is_passed_over(tmp_path):
    save(tmp_path, 1, 2, 3)
    cut(tmp_path / 'epoch_3.pth')
    assert newest(tmp_path, str(tmp_path / 'epoch_3.pth')) == ('epoch_2.pth', ['epoch_3.pth'])
    cut(tmp_path / 'epoch_2.pth')
    (tmp_path / 'epoch_1.pth').write_bytes(b'')
    assert newest(tmp_path) == (None, ['epoch_3.pth', 'epoch_2.pth', 'epoch_1.pth'])


@pytest.mark.parametrize('named', ['', 'epoch_2.pth'])
def test_later_epochs_of_an_earlier_training_are_not_newer(tmp_path, named):
    save(tmp_path, 40, 50)
    save(tmp_path, 1, 2, at=10)
    assert newest(tmp_path, named) == ('epoch_2.pth', [])


def test_a_copy_whose_files_are_all_of_another_time_is_read_by_its_note(tmp_path):
    save(tmp_path, 15, 10, 5)  # copied in this order
    assert newest(tmp_path, '/original/epoch_15.pth') == ('epoch_15.pth', [])


def test_other_files_of_the_folder_are_no_checkpoints_of_the_training(tmp_path):
    save(tmp_path, 1)
    for name in (
        'best_mIoU_epoch_3.pth',
        'epoch_2-0a1b2c3d.pth',
        '.epoch_2.pth.7.part',
        'iter_9.pth',
    ):
        (tmp_path / name).touch()
    (tmp_path / 'epoch_4.pth').mkdir()
    assert newest(tmp_path) == ('epoch_1.pth', [])


def test_a_folder_without_checkpoints_has_none(tmp_path):
    assert newest(tmp_path) == newest(tmp_path / 'absent') == (None, [])


def test_a_changed_byte_in_the_middle_is_found(tmp_path):
    save(tmp_path, 1)
    path = tmp_path / 'epoch_1.pth'
    content = bytearray(path.read_bytes())
    content[content.index(torch.ones(64).numpy().tobytes()) + 9] ^= 1
    assert is_whole(path)
    path.write_bytes(content)
    assert not is_whole(path)


def test_the_note_of_the_newest_may_be_absent_or_no_text(tmp_path):
    assert last_checkpoint(tmp_path) == ''
    (tmp_path / 'last_checkpoint').write_bytes(b'\xff\n')
    assert last_checkpoint(tmp_path) == '\ufffd'
