"""The convolutions of VGG16 out of torchvision's files, by their place in the network."""

import re

from torch import Tensor

from mobanet_mmseg.weights.files import CheckpointError, read_tensors

CONVS = (2, 2, 3, 3, 3)  # of each stage
LAYER = re.compile(r'features\.(\d+)\.(\w+)')


def read_vgg16(source: str) -> dict[str, Tensor]:
    """Read VGG16's convolutions and, where the file has them, its batch norms.

    Args:
        source: See :func:`mobanet_mmseg.weights.files.read_file`; a file of torchvision's ``vgg16``
            or ``vgg16_bn``.

    Returns:
        Tensors by stage and convolution, each from 0: ``0.1.conv.weight``, ``0.1.bn.bias``.

    Raises:
        FileNotFoundError: If the file can be neither found nor fetched.
        CheckpointError: If it is not VGG16's.
    """
    layers: dict[int, dict[str, Tensor]] = {}
    for name, value in read_tensors(source, setting='model.backbone.init_cfg').items():
        if match := LAYER.fullmatch(name):
            layers.setdefault(int(match[1]), {})[match[2]] = value
    ordered = [layer for _, layer in sorted(layers.items()) if 'weight' in layer]
    convs = [layer for layer in ordered if layer['weight'].ndim == 4]
    norms = [layer for layer in ordered if layer['weight'].ndim == 1]
    if len(convs) != sum(CONVS) or len(norms) not in (0, sum(CONVS)):
        raise CheckpointError(
            f'{source} holds {len(convs)} convolutions and {len(norms)} batch norms in features; '
            f"VGG16 has {sum(CONVS)} and {sum(CONVS)}, or none: give the file of torchvision's "
            'vgg16_bn or vgg16.'
        )
    places = [f'{stage}.{conv}' for stage, number in enumerate(CONVS) for conv in range(number)]
    return {
        f'{place}.{part}.{name}': value
        for part, found in (('conv', convs), ('bn', norms))
        for place, layer in zip(places, found, strict=False)
        for name, value in layer.items()
    }
