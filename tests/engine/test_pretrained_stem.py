import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmseg.registry import DATASETS, MODELS

from mobanet_mmseg.engine.pretrained_stem import PretrainedStemHook

RESNET = dict(
    type='ResNetV1c', depth=18, base_channels=4, stem_channels=4, norm_cfg=dict(type='BN')
)
SWIN = dict(
    type='SwinTransformer', embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window_size=3
)
MIT = dict(
    type='MixVisionTransformer', embed_dims=8, num_layers=[1, 1, 1, 1], num_heads=[1, 1, 2, 2]
)
MSCAN = dict(
    type='StackedMSCAN',
    in_channels=3,
    embed_dims=[8, 8, 16, 16],
    mlp_ratios=[2] * 4,
    depths=[1] * 4,
    norm_cfg=dict(type='BN'),
)
CONVNEXT = dict(
    type='mmpretrain.ConvNeXt',
    arch=dict(depths=[1, 1, 1, 1], channels=[8, 8, 8, 8]),
    out_indices=(0, 1, 2, 3),
    gap_before_final_norm=False,
)
BACKBONES = [RESNET, SWIN, MIT, MSCAN, CONVNEXT]
STEMS = {
    'ResNetV1c': 'stem.0.weight',
    'SwinTransformer': 'patch_embed.projection.weight',
    'MixVisionTransformer': 'layers.0.0.projection.weight',
    'StackedMSCAN': 'patch_embed1.proj.0.weight',
    'mmpretrain.ConvNeXt': 'downsample_layers.0.0.weight',
}
every_backbone = pytest.mark.parametrize('backbone', BACKBONES, ids=lambda b: b['type'])


def stand(backbone, **dataset):
    """A runner, as far as the hook looks at it, before the training of a backbone."""
    model = torch.nn.Module()
    model.backbone = MODELS.build(backbone)
    data = dict(type='MultimodalSegDataset', metainfo=dict(classes=('a', 'b')), lazy_init=True)
    return SimpleNamespace(
        model=model,
        optim_wrapper=OptimWrapper(torch.optim.SGD([torch.zeros(1)], lr=0.1)),
        train_dataloader=SimpleNamespace(dataset=DATASETS.build({**data, **dataset})),
        logger=logging.getLogger('stem'),
    )


def pretrain(backbone, folder):
    """The backbone for colour images, its weights in a file, and the config that reads them."""
    plain = MODELS.build(backbone)
    path = folder / 'pretrained.pth'
    torch.save(dict(state_dict=plain.state_dict()), path)
    init_cfg = dict(type='Pretrained', checkpoint=str(path))
    return plain, dict(backbone, in_channels=4, init_cfg=init_cfg)


def initialise(runner, hook):
    hook.before_run(runner)
    runner.model.backbone.init_weights()
    hook.before_train(runner)
    return runner.model.backbone


@every_backbone
def test_early_fusion_begins_as_the_pretrained_network_whatever_the_height(
    backbone, tmp_path, caplog
):
    plain, config = pretrain(backbone, tmp_path)
    runner = stand(config)
    with caplog.at_level(logging.INFO, 'stem'):
        fused = initialise(runner, PretrainedStemHook())
    plain.eval()
    fused.eval()
    stacked = torch.rand(1, 4, 64, 96)
    for given, expected in zip(fused(stacked), plain(stacked[:, :3]), strict=True):
        torch.testing.assert_close(given, expected)
    stem = STEMS[backbone['type']].removesuffix('.weight')
    assert f'backbone.{stem} takes 4 channels and its pretrained weights 3' in caplog.text
    assert 'the others begin as zero' in caplog.text


@every_backbone
def test_the_new_channel_learns(backbone, tmp_path):
    fused = initialise(stand(pretrain(backbone, tmp_path)[1]), PretrainedStemHook())
    sum(given.square().mean() for given in fused(torch.rand(2, 4, 64, 96))).backward()
    assert fused.get_parameter(STEMS[backbone['type']]).grad[:, 3].abs().max() > 0


def test_the_mean_over_the_pretrained_channels_is_given_if_asked_for(tmp_path):
    plain, config = pretrain(RESNET, tmp_path)
    fused = initialise(stand(config), PretrainedStemHook(new_channels='mean'))
    given, expected = fused.stem[0].weight, plain.stem[0].weight
    torch.testing.assert_close(given[:, :3], expected)
    torch.testing.assert_close(given[:, 3], expected.mean(dim=1))


def test_ten_auxiliary_bands_are_ten_new_channels(tmp_path):
    _, config = pretrain(RESNET, tmp_path)
    runner = stand(dict(config, in_channels=13), aux_bands=tuple(range(1, 11)))
    fused = initialise(runner, PretrainedStemHook())
    assert not fused.stem[0].weight[:, 3:].any()


def test_weights_of_as_many_channels_stay_as_they_are(tmp_path):
    plain = MODELS.build(dict(RESNET, in_channels=4))
    torch.save(plain.state_dict(), tmp_path / 'four.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'four.pth'))
    runner = stand(dict(RESNET, in_channels=4, init_cfg=init_cfg))
    fused = initialise(runner, PretrainedStemHook())
    assert torch.equal(fused.stem[0].weight, plain.stem[0].weight)


def test_the_optical_image_alone_is_left_to_mmengine(tmp_path, caplog):
    plain, config = pretrain(RESNET, tmp_path)
    runner = stand(dict(config, in_channels=3), data_prefix=dict(aux_path=None))
    with caplog.at_level(logging.INFO, 'stem'):
        alone = initialise(runner, PretrainedStemHook())
    assert torch.equal(alone.stem[0].weight, plain.stem[0].weight)
    assert not caplog.text


def test_nothing_is_widened_after_the_training_began(tmp_path):
    _, config = pretrain(RESNET, tmp_path)
    runner, hook = stand(config), PretrainedStemHook()
    fused = initialise(runner, hook)
    three = MODELS.build(RESNET).state_dict()
    with pytest.raises(RuntimeError, match='size mismatch'):
        fused.load_state_dict(three)


def test_new_channels_that_would_stay_zero_are_refused(tmp_path):
    _, config = pretrain(RESNET, tmp_path)
    frozen = dict(config, frozen_stages=1)
    with pytest.raises(ValueError, match=r"backbone\.stem\.0 is frozen.*new_channels='mean'"):
        initialise(stand(frozen), PretrainedStemHook())
    initialise(stand(frozen), PretrainedStemHook(new_channels='mean'))


def test_another_word_is_refused():
    with pytest.raises(ValueError, match="new_channels='random'; it is 'zeros' or 'mean'"):
        PretrainedStemHook(new_channels='random')
