"""Segmentors: tiled prediction for any EncoderDecoder, and MoBaNet's losses on top of it."""

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

from mobanet_mmseg.inference.windows import window_grid


@MODELS.register_module()
class TiledEncoderDecoder(EncoderDecoder):
    """``EncoderDecoder`` for images of any size.

    Each window is padded at its bottom and right to a multiple of the data preprocessor's
    ``size_divisor`` and its logits are cropped back, so that pixels stay where they are. In slide
    mode windows run in batches of ``test_cfg.batch_size`` (1 where it is not given) and their
    logits are added in place, where MMSeg pads each window's logits to the whole image.
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
            Logits (B, K, H, W).
        """
        height, width = inputs.shape[-2:]
        windows = window_grid(height, width, self.test_cfg.crop_size, self.test_cfg.stride)
        batch_size = self.test_cfg.get('batch_size', 1)
        batches = [windows[i : i + batch_size] for i in range(0, len(windows), batch_size)]
        logits = inputs.new_zeros((len(inputs), self.out_channels, height, width))
        counts = inputs.new_zeros((1, 1, height, width))
        quiet = len(batches) < 4 or not is_main_process()
        for batch in track(batches, 'windows', transient=True, disable=quiet):
            crops = torch.cat([inputs[..., y1:y2, x1:x2] for y1, x1, y2, x2 in batch])
            predicted = self.encode_decode(crops, batch_img_metas).chunk(len(batch))
            for (y1, x1, y2, x2), window_logits in zip(batch, predicted, strict=True):
                logits[..., y1:y2, x1:x2] += window_logits
                counts[..., y1:y2, x1:x2] += 1
        return logits.div_(counts)


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
