from pathlib import Path

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope

import mobanet_mmseg  # noqa: F401  (mends the stack and registers the components)

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / 'shared'


@pytest.fixture(autouse=True)
def seeded():
    init_default_scope('mmseg')
    torch.manual_seed(0)


@pytest.fixture
def scene(tmp_path):
    """A config, a checkpoint and 37 x 53 rasters whose label map is known by hand."""
    from prediction_scene import write_scene

    return write_scene(tmp_path)


@pytest.fixture
def noise(tmp_path):
    """A scene of random pixels, 150 x 53, for a model whose logits depend on the window."""
    from rank_scene import write_noisy_scene

    return write_noisy_scene(tmp_path)


@pytest.fixture
def threads(monkeypatch):
    """Start threads in the place of processes."""
    from rank_scene import Threads

    from mobanet_mmseg.inference import ranks, together

    def start(world_size: int) -> Threads:
        made = Threads(world_size)
        for module in (ranks, together):
            monkeypatch.setattr(module, 'get_rank', made.rank)
            monkeypatch.setattr(module, 'get_world_size', lambda: world_size)
        for name in ('all_gather_object', 'broadcast_object_list'):
            monkeypatch.setattr(ranks.distributed, name, getattr(made, name))
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


def tiny_vit(**overrides) -> dict:
    """Config of a ViT of 4 blocks and 16 channels on 5 x 5 patches of 14 pixels."""
    arch = dict(embed_dims=16, num_layers=4, num_heads=2, feedforward_channels=32)
    config = dict(
        type='mmpretrain.VisionTransformer',
        arch=arch,
        img_size=70,
        patch_size=14,
        layer_scale_init_value=0.5,
    )
    return {**config, **overrides}


def tiny_model(**overrides) -> ConfigDict:
    """Config of a whole MoBaNet of toy width, 3 classes."""
    head = dict(
        type='FCNHead',
        in_channels=8,
        channels=8,
        num_convs=1,
        concat_input=False,
        num_classes=3,
        dropout_ratio=0.0,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.01, avg_non_ignore=True),
    )
    config = dict(
        type='MoBaNet',
        data_preprocessor=dict(
            type='MultimodalDataPreProcessor',
            mean=[100.0, 100.0, 100.0, 0.0],
            std=[50.0, 50.0, 50.0, 1.0],
            size_divisor=14,
            mcrm=dict(ratio=0.5),
        ),
        backbone=dict(
            type='MultimodalViT',
            encoder=tiny_vit(),
            out_indices=(0, 1, 2, 3),
            cpia=dict(prompt_dims=4, adapter_dims=4),
            allow_random_encoder=True,
        ),
        neck=dict(type='DGFMNeck', in_channels=16, out_channels=8),
        decode_head=dict(
            type='UPerHead',
            in_channels=[8] * 4,
            in_index=[0, 1, 2, 3],
            channels=8,
            num_classes=3,
            align_corners=False,
            loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
        ),
        auxiliary_head=[dict(head, in_index=4), dict(head, in_index=5)],
        train_cfg={},
        test_cfg=dict(mode='slide', crop_size=(28, 42), stride=(14, 28)),
    )
    return ConfigDict({**config, **overrides})
