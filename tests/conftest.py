import gc
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import mmengine.config.config
import mmengine.runner.loops
import pytest
import torch
import torch.utils.data
from mmengine.registry import init_default_scope
from scenes.paths import SHARED

import mobanet_mmseg  # noqa: F401  (patches the stack and registers the components)

# bits are compared, which a GPU does not repeat: CUDA_VISIBLE_DEVICES=0 runs the tests on one
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '')
# the runner lays its config out four times, which takes longer than a toy's training
mmengine.config.config.FormatCode = lambda text, **options: (text, True)
# a loop of iterations sleeps two seconds before each epoch; the workers of a loader whose training
# was stopped are waited for, five seconds each
mmengine.runner.loops.time = SimpleNamespace(sleep=lambda seconds: None)
torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL = 0.2


def pytest_collection_modifyitems(config, items):
    """Where processes share the files, begin with those of the most slow tests."""
    if hasattr(config, 'workerinput'):
        slow = Counter(item.path for item in items if item.get_closest_marker('slow'))
        items.sort(key=lambda item: -slow[item.path])


def pytest_collection_finish():
    gc.collect()
    gc.freeze()  # MMEngine collects garbage for each dataset, and imports and tests are none


@pytest.fixture(autouse=True)
def seeded():
    init_default_scope('mmseg')
    torch.manual_seed(0)


@pytest.fixture
def open_folder():
    """A folder that every user may enter; those of pytest are root's alone if root runs it."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def scene(tmp_path):
    """A config, a checkpoint and 37 x 53 rasters whose label map is known by hand."""
    from scenes.prediction import write_scene

    return write_scene(tmp_path)


@pytest.fixture
def tiny(tmp_path):
    """Paths of a toy MoBaNet, its pair of 61 x 95 pixels, and what its network gets of them."""
    from scenes.inferencer import write_tiny_scene

    return write_tiny_scene(tmp_path)


@pytest.fixture
def many(scene):
    """Folders of three pairs a, b and c, each the scene's; b's optical raster is no raster."""
    from scenes.predict_command import write_many

    return write_many(scene)


@pytest.fixture
def data(tmp_path):
    """A folder with three tiles, a, b and c, that are right in everything."""
    from scenes.checked_tiles import write_tile

    for seed, stem in enumerate('abc'):
        write_tile(tmp_path, stem, seed)
    return tmp_path


@pytest.fixture
def noise(tmp_path):
    """A scene of random pixels, 150 x 53, for a model whose logits depend on the window."""
    from scenes.distributed import write_noisy_scene

    return write_noisy_scene(tmp_path)


@pytest.fixture
def threads(monkeypatch):
    """Start threads in the place of processes."""
    from scenes.distributed import Threads

    from mobanet_mmseg.inference import distributed

    def start(world_size: int) -> Threads:
        made = Threads(world_size)
        monkeypatch.setattr(distributed, 'get_rank', made.rank)
        monkeypatch.setattr(distributed, 'get_world_size', lambda: world_size)
        for name in ('all_gather_object', 'broadcast_object_list'):
            monkeypatch.setattr(distributed.distributed, name, getattr(made, name))
        return made

    return start


@pytest.fixture
def shared():
    """Find a file beside the repository, or skip the test with the reason."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f'reference file {name} is not beside the repository')
        return path

    return find
