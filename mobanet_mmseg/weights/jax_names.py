"""What the tensors of the public ViT checkpoints (``.npz``, written with JAX) are called here.

Known are those of hybrid ViTs such as ``R50+ViT-B_16.npz``: a ResNet of group norms and
standardised weights, an embedding, and transformer blocks.
"""

import re

from torch import Tensor

# Of the classifier that the file was trained with.
UNUSED = re.compile(r'^(?:cls$|head/|pre_logits/)')

# Applied in this order.
NAMES = (
    (r'^conv_root/', 'root.conv.'),
    (r'^gn_root/', 'root.gn.'),
    (r'^embedding/', 'embed.'),
    (r'/conv_proj/', '/downsample.0.'),
    (r'/gn_proj/', '/downsample.1.'),
    (r'^block(\d+)/unit0*(\d+)/', lambda m: f'stages.{int(m[1]) - 1}.{int(m[2]) - 1}.'),
    (r'^Transformer/posembed_input/pos_embedding$', 'pos_embed'),
    (r'^Transformer/encoder_norm/', 'norm.'),
    (r'^Transformer/encoderblock_(\d+)/', r'layers.\1.'),
    (r'LayerNorm_0/', 'norm1.'),
    (r'LayerNorm_2/', 'norm2.'),
    (r'MultiHeadDotProductAttention_\d+/', ''),
    (r'MlpBlock_\d+/Dense_0/', 'ffn.layers.0.0.'),
    (r'MlpBlock_\d+/Dense_1/', 'ffn.layers.1.'),
    (r'/(kernel|scale)$|\.(kernel|scale)$', '.weight'),
    (r'/bias$', '.bias'),
)


def from_jax(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of a hybrid ViT and lay them out as torch does.

    Args:
        tensors: Tensors by the file's names.

    Returns:
        Tensors by torch's names, without those of the classifier; a name that is not known stays.
    """
    renamed = {}
    for name, value in tensors.items():
        if UNUSED.match(name):
            continue
        value = _as_torch(name, value)
        for pattern, replacement in NAMES:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value
    return renamed


def _as_torch(name: str, value: Tensor) -> Tensor:
    if name.endswith('/kernel'):
        if value.ndim == 4:  # rows, columns, in, out
            return value.permute(3, 2, 0, 1)
        # in, out; of attention in, heads, out and heads, in, out
        return (value.flatten(0, -2) if '/out/' in name else value.flatten(1)).T
    return value.flatten() if name.endswith(('/scale', '/bias')) else value
