"""A training with LoRA: what it saves, what is predicted with it, and its streams as plain ViTs."""

import pytest
import torch
from mmengine.config import Config
from scenes.commands import run_tool
from scenes.encoders import run as run_encoder
from scenes.training import run, write_training

from mobanet_mmseg.inference.trained import load_segmentor
from mobanet_mmseg.models.frozen_streams import build_encoder

CHECKPOINT, TOOL = 'work/epoch_2.pth', 'model_converters/merge_lora.py'


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A folder with a training of two epochs, in bf16 and with checkpointed activations."""
    folder = write_training(tmp_path_factory.mktemp('trained'), pretrained=True)
    config = Config.fromfile(folder / 'config.py')
    config.model.backbone.update(cpia=None, with_cp=True, adapter=dict(type='LoRA', rank=2))
    config.optim_wrapper.optimizer.lr = 0.1
    config.dump(folder / 'config.py')
    with pytest.MonkeyPatch.context() as patch:
        run(patch, folder, 'train', '--amp', 'bf16')
    return folder


def saved(path):
    return torch.load(path, weights_only=True)['state_dict']


def test_a_checkpoint_leaves_the_encoder_out_and_merged_it_is_whole(trained, monkeypatch):
    part = saved(trained / CHECKPOINT)
    assert 'backbone.encoder.fingerprint' in part
    assert not any('encoder.vit.' in name for name in part)
    assert all(part[f'backbone.adapter.updates.0.{name}'].any() for name in ('down', 'up'))
    monkeypatch.chdir(trained)
    run_tool(monkeypatch, 'misc/merge_checkpoint.py', 'config.py', CHECKPOINT, 'whole.pth')
    whole = saved('whole.pth')
    assert whole.keys() - part.keys() == {
        f'backbone.encoder.vit.{name}' for name in torch.load('vit.pth', weights_only=True)
    }
    inputs = torch.rand(1, 4, 24, 40)
    with torch.no_grad():
        logits = [load_segmentor('config.py', file)(inputs) for file in (CHECKPOINT, 'whole.pth')]
    assert torch.equal(*logits)


def test_a_streams_file_gives_its_features_without_an_adapter(trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    backbone = load_segmentor('config.py', CHECKPOINT).backbone
    config = Config.fromfile('config.py').model.backbone.encoder
    inputs = torch.rand(2, 4, 24, 40)
    with torch.no_grad():
        updated = backbone(inputs)
    images = dict(rgb=inputs[:, :3], aux=inputs[:, 3:].repeat(1, 3, 1, 1))
    for stream, (name, image) in enumerate(images.items()):
        run_tool(monkeypatch, TOOL, 'config.py', CHECKPOINT, f'{name}.pth', '--stream', name)
        said = capsys.readouterr().out
        assert f'{name}.pth: a ViT without layer scale of 4 blocks, 16 channels' in said
        assert f', updated for {name}; the licence of its weights is Apache-2.0' in said
        config.init_cfg.checkpoint = f'{name}.pth'
        encoder = build_encoder(config)
        encoder.init_weights()
        merged = run_encoder(encoder, image, backbone.out_indices)
        for given, expected in zip(merged, updated[stream], strict=True):
            assert (given - expected).abs().max() <= 1e-6 * expected.abs().max()


def test_what_cannot_be_merged_is_said_in_a_sentence(trained, monkeypatch):
    monkeypatch.chdir(trained)
    arguments = (TOOL, 'config.py', CHECKPOINT, 'out.pth', '--stream', 'rgb', '--cfg-options')
    with pytest.raises(SystemExit, match=r'^error: work/epoch_2.pth does not fit the config: '):
        run_tool(monkeypatch, *arguments, 'model.backbone.adapter=None')
    adapter = 'model.backbone.adapter.rank=3'
    with pytest.raises(SystemExit, match=r'adapter.updates.0.down \(2, 2, 2, 16\) for \(2, 2, 3'):
        run_tool(monkeypatch, *arguments, adapter)
    assert not (trained / 'out.pth').exists()


def test_the_weight_file_of_the_encoder_is_not_written_over(trained, monkeypatch):
    monkeypatch.chdir(trained)
    before = (trained / 'vit.pth').read_bytes()
    refused = r'^error: vit.pth would be written over .*vit.pth, which is read'
    with pytest.raises(SystemExit, match=refused):
        run_tool(monkeypatch, TOOL, 'config.py', CHECKPOINT, 'vit.pth', '--stream', 'rgb')
    with pytest.raises(SystemExit, match=refused):
        run_tool(monkeypatch, 'misc/merge_checkpoint.py', 'config.py', CHECKPOINT, 'vit.pth')
    assert (trained / 'vit.pth').read_bytes() == before
