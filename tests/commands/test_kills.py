"""A killed training resumes to the end of one that was not, in whatever moment it was killed."""

import pytest
from scenes import kills


@pytest.mark.slow
def test_killed_trainings_end_as_the_one_that_was_not(tmp_path, capsys):
    assert kills.main(tmp_path, kills=4, seed=0) == ''
    assert capsys.readouterr().out.count('the same end') == 4
