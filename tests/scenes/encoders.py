"""Small encoders, and their weights under the names of other publishers' files."""

import torch
from scenes.models import tiny_vit
from torch import Tensor

from mobanet_mmseg.models.dinov3 import DINOv3
from mobanet_mmseg.models.encoder import Encoder
from mobanet_mmseg.models.frozen_streams import build_encoder

TAPS = (0, 1, 2, 3)


def tiny_sam(**overrides) -> dict:
    """Config of a SAM encoder of 4 blocks and 16 channels on 5 x 7 patches, windows of 3."""
    config = dict(
        type='SAM',
        arch=dict(
            embed_dims=16,
            num_layers=4,
            num_heads=2,
            feedforward_channels=32,
            global_attn_indexes=[1, 3],
        ),
        img_size=(80, 112),
        patch_size=16,
        window_size=3,
    )
    return {**config, **overrides}


def tiny_giant(**overrides) -> dict:
    """Config of a DINOv2 with the SwiGLU of ViT-g."""
    return tiny_vit(arch=dict(tiny_vit()['arch'], ffn_type='swiglu_fused'), **overrides)


def tiny_dinov3(**overrides) -> dict:
    """Config of a DINOv3 of 4 blocks, 16 channels and 2 registers; heads of 8 channels."""
    arch = dict(embed_dims=16, num_layers=4, num_heads=2, feedforward_channels=32)
    config = dict(type='DINOv3', arch=arch, num_registers=2, layer_scale_init_value=0.5)
    return {**config, **overrides}


def random_encoder(config: dict) -> Encoder:
    """Encoder in eval mode whose every tensor is random, those that start at 0 or 1 too.

    Only DINOv3's keys have a bias of 0.
    """
    encoder = build_encoder(config)
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    if isinstance(encoder, DINOv3):
        for layer in encoder.qkv_layers:
            torch.nn.init.zeros_(layer.bias.data.chunk(3)[1])
    encoder.eval()
    return encoder


@torch.no_grad()
def run(encoder: Encoder, image: Tensor, taps: tuple[int, ...] = TAPS) -> list[Tensor]:
    """Feature maps at the taps."""
    patches = encoder.projection(image)
    grid = tuple(patches.shape[-2:])
    tokens, maps, first = encoder.add_positions(patches), [], 0
    for last in taps:
        tokens = encoder.run_blocks(tokens, first, last, grid)
        maps.append(encoder.tap(tokens, grid))
        first = last + 1
    return maps


def metas_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """State of an mmpretrain ViT as Meta's files name it."""
    renamed = {}
    for name, value in state.items():
        block, _, part = name.removeprefix('layers.').partition('.')
        if name.startswith('layers.'):
            sam = 'layers.0.attn.rel_pos_h' in state
            part = {
                'ln1': 'norm1',
                'ln2': 'norm2',
                'attn.gamma1': 'ls1',
                'ffn.gamma2': 'ls2',
                'ffn.layers.0.0': 'mlp.lin1' if sam else 'mlp.fc1',
                'ffn.layers.1': 'mlp.lin2' if sam else 'mlp.fc2',
                'ffn.w12': 'mlp.w12',
                'ffn.w3': 'mlp.w3',
            }.get(part.rpartition('.')[0], part.rpartition('.')[0]) + f'.{part.rpartition(".")[2]}'
            name = f'blocks.{block}.{part}'
            name = name.replace('ls1.weight', 'ls1.gamma').replace('ls2.weight', 'ls2.gamma')
        name = name.replace('patch_embed.projection', 'patch_embed.proj')
        name = 'norm.' + name.removeprefix('ln1.') if name.startswith('ln1.') else name
        renamed[name.replace('channel_reduction', 'neck')] = value
    return renamed


def hugging_faces_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """State of an mmpretrain ViT as Hugging Face's ``Dinov2Model`` names it."""
    renamed = {}
    for name, value in metas_names(state).items():
        if '.attn.qkv.' in name:
            stem, _, kind = name.partition('.attn.qkv.')
            for part, third in zip(('query', 'key', 'value'), value.chunk(3), strict=True):
                whole = f'{stem}.attention.attention.{part}.{kind}'
                renamed[whole.replace('blocks.', 'encoder.layer.')] = third
            continue
        for old, new in (
            ('blocks.', 'encoder.layer.'),
            ('attn.proj', 'attention.output.dense'),
            ('ls1.gamma', 'layer_scale1.lambda1'),
            ('ls2.gamma', 'layer_scale2.lambda1'),
            ('mlp.w12', 'mlp.weights_in'),
            ('mlp.w3', 'mlp.weights_out'),
            ('patch_embed.proj', 'embeddings.patch_embeddings.projection'),
            ('pos_embed', 'embeddings.position_embeddings'),
            ('cls_token', 'embeddings.cls_token'),
            ('register_tokens', 'embeddings.register_tokens'),
        ):
            name = name.replace(old, new)
        renamed['layernorm.' + name[5:] if name.startswith('norm.') else name] = value
    return renamed


def timms_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """State of an mmpretrain ViT as timm names it."""
    renamed = {
        name.replace('.mlp.w12.', '.mlp.fc1.').replace('.mlp.w3.', '.mlp.fc2.'): value
        for name, value in metas_names(state).items()
    }
    if 'register_tokens' in renamed:
        renamed['reg_token'] = renamed.pop('register_tokens')
        renamed['cls_token'] = renamed['cls_token'] + renamed['pos_embed'][:, :1]
        renamed['pos_embed'] = renamed['pos_embed'][:, 1:]
    return renamed
