"""VGG16's weights under torchvision's names."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers


def features(batch_norm: bool) -> nn.Sequential:
    """torchvision's VGG16 up to its last pooling, its every tensor random, in eval mode."""
    layers = make_layers(cfgs['D'], batch_norm=batch_norm).eval()
    for name, value in layers.state_dict().items():
        if not name.endswith('num_batches_tracked'):
            value.copy_(torch.rand(value.shape) * 0.1 + ('running_var' in name))
    return layers


def write(layers: nn.Sequential, file: Path) -> dict[str, Tensor]:
    """Write a file as torchvision's are; returns the tensors of its convolutions' part."""
    tensors = {f'features.{name}': value for name, value in layers.state_dict().items()}
    torch.save({**tensors, 'classifier.0.weight': torch.rand(2, 2)}, file)
    return tensors
