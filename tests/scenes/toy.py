"""Shrinks the model of any config to toy size: same parts, same wiring, few channels and blocks."""

from copy import deepcopy
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner

EMBED_DIMS = 16
WIDTH = 8  # channels of necks and heads
VGG_STREAMS = ('SegNet', 'FuseNet', 'VFuseNet', 'CMFNet')

# MMSeg's backbones: channels of each map, and the settings that give them
STOCK = dict(
    UNet=([WIDTH * multiple for multiple in (16, 8, 4, 2, 1)], dict(base_channels=WIDTH)),
    MixVisionTransformer=(
        [WIDTH, WIDTH, 2 * WIDTH, 2 * WIDTH],
        dict(embed_dims=WIDTH, num_layers=[1, 1, 1, 1], num_heads=[1, 1, 2, 2]),
    ),
    StackedMSCAN=(
        [WIDTH, WIDTH, 2 * WIDTH, 2 * WIDTH],
        dict(embed_dims=[8, 8, 16, 16], mlp_ratios=[2, 2, 2, 2], depths=[1, 1, 1, 1]),
    ),
)


def toy(config: Config) -> ConfigDict:
    """Give the toy-sized model of a config; its encoder is random, its windows are small."""
    model = deepcopy(config.model)
    model.pop('pretrained', None)
    widths = shrink_backbone(model.backbone)
    if model.decode_head.type == 'MAResUNetHead':  # queries of one channel would learn nothing
        model.backbone.base_channels = 2 * WIDTH
        widths = [2 * width for width in widths]
    necks = model.get('neck') or []
    for neck in necks if isinstance(necks, list) else [necks]:
        widths = shrink_neck(neck, widths)
    heads = model.get('auxiliary_head') or []
    for head in [model.decode_head, *(heads if isinstance(heads, list) else [heads])]:
        shrink_head(head, widths)
    if model.test_cfg.mode == 'slide':
        model.test_cfg.update(crop_size=(28, 42), stride=(20, 30))
    if model.data_preprocessor.get('size') is not None:
        model.data_preprocessor.size = (48, 64)
    return model


def shrink_backbone(backbone: ConfigDict) -> list[int]:
    """Shrink a backbone in place; returns the channels of each of its maps."""
    kind = backbone.type
    backbone.pop('init_cfg', None)
    if kind in STOCK:
        widths, settings = STOCK[kind]
        backbone.update(settings)
        return widths
    if kind == 'TwoStream':
        (backbone.get('aux') or {}).pop('init_cfg', None)
        return shrink_backbone(backbone.backbone)
    if kind == 'ABCNet':
        backbone.update(channels=2 * WIDTH, spatial_channels=4)
        backbone.context_channels = shrink_backbone(backbone.backbone)[1:]
        return [4 * WIDTH, 2 * WIDTH, 2 * WIDTH]
    if kind == 'SixLevelResNet':
        backbone.update(depth=18, base_channels=WIDTH, stem_channels=WIDTH)
        return [WIDTH, *(WIDTH * 2**stage for stage in (0, 1, 2, 3, 3))]
    if kind.startswith('ResNet'):
        backbone.update(depth=18, base_channels=WIDTH, stem_channels=WIDTH)
        return [WIDTH * 2**stage for stage in backbone.out_indices]
    if kind in ('SwinTransformer', 'DCSwin'):
        backbone.update(
            embed_dims=WIDTH, depths=(2, 1, 1, 1), num_heads=(1, 1, 2, 2), window_size=3
        )
        return [WIDTH * 2**stage for stage in backbone.get('out_indices', (0, 1, 2, 3))]
    if kind in VGG_STREAMS:
        backbone.update(base_channels=WIDTH)
        return [WIDTH * multiple for multiple in (1, 2, 4, 8, 8)]
    if kind == 'FTransUNet':
        backbone.update(img_size=80, base_channels=64, depths=(1, 1, 1), embed_dims=EMBED_DIMS)
        backbone.update(num_layers=2, num_heads=2, mutual_layers=(1, 1))
        return [64, 256, 512, EMBED_DIMS]
    if kind == 'MANet':
        shrink_encoder(backbone.encoder, 2)
        backbone.encoder.neck_channels = 16 * WIDTH  # of 16 one channel decides
        backbone.allow_random_encoder = True
        return [16 * WIDTH] * 4
    stages = len(backbone.out_indices)
    shrink_encoder(backbone.encoder, stages)
    backbone.update(allow_random_encoder=True, out_indices=tuple(range(stages)))
    if backbone.get('adapter') is not None:
        backbone.adapter.rank = 2
    for width in ('prompt_dims', 'adapter_dims'):
        if backbone.get('cpia') is not None and backbone.cpia.get(width) is not None:
            backbone.cpia[width] = 4
    return [EMBED_DIMS] * stages


def shrink_encoder(encoder: ConfigDict, num_layers: int) -> None:
    """Shrink a ViT in place to 16 channels and 5 x 5 patches of the size that it has."""
    encoder.pop('init_cfg', None)
    patch_size = encoder.get('patch_size', 14 if encoder.type == 'DINOv2' else 16)
    arch = dict(embed_dims=EMBED_DIMS, num_layers=num_layers, num_heads=2, feedforward_channels=32)
    if encoder.get('arch') == 'giant':
        arch.update(ffn_type='swiglu_fused')
    if encoder.get('arch') in ('small_plus', 'huge_plus'):
        arch.update(ffn_type='swiglu')
    if encoder.type == 'SAM':
        arch.update(global_attn_indexes=list(range(1, num_layers, 2)))  # every other one: windows
        encoder.update(window_size=3)
    encoder.update(arch=ConfigDict(arch))
    if encoder.type != 'DINOv3':  # which has no native grid
        encoder.update(img_size=5 * patch_size)


def shrink_neck(neck: ConfigDict, widths: list[int]) -> list[int]:
    """Shrink a neck in place; returns the channels of each of its maps."""
    if neck.type == 'Feature2Pyramid':
        neck.update(embed_dim=widths[0])
        return widths
    one_number = isinstance(neck.in_channels, int)
    neck.update(in_channels=widths[0] if one_number else widths, out_channels=WIDTH)
    unimodal = neck.type == 'DGFMNeck' and neck.get('unimodal', True)
    return [WIDTH] * (len(widths) + 2 * unimodal)


def shrink_head(head: ConfigDict, widths: list[int]) -> None:
    """Shrink a head in place; its classes stay."""
    index = head.get('in_index', -1)
    in_channels = widths[index] if isinstance(index, int) else [widths[i] for i in index]
    head.update(in_channels=in_channels, channels=WIDTH)
    if head.type == 'FTransUNetHead':
        head.decoder_channels = [WIDTH] * 4
    if head.type == 'LightHamHead':
        head.ham_channels, head.norm_cfg.num_groups = WIDTH, 4
    if 'c1_in_channels' in head:
        head.update(c1_in_channels=widths[0], c1_channels=4)


def train_toy(config: Config, work_dir: Path) -> Runner:
    """Train a config's toy model for two iterations of two windows, validate and test it."""
    config.model = toy(config)
    config.train_dataloader.update(batch_size=2)
    config.train_dataloader.sampler.num_samples = 4
    for split in ('train', 'val', 'test'):
        config[f'{split}_dataloader'].update(num_workers=0, persistent_workers=False)
    config.train_cfg.update(max_epochs=1, val_interval=1)
    config.work_dir = str(work_dir)
    runner = Runner.from_cfg(config)
    runner.train()
    runner.test()
    return runner
