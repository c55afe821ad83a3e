"""Segmentors: tiled prediction for any EncoderDecoder, and MoBaNet's losses on top of it."""

import math
from functools import partial

import torch
import torch.nn.functional as F
from mmengine.dist import is_main_process
from mmengine.structures import PixelData
from mmseg.models import EncoderDecoder
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import SampleList, add_prefix
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


@MODELS.register_module()
class MoBaNet(TiledEncoderDecoder):
    """Modality-balanced segmentor: auxiliary heads learn where the fused prediction is wrong.

    The decode head learns from every valid pixel. The auxiliary heads, one per modality, learn
    from the hard ones alone: valid pixels that the fused prediction gets wrong now. Their weight
    lambda is the ``loss_weight`` of their ``loss_decode``; at inference they do not run.

    Source: MoBaNet (arXiv:2603.17705), Eq. 24-28.
    """

    def loss(self, inputs: Tensor, data_samples: SampleList) -> dict[str, Tensor]:
        """Compute the losses of a normalised (B, C, H, W) batch."""
        features = self.extract_feat(inputs)
        logits = self.decode_head(features)
        losses = add_prefix(self.decode_head.loss_by_feat(logits, data_samples), 'decode')
        if self.with_auxiliary_head:
            hard = self.hard_pixels(logits.detach(), data_samples)
            losses.update(self._auxiliary_head_forward_train(features, hard))
        return losses

    def hard_pixels(self, logits: Tensor, data_samples: SampleList) -> SampleList:
        """Keep the labels of the pixels that the fused prediction gets wrong.

        Args:
            logits: Fused prediction (B, K, h, w) at the decode head's resolution.
            data_samples: Samples with ``gt_sem_seg`` (1, H, W).

        Returns:
            New samples whose ``gt_sem_seg`` is ``ignore_index`` where the prediction is right.
        """
        labels = torch.stack([sample.gt_sem_seg.data for sample in data_samples])  # (B, 1, H, W)
        logits = resize(
            logits, size=labels.shape[-2:], mode='bilinear', align_corners=self.align_corners
        )
        right = logits.argmax(dim=1, keepdim=True) == labels
        labels = labels.masked_fill(right, self.decode_head.ignore_index)
        return [
            SegDataSample(metainfo=sample.metainfo, gt_sem_seg=PixelData(data=label))
            for sample, label in zip(data_samples, labels, strict=True)
        ]
