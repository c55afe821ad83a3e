"""Tiled prediction for any EncoderDecoder."""

import math
from functools import partial

import torch
import torch.nn.functional as F
from mmengine.dist import is_main_process
from mmseg.models import EncoderDecoder
from mmseg.registry import MODELS
from rich.progress import track
from torch import Tensor

from mobanet_mmseg.tiling.sliding_window import Rows, sweep
from mobanet_mmseg.tiling.windows import Tiling, plan_strips


@MODELS.register_module()
class TiledEncoderDecoder(EncoderDecoder):
    """``EncoderDecoder`` for images of any size.

    Each window is padded at its bottom and right to a multiple of the data preprocessor's
    ``size_divisor`` and its logits are cropped back, so that pixels stay where they are. In slide
    mode ``test_cfg`` has, besides MMSeg's ``crop_size`` and ``stride``, the optional ``batch_size``
    (windows at once, 1) and ``blend`` (``'gaussian'`` or ``'cosine'`` weights within a window;
    None, the default, averages as MMSeg does, which has the argmax of the paper's summed logits).
    """

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Predict the (B, K, H, W) logits of (B, C, H, W) inputs of any size."""
        height, width = inputs.shape[-2:]
        divisor = self.data_preprocessor.size_divisor or 1
        padded = F.pad(inputs, (0, -width % divisor, 0, -height % divisor))
        metas = [dict(batch_img_metas[0], img_shape=padded.shape[-2:])]
        return super().encode_decode(padded, metas)[..., :height, :width]

    def slide_inference(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Predict window by window and average the logits where windows overlap.

        Args:
            inputs: (B, C, H, W), normalised.
            batch_img_metas: Meta information of each image.

        Returns:
            Logits (B, K, H, W), float32; in the host's memory where they would take more than a
            quarter of what is free on the GPU.
        """
        size = inputs.shape[-2:]
        tiling = Tiling.of(self.test_cfg)
        strips = plan_strips(*size, tiling)
        rows = (Rows(inputs[..., strip.read[0] : strip.read[1], :]) for strip in strips)
        quiet = len(strips) < 4 or not is_main_process()
        network = partial(self.encode_decode, batch_img_metas=batch_img_metas)
        shape = (len(inputs), self.out_channels, *size)
        logits = torch.empty(shape, device=roomy_device(4 * math.prod(shape), inputs.device))
        shown = track(rows, 'strips', len(strips), transient=True, disable=quiet)
        for done in sweep(network, self.out_channels, shown, strips, size, tiling):
            logits[..., done.row : done.row + done.logits.shape[-2], :] = done.logits
        return logits


def roomy_device(num_bytes: int, device: torch.device) -> torch.device:
    """Choose where a large tensor goes: on the device of its parts, or to the host.

    Args:
        num_bytes: Size of the tensor.
        device: Where its parts are.

    Returns:
        The host where the tensor would take more than a quarter of the GPU's free memory.
    """
    if device.type == 'cuda' and num_bytes > torch.cuda.mem_get_info(device)[0] / 4:
        return torch.device('cpu')
    return device
