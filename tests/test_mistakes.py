import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import mmengine
import mmseg
import pytest
import torch
from rasterio.crs import CRS
from torch.utils.data import DataLoader, Dataset

from mobanet_mmseg import installation
from mobanet_mmseg.datasets.multimodal import refuse_twice
from mobanet_mmseg.mistakes import PACKAGE, ending_in_one_sentence


def test_what_the_package_refuses_ends_in_its_sentence():
    sentence = r"^error: split names \['a'\] more than once"
    with pytest.raises(SystemExit, match=sentence), ending_in_one_sentence():
        refuse_twice(['a', 'a'], 'split')


def test_what_the_package_finds_that_cannot_run_ends_in_its_sentence():
    refusing = compile("raise RuntimeError('No weights.')", str(PACKAGE / 'models.py'), 'exec')
    with pytest.raises(SystemExit, match='^error: No weights'), ending_in_one_sentence():
        exec(refusing)


def test_a_missing_file_ends_in_its_sentence(tmp_path):
    with pytest.raises(SystemExit, match=r'^error: .*none\.txt'), ending_in_one_sentence():
        (tmp_path / 'none.txt').read_text()


def test_what_another_library_refuses_keeps_its_traceback():
    with pytest.raises(ValueError, match='invalid literal'), ending_in_one_sentence():
        int('a')


def test_what_fails_within_the_package_keeps_its_traceback():
    failing = compile("float('a')", str(PACKAGE / 'numbers.py'), 'exec')
    with pytest.raises(ValueError, match='could not convert'), ending_in_one_sentence():
        exec(failing)


def test_what_a_library_says_of_a_files_content_ends_in_its_sentence():
    with pytest.raises(SystemExit, match='^error: The WKT could not'), ending_in_one_sentence():
        CRS.from_wkt('no place')
    with pytest.raises(SystemExit, match='^error: Expecting value'), ending_in_one_sentence():
        json.loads('no numbers')


class Twice(Dataset):
    """Fails when it is read."""

    def __getitem__(self, index):
        refuse_twice(['a', 'a'], 'split')

    def __len__(self):
        return 1


def test_what_a_loaders_worker_refuses_ends_in_its_sentence_alone():
    sentence = r"^error: split names \['a'\] more than once[^\n]*$"
    loader = DataLoader(Twice(), num_workers=1)
    with pytest.raises(SystemExit, match=sentence), ending_in_one_sentence():
        list(loader)


def test_what_another_process_refuses_ends_in_its_sentence():
    fork = multiprocessing.get_context('fork')
    with (
        pytest.raises(SystemExit, match=r"^error: split names \['a'\] more than once"),
        ending_in_one_sentence(),
        ProcessPoolExecutor(1, fork) as pool,
    ):
        pool.submit(refuse_twice, ['a', 'a'], 'split').result()


def test_a_missing_file_of_another_process_ends_in_its_sentence():
    fork = multiprocessing.get_context('fork')
    with (
        pytest.raises(SystemExit, match=r'^error: .*none\.txt'),
        ending_in_one_sentence(),
        ProcessPoolExecutor(1, fork) as pool,
    ):
        pool.submit(open, 'none.txt').result()


def test_a_lack_of_memory_says_what_to_lower():
    with pytest.raises(SystemExit, match='batch_size'), ending_in_one_sentence():
        raise torch.OutOfMemoryError('CUDA out of memory')


def test_libraries_are_known_where_they_are_not_installed_among_the_others(monkeypatch):
    monkeypatch.setattr(installation, 'get_path', lambda name: f'/nowhere/{name}')
    elsewhere = installation.find_libraries()
    for library in (mmengine, mmseg, torch):
        assert any(Path(library.__file__).is_relative_to(folder) for folder in elsewhere)
    assert not any(PACKAGE.is_relative_to(folder) for folder in elsewhere)


def test_a_gradient_without_a_fixed_order_ends_in_one_sentence():
    def backward():
        raise RuntimeError(
            'nll_loss2d_backward_cuda does not have a deterministic implementation, but you set '
            "'torch.use_deterministic_algorithms(True)'. You can turn off determinism."
        )

    sentence = '^error: nll_loss2d_backward_cuda .* on this device: leave randomness.deterministic'
    with pytest.raises(SystemExit, match=sentence), ending_in_one_sentence():
        backward()
