"""A killed training resumes to the end of one that was not, in whatever moment it was killed."""

import pytest
from scenes.commands import run
from scenes.paths import ROOT


@pytest.mark.slow
def test_killed_trainings_end_as_the_one_that_was_not(tmp_path, monkeypatch):
    monkeypatch.setenv('PYTHONPATH', f'{ROOT}:{ROOT / "tests"}')
    printed = run(ROOT / 'tests' / 'scenes' / 'kills.py', tmp_path, 4, 0, cwd=tmp_path)
    assert printed.count('the same end') == 4
