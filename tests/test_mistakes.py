import pytest

from mobanet_mmseg.datasets.multimodal import refuse_twice
from mobanet_mmseg.mistakes import ending_in_one_sentence


def test_what_the_package_refuses_ends_in_its_sentence():
    sentence = r"^error: split names \['a'\] more than once"
    with pytest.raises(SystemExit, match=sentence), ending_in_one_sentence():
        refuse_twice(['a', 'a'], 'split')


def test_a_missing_file_ends_in_its_sentence(tmp_path):
    with pytest.raises(SystemExit, match=r'^error: .*none\.txt'), ending_in_one_sentence():
        (tmp_path / 'none.txt').read_text()


def test_what_another_library_refuses_keeps_its_traceback():
    with pytest.raises(ValueError, match='invalid literal'), ending_in_one_sentence():
        int('a')
