import importlib
import pkgutil
import threading
import warnings
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import mmengine.runner.checkpoint
import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader
from mmengine.utils.dl_utils.misc import mmcv_full_available
from mmseg.registry import MODELS

from mobanet_mmseg.compat import _history_statistic, patch_stack

needs_lite = pytest.mark.skipif(mmcv_full_available(), reason='full mmcv is installed')


def test_mmseg_imports_with_its_models_and_apis():
    for name in ('models', 'apis', 'engine', 'evaluation'):
        importlib.import_module(f'mmseg.{name}')


@needs_lite
def test_compiled_op_raises_an_error_that_names_it():
    from mmcv.ops import sigmoid_focal_loss

    with pytest.raises(RuntimeError, match='sigmoid_focal_loss_forward.*full mmcv'):
        sigmoid_focal_loss(torch.rand(2, 3), torch.tensor([0, 1]))


@needs_lite
def test_mmcv_lite_is_still_known_to_be_lite():
    patch_stack()
    assert not mmcv_full_available()


@needs_lite
def test_mmcv_lite_is_known_to_be_lite_where_python_has_no_find_loader(monkeypatch):
    monkeypatch.delattr(pkgutil, 'find_loader', raising=False)
    patch_stack()
    assert not mmcv_full_available()
    assert pkgutil.find_loader('json').name == 'json'
    assert pkgutil.find_loader('nothing_of_this_name') is None


def test_what_mmengine_writes_loads_with_weights_only(tmp_path):
    history = HistoryBuffer([1.0, 3.0], [1, 1])
    content = {
        'message_hub': {'log_scalars': {'loss': history}},
        'values': [np.float64(0.5), np.int64(3), np.array([1.5, 2.5]), np.array([True])],
    }
    torch.save(content, tmp_path / 'checkpoint.pth')

    loaded = torch.load(tmp_path / 'checkpoint.pth', weights_only=True)

    assert loaded['message_hub']['log_scalars']['loss'].mean() == 2.0
    assert loaded['values'][0] == 0.5
    np.testing.assert_array_equal(loaded['values'][2], [1.5, 2.5])


class Thief:
    """Pickles as getattr(HistoryBuffer, '__init__')."""

    def __reduce__(self):
        return getattr, (HistoryBuffer, '__init__')


def test_checkpoint_that_asks_for_other_attributes_does_not_load(tmp_path):
    torch.save({'history': Thief()}, tmp_path / 'evil.pth')
    with pytest.raises(Exception, match='only the statistics'):
        torch.load(tmp_path / 'evil.pth', weights_only=True)


@pytest.mark.parametrize('owner', [HistoryBuffer, str, torch])
def test_stand_in_for_getattr_gives_nothing_but_statistics(owner):
    assert _history_statistic(HistoryBuffer, 'mean') is HistoryBuffer.mean
    with pytest.raises(ValueError, match='do not load it'):
        _history_statistic(owner, '__class__')


class RunsCode:
    def __reduce__(self):
        return print, ('this must never be printed',)


@pytest.fixture
def address(tmp_path, monkeypatch):
    """Address of a folder on this machine; what is fetched goes to a folder of the test."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    (tmp_path / 'served').mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / 'served'))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


def test_checkpoint_from_an_address_loads_but_runs_no_code(address, tmp_path, capsys):
    torch.save({'state_dict': {'weight': torch.ones(2)}}, tmp_path / 'served' / 'good.pth')
    torch.save({'state_dict': RunsCode()}, tmp_path / 'served' / 'evil.pth')
    loaded = CheckpointLoader.load_checkpoint(f'{address}/good.pth')
    assert torch.equal(loaded['state_dict']['weight'], torch.ones(2))
    with pytest.raises(Exception, match='weights_only'):
        CheckpointLoader.load_checkpoint(f'{address}/evil.pth')
    assert 'never' not in capsys.readouterr().out


@pytest.mark.parametrize(
    'backbone',
    [
        dict(type='ResNetV1c', depth=18, base_channels=4, stem_channels=4),
        dict(type='SwinTransformer', embed_dims=8, depths=[1] * 4, num_heads=[1] * 4),
    ],
    ids=lambda backbone: backbone['type'],
)
def test_a_stock_backbone_without_network_says_which_file_to_put_where(
    backbone, tmp_path, monkeypatch
):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    address = 'http://127.0.0.1:9/swin.pth'  # the discard port: nothing listens
    model = MODELS.build(dict(backbone, init_cfg=dict(type='Pretrained', checkpoint=address)))
    with pytest.raises(
        FileNotFoundError,
        match=r'weight file http.*cannot be fetched .*hub/checkpoints/\w{16}/swin\.pth, or begin',
    ):
        model.init_weights()


def test_the_loader_of_mmengines_fork_runs_no_code(tmp_path, capsys):
    torch.save({'state_dict': RunsCode()}, tmp_path / 'evil.pth')
    with pytest.raises(Exception, match='weights_only'):
        mmengine.runner.checkpoint._safe_torch_load(tmp_path / 'evil.pth', map_location='cpu')
    assert 'never' not in capsys.readouterr().out


def test_mmseg_does_not_warn_of_its_own_calls():
    with warnings.catch_warnings(record=True) as caught:
        warnings.resetwarnings()
        patch_stack()
        MODELS.build(dict(type='FCNHead', in_channels=4, channels=4, num_classes=3))
        warnings.warn('another one', stacklevel=1)
    said = [str(warning.message) for warning in caught]
    assert not any('build_loss' in text for text in said)
    assert said[-1] == 'another one'
