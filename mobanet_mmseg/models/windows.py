"""Raw windows as a segmentor's backbone takes them, for all that looks inside of it."""

import torch.nn.functional as F
from mmseg.models import EncoderDecoder
from mmseg.structures import SegDataSample
from torch import Tensor


def prepare_windows(model: EncoderDecoder, windows: Tensor) -> Tensor:
    """Normalise windows as a test does, and pad them at their bottom and right.

    Args:
        model: A segmentor in eval mode.
        windows: (N, C, h, w), channels as they are read.

    Returns:
        (N, C, H, W), multiples of the data preprocessor's ``size_divisor``.
    """
    data = {'inputs': list(windows), 'data_samples': [SegDataSample() for _ in windows]}
    inputs = model.data_preprocessor(data, False)['inputs']
    divisor = model.data_preprocessor.size_divisor or 1
    height, width = inputs.shape[-2:]
    return F.pad(inputs, (0, -width % divisor, 0, -height % divisor))
