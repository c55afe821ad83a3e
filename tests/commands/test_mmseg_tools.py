"""MMSegmentation's own tools on a model of two modalities: they work, or a sentence names ours."""

import json
import time
from importlib.util import find_spec

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from scenes import prediction  # noqa: F401  (registers LargestChannel)
from scenes.commands import run_tool
from scenes.rasters import read_raster
from scenes.training import write_training

from mobanet_mmseg import MultimodalInferencer
from mobanet_mmseg.datasets.isprs import ISPRSPotsdamDataset
from mobanet_mmseg.engine.mmseg_tools import find_tool

OPTICAL, HEIGHTS = '2_Ortho_RGB/top_potsdam_2_13_RGB.tif', '1_DSM/dsm_potsdam_02_13.tif'


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Folder of a toy config, its data, and a checkpoint that holds what MMEngine's do."""
    init_default_scope('mmseg')
    torch.manual_seed(0)
    folder = write_training(tmp_path_factory.mktemp('trained'))
    weights = MODELS.build(Config.fromfile(folder / 'config.py').model).state_dict()
    content = {
        'state_dict': weights,
        'meta': {'dataset_meta': ISPRSPotsdamDataset.METAINFO, 'epoch': 1, 'iter': 2},
        'optimizer': {'state': {}},
        'message_hub': {'log_scalars': {'loss': HistoryBuffer([1.0], [1])}},
    }
    torch.save(content, folder / 'model.pth')
    return folder


@pytest.fixture
def mmseg_tool(trained, monkeypatch):
    """Run a tool of MMSegmentation's from the folder."""
    monkeypatch.chdir(trained)
    monkeypatch.setenv('LOCAL_RANK', '0')  # which its tools would set for good

    def run(*words):
        run_tool(monkeypatch, 'misc/mmseg_tool.py', *words)

    return run


def test_test_writes_maps_of_which_confusion_matrix_draws_one(trained, mmseg_tool, monkeypatch):
    mmseg_tool('test', 'config.py', 'model.pth', '--work-dir', 'tested', '--out', 'maps')
    ours = MultimodalInferencer(trained / 'config.py', trained / 'model.pth', device='cpu')
    labels = ours(trained / 'data' / OPTICAL, trained / 'data' / HEIGHTS).labels
    png = read_raster(trained / 'maps' / 'top_potsdam_2_13_RGB.png')
    np.testing.assert_array_equal(png, labels)
    draw = plt.subplots
    monkeypatch.setattr(plt, 'subplots', lambda **options: draw(**{**options, 'dpi': 20}))  # of 300
    mmseg_tool('confusion_matrix', 'config.py', 'maps', 'matrix')
    assert (trained / 'matrix/confusion_matrix.png').read_bytes().startswith(b'\x89PNG')


def test_print_config_takes_our_names_and_draws_the_graph(trained, mmseg_tool, capsys):
    mmseg_tool('print_config', 'mobanet/demo.py')
    assert Config.fromfile(trained / 'example.py').model.type == 'MoBaNet'
    mmseg_tool('print_config', 'config.py', '--graph')
    assert 'MultimodalViT' in capsys.readouterr().out


def test_publish_model_reads_what_mmengine_wrote(trained, mmseg_tool):
    mmseg_tool('publish_model', 'model.pth', 'published.pth')
    for _ in range(100):  # it leaves the renaming to another process
        found = [*trained.glob('published-*.pth')]
        if found:
            break
        time.sleep(0.05)
    published = torch.load(found[0], weights_only=True)
    assert 'optimizer' not in published and 'state_dict' in published


def test_benchmark_needs_200_images(trained, mmseg_tool):
    config = Config.fromfile(trained / 'config.py')
    dataset = dict(type='RepeatDataset', times=200, dataset=config.test_dataloader.dataset)
    config.test_dataloader.dataset = dataset
    preprocessor = config.model.data_preprocessor
    config.model = dict(
        type='LargestChannel', data_preprocessor=preprocessor, test_cfg=dict(mode='whole')
    )
    config.dump(trained / 'repeated.py')
    mmseg_tool('benchmark', 'repeated.py', 'model.pth', '--work-dir', 'timed')
    (written,) = trained.glob('timed/fps_*.json')
    assert json.loads(written.read_text())['average_fps'] > 0


@pytest.mark.parametrize(
    ('words', 'sentence'),
    [
        (('get_flops', 'config.py', '--shape', '32', '48'), 'mobanet count-parameters'),
        (('misc/browse_dataset', 'config.py', '--not-show'), 'mobanet browse-dataset'),
        (('analysis_tools/browse_dataset', 'config.py', '--not-show'), 'mobanet browse-dataset'),
        (('visualization_cam', f'data/{OPTICAL}', 'config.py', 'model.pth'), 'response-maps'),
        (('pytorch2torchscript', 'config.py', '--shape', '32', '48'), 'mobanet '),
        (('mmseg2torchserve', 'config.py', 'model.pth', '--output-folder', 'ts'), 'mobanet '),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else '',
)
def test_a_tool_that_cannot_points_to_ours(mmseg_tool, words, sentence):
    with pytest.raises(SystemExit, match=f"error: MMSegmentation's .* ended with .*{sentence}"):
        mmseg_tool(*words)


def test_analyze_logs_says_what_it_needs(trained, mmseg_tool):
    (trained / 'log.json').write_text('{"loss": 0.5, "step": 1}\n')
    words = ('analyze_logs', 'log.json', '--keys', 'loss', '--out', 'loss.png')
    if find_spec('seaborn') is None:
        with pytest.raises(SystemExit, match='pip install seaborn'):
            mmseg_tool(*words)
    else:
        mmseg_tool(*words)
        assert (trained / 'loss.png').exists()


def test_tools_are_found_by_their_names(mmseg_tool, capsys):
    assert find_tool('get_flops.py') == 'analysis_tools/get_flops'
    mmseg_tool('list')
    assert {'train', 'test', 'misc/print_config'} <= set(capsys.readouterr().out.split())
    with pytest.raises(SystemExit, match=r'several tools: give analysis_tools/.* or misc/browse'):
        mmseg_tool('browse_dataset')
    with pytest.raises(SystemExit, match='has no tool get_flop; it has '):
        mmseg_tool('get_flop')
