"""A training so small that a test can run it, through the commands that a user types."""

from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict
from scenes.commands import run_tool
from scenes.encoders import random_encoder
from scenes.paths import ROOT
from scenes.rasters import write_potsdam
from scenes.toy import toy


def write_training(folder: Path, pretrained: bool = False, encoder: dict | None = None) -> Path:
    """Write a toy config, `config.py`, and its data: two epochs of one iteration of two windows.

    A pretrained encoder, the demo's or another of its patch size, has its weights in `vit.pth`.
    """
    write_potsdam(folder / 'data', ['2_10', '2_13'])
    config = Config.fromfile(ROOT / 'configs' / 'mobanet' / 'demo.py')
    config.merge_from_dict({'model': toy(config), 'train_cfg.max_epochs': 2})
    if encoder is not None:
        config.model.backbone.encoder = ConfigDict(encoder)
    for name, tile in (('train', '2_10'), ('val', '2_13'), ('test', '2_13')):
        loader = config[f'{name}_dataloader']
        loader.update(num_workers=0, persistent_workers=False, batch_size=2)
        loader.dataset.update(data_root=str(folder / 'data'), tiles=[tile])
    config.train_dataloader.sampler.update(num_samples=2, window_size=(28, 42))
    config.val_dataloader.batch_size = config.test_dataloader.batch_size = 1
    config.work_dir = 'work'
    if pretrained:
        weights = str(folder / 'vit.pth')
        torch.save(random_encoder(config.model.backbone.encoder).vit.state_dict(), weights)
        config.model.backbone.encoder.init_cfg = dict(type='Pretrained', checkpoint=weights)
        config.model.backbone.allow_random_encoder = False
    config.dump(folder / 'config.py')
    return folder


def run(patch, folder, tool, *arguments):
    """Run tools/train.py or tools/test.py with the config of a folder, from that folder."""
    patch.chdir(folder)
    run_tool(patch, f'{tool}.py', 'config.py', *arguments)
