"""What the tensors of an encoder are called, from wherever the file comes: once into mmpretrain's.

Known are the files of Meta's DINOv2 (``dinov2_*_pretrain.pth``, with registers too), DINOv3
(``dinov3_vit*_pretrain_*.pth``) and SAM (``sam_vit_*.pth``), OpenMMLab's conversions of them,
Hugging Face's ``Dinov2Model``, ``Dinov2WithRegistersModel`` and ``DINOv3ViTModel``, and timm's
DINOv2 and DINOv3.
"""

import re
from collections.abc import Sequence
from math import isqrt

import torch
from torch import Tensor

# Which name ends like this, in every kind of file: what precedes it is the encoder's prefix.
PATCH_EMBEDDING = re.compile(
    r'^(|.*\.)'
    r'(?:patch_embed\.proj(?:ection)?|embeddings\.patch_embeddings(?:\.projection)?)\.weight$'
)

# In files, but not in every encoder: the token for masked image modelling of DINOv2 and DINOv3, the
# latter's norm of small crops in training, and SAM's neck.
UNUSED = re.compile(r'^(?:mask_token$|local_cls_norm\.|channel_reduction\.)')

# Applied first where a file names a gate: of what it names elsewhere as it names the parts of an
# MLP, DINOv3's SwiGLU is made.
GATE = re.compile(r'\.mlp\.(?:gate_proj|fc1_g)\.')
TO_SWIGLU = (
    (r'\.mlp\.(?:gate_proj|fc1_g)\.', '.mlp.w1.'),
    (r'\.mlp\.(?:up_proj|fc1_x)\.', '.mlp.w2.'),
    (r'\.mlp\.(?:down_proj|fc2)\.', '.mlp.w3.'),
)

# Applied in this order; mmpretrain's own names pass as they are.
TO_MMPRETRAIN = (
    (r'^embeddings\.(\w+_tokens?)$', r'\1'),  # Hugging Face's cls, mask and register tokens
    (r'^embeddings\.position_embeddings$', 'pos_embed'),
    (r'^embeddings\.patch_embeddings\.(?:projection\.)?', 'patch_embed.projection.'),
    (r'^(?:reg_token|storage_tokens)$', 'register_tokens'),  # timm, Meta's DINOv3
    (r'^patch_embed\.proj\.', 'patch_embed.projection.'),
    (r'^(?:norm|layernorm)\.', 'ln1.'),
    (r'^neck\.', 'channel_reduction.'),  # SAM
    (r'^(?:blocks|encoder\.layer|(?:model\.)?layer)\.', 'layers.'),
    (r'\.norm([12])\.', r'.ln\1.'),
    (r'\.attention\.attention\.(query|key|value)\.', r'.attn.\1.'),  # Hugging Face
    (r'\.(?:attention\.q_proj\.|attn\.q_(?=bias$))', '.attn.query.'),  # DINOv3 there, and in timm
    (r'\.(?:attention\.k_proj\.|attn\.k_(?=bias$))', '.attn.key.'),
    (r'\.(?:attention\.v_proj\.|attn\.v_(?=bias$))', '.attn.value.'),
    (r'\.attention\.(?:output\.dense|o_proj)\.', '.attn.proj.'),
    (r'\.mlp\.(?:fc1|lin1|up_proj)\.', '.ffn.layers.0.0.'),
    (r'\.mlp\.(?:fc2|lin2|down_proj)\.', '.ffn.layers.1.'),
    (r'\.mlp\.w([12])\.', r'.ffn.w\1.'),  # the SwiGLU of DINOv3
    (r'\.mlp\.(?:w12|weights_in)\.', '.ffn.w12.'),  # the SwiGLU of ViT-g
    (r'\.mlp\.(?:w3|weights_out)\.', '.ffn.w3.'),
    (r'\.(?:ls1\.gamma|layer_scale1\.lambda1|gamma_1)$', '.attn.gamma1.weight'),
    (r'\.(?:ls2\.gamma|layer_scale2\.lambda1|gamma_2)$', '.ffn.gamma2.weight'),
)
QUERY_BIAS = re.compile(r'(\.attention\.q_proj\.|\.attn\.q_)bias$')  # of publishers without a key's
MASK = '.attn.qkv.bias_mask'


def to_mmpretrain_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename an encoder's tensors to mmpretrain's names.

    Args:
        tensors: Tensors by name, without a prefix; mmpretrain's own names stay.

    Returns:
        The tensors by mmpretrain's names, in their order; only what a kind of file stores in
        another form changes (parts apart that belong together; DINOv3's bias beside a mask, or
        without that of the keys; timm's positions without CLS).
    """
    table = (*TO_SWIGLU, *TO_MMPRETRAIN) if any(map(GATE.search, tensors)) else TO_MMPRETRAIN
    renamed = {}
    for name, value in _with_key_bias(tensors).items():
        for pattern, replacement in table:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value
    renamed = _join(renamed, ('.attn.query.', '.attn.key.', '.attn.value.'), '.attn.qkv.')
    renamed = _join(renamed, ('.ffn.w1.', '.ffn.w2.'), '.ffn.w12.')
    return _with_cls_position(_with_swiglu_names(_with_masked_bias(renamed)))


def _join(tensors: dict[str, Tensor], parts: Sequence[str], whole: str) -> dict[str, Tensor]:
    """Join what a file holds apart; a part that lacks or does not fit its partners is left over."""
    joined = {}
    for name, value in tensors.items():
        own = next((part for part in parts if part in name), whole)
        partners = [name.replace(own, part) for part in parts]
        shapes = {tensors[n].shape[1:] if n in tensors else None for n in partners}
        if own == whole or None in shapes or len(shapes) > 1:
            joined[name] = value
        elif own == parts[0]:
            joined[name.replace(own, whole)] = torch.cat([tensors[n] for n in partners])
    return joined


def _with_key_bias(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give DINOv3's keys the bias of 0 that Hugging Face and timm leave out."""
    completed = dict(tensors)
    for name, value in tensors.items():
        if match := QUERY_BIAS.search(name):
            of_keys = name[: match.start()] + match[0].replace('q_', 'k_')
            completed.setdefault(of_keys, torch.zeros_like(value))
    return completed


def _with_masked_bias(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Apply the masks of 0 and 1 that Meta's DINOv3 has for its biases; others are left over."""
    applied = dict(tensors)
    for name in [name for name in tensors if name.endswith(MASK)]:
        mask, bias = tensors[name], tensors.get(name.removesuffix('_mask'))
        if bias is None or bias.shape != mask.shape or not ((mask == 0) | (mask == 1)).all():
            continue
        applied[name.removesuffix('_mask')] = bias.masked_fill(mask == 0, 0.0)
        del applied[name]
    return applied


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
