"""What the tensors of an encoder are called, from wherever the file comes: once into mmpretrain's.

Known are the files of Meta's DINOv2 (``dinov2_*_pretrain.pth``, with registers too) and SAM
(``sam_vit_*.pth``), OpenMMLab's conversions of them, Hugging Face's ``Dinov2Model`` and
``Dinov2WithRegistersModel``, and timm's DINOv2.
"""

import re
from math import isqrt

import torch
from torch import Tensor

# Which name ends like this, in every kind of file: what precedes it is the encoder's prefix.
PATCH_EMBEDDING = re.compile(
    r'^(|.*\.)(?:patch_embed\.proj(?:ection)?|embeddings\.patch_embeddings\.projection)\.weight$'
)

# In files, but not in every encoder: DINOv2's token for masked image modelling and SAM's neck.
UNUSED = re.compile(r'^(?:mask_token$|channel_reduction\.)')

# Applied in this order; mmpretrain's own names pass as they are.
TO_MMPRETRAIN = (
    (r'^embeddings\.(\w+_tokens?)$', r'\1'),  # Hugging Face's cls, mask and register tokens
    (r'^embeddings\.position_embeddings$', 'pos_embed'),
    (r'^embeddings\.patch_embeddings\.', 'patch_embed.'),
    (r'^reg_token$', 'register_tokens'),  # timm
    (r'^patch_embed\.proj\.', 'patch_embed.projection.'),
    (r'^(?:norm|layernorm)\.', 'ln1.'),
    (r'^neck\.', 'channel_reduction.'),  # SAM
    (r'^(?:blocks|encoder\.layer)\.', 'layers.'),
    (r'\.norm([12])\.', r'.ln\1.'),
    (r'\.attention\.attention\.(query|key|value)\.', r'.attn.\1.'),  # Hugging Face
    (r'\.attention\.output\.dense\.', '.attn.proj.'),
    (r'\.mlp\.(?:fc|lin)1\.', '.ffn.layers.0.0.'),
    (r'\.mlp\.(?:fc|lin)2\.', '.ffn.layers.1.'),
    (r'\.mlp\.(?:w12|weights_in)\.', '.ffn.w12.'),  # the SwiGLU of ViT-g
    (r'\.mlp\.(?:w3|weights_out)\.', '.ffn.w3.'),
    (r'\.(?:ls1\.gamma|layer_scale1\.lambda1)$', '.attn.gamma1.weight'),
    (r'\.(?:ls2\.gamma|layer_scale2\.lambda1)$', '.ffn.gamma2.weight'),
)
QKV = ('query', 'key', 'value')


def to_mmpretrain_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename an encoder's tensors to mmpretrain's names.

    Args:
        tensors: Tensors by name, without a prefix; mmpretrain's own names stay.

    Returns:
        The tensors by mmpretrain's names, in their order; only what a kind of file stores in
        another form changes (query, key and value apart; timm's positions without CLS).
    """
    renamed = {}
    for name, value in tensors.items():
        for pattern, replacement in TO_MMPRETRAIN:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value
    return _with_cls_position(_with_swiglu_names(_with_joined_qkv(renamed)))


def _with_joined_qkv(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Join Hugging Face's query, key and value; one that lacks its partners stays left over."""
    joined = {}
    for name, value in tensors.items():
        partners = [re.sub(r'\.attn\.(query|key|value)\.', f'.attn.{part}.', name) for part in QKV]
        if partners[0] == partners[1] or not tensors.keys() >= set(partners):
            joined[name] = value
        elif name == partners[0]:
            joined[name.replace('.query.', '.qkv.')] = torch.cat([tensors[n] for n in partners])
    return joined


def _with_swiglu_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tell timm's SwiGLU, which it names like an MLP, by its doubled hidden width."""
    first = tensors.get('layers.0.ffn.layers.0.0.weight')
    second = tensors.get('layers.0.ffn.layers.1.weight')
    if first is None or second is None or len(first) != 2 * second.shape[-1]:
        return tensors
    return {
        name.replace('.ffn.layers.0.0.', '.ffn.w12.').replace('.ffn.layers.1.', '.ffn.w3.'): value
        for name, value in tensors.items()
    }


def _with_cls_position(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give timm's DINOv2 with registers, which adds it to the CLS token, a CLS position of 0."""
    positions = tensors.get('pos_embed')
    if 'register_tokens' not in tensors or positions is None or positions.ndim != 3:
        return tensors
    if isqrt(positions.shape[1]) ** 2 != positions.shape[1]:  # 1 + side^2: CLS is there
        return tensors
    return {**tensors, 'pos_embed': torch.cat([positions[:, :1] * 0, positions], dim=1)}
