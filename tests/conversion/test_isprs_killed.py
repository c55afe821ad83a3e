"""A killed conversion of an archive, run again, ends with the bytes of one that was not."""

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from scenes.archives import write_potsdam_folders, write_potsdam_zip
from scenes.folders import content
from scenes.processes import in_child

from mobanet_mmseg.conversion.isprs import convert

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def archive(tmp_path_factory):
    root = tmp_path_factory.mktemp('potsdam')
    write_potsdam_folders(root, (40, 60))
    for path in [*root.rglob('*3_11*'), *root.rglob('*3_13*')]:
        path.unlink()  # leaves one tile to train, one to test
    return write_potsdam_zip(root, tmp_path_factory.mktemp('downloads') / 'Potsdam.zip')


@pytest.fixture(scope='module')
def expected(archive, tmp_path_factory):
    """Every file of a conversion that was not disturbed."""
    out = tmp_path_factory.mktemp('converted') / 'potsdam'
    convert('potsdam', archive, out)
    return content(out)


def test_killed_at_any_moment_a_rerun_ends_with_the_same_bytes(archive, expected, tmp_path):
    start = time.perf_counter()
    in_child(lambda: convert('potsdam', archive, tmp_path / 'whole')).join()
    took = time.perf_counter() - start
    rng = random.Random(0)
    killed = 0
    for index in range(6):
        out = tmp_path / str(index)
        child = in_child(lambda out=out: convert('potsdam', archive, out))
        time.sleep(rng.uniform(0, took))
        child.kill()
        child.join()
        killed += child.exitcode == -signal.SIGKILL
        convert('potsdam', archive, out)
        assert content(out) == expected
    assert killed >= 3


def test_killed_before_and_after_each_rename_a_rerun_ends_with_the_same_bytes(
    archive, expected, tmp_path
):
    rename = Path.replace

    def stopping(out, at):
        calls = iter(range(1000))

        def replace(self, target):
            if at % 2 == 0 and next(calls) == at // 2:
                os.kill(os.getpid(), signal.SIGKILL)
            result = rename(self, target)
            if at % 2 == 1 and next(calls) == at // 2:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        Path.replace = replace  # in the child alone
        convert('potsdam', archive, out)

    # the mark twice, 2 tiles of 3 rasters, mark and statistics, and 2 splits between two marks
    for at in range(2 * (2 + 2 * 5 + 4)):
        out = tmp_path / str(at)
        child = in_child(lambda out=out, at=at: stopping(out, at))
        child.join()
        assert child.exitcode == -signal.SIGKILL
        convert('potsdam', archive, out)
        assert content(out) == expected
        shutil.rmtree(out)
