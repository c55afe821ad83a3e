"""The segmentor whose auxiliary heads learn from the hard pixels alone."""

import torch
from mmengine.structures import PixelData
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import SampleList, add_prefix
from torch import Tensor, nn

from mobanet_mmseg.models.tiled import TiledEncoderDecoder

STREAMS = ('rgb', 'aux')


@MODELS.register_module()
class MoBaNet(TiledEncoderDecoder):
    """Modality-balanced segmentor: auxiliary heads learn where the fused prediction is wrong.

    The decode head learns from every valid pixel. The auxiliary heads, one per modality, learn
    from the hard ones alone: valid pixels that the fused prediction gets wrong now. Their weight
    lambda is the ``loss_weight`` of their ``loss_decode``; at inference they do not run. The mean
    over the hard pixels, as that over the valid ones, is over those of all processes. The log
    names the losses of two heads ``rgb`` and ``aux``, by their streams.

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
        if self.out_channels == 1:  # MMSeg's accuracy takes the argmax of the one channel
            losses = {name: value for name, value in losses.items() if 'acc_seg' not in name}
        return losses

    def _auxiliary_head_forward_train(
        self, inputs: tuple[Tensor, ...], data_samples: SampleList
    ) -> dict[str, Tensor]:
        """Compute the auxiliary heads' losses, of two heads by the names of their streams."""
        heads = self.auxiliary_head
        if not isinstance(heads, nn.ModuleList) or len(heads) != len(STREAMS):
            return super()._auxiliary_head_forward_train(inputs, data_samples)
        losses = {}
        for stream, head in zip(STREAMS, heads, strict=True):
            losses.update(add_prefix(head.loss(inputs, data_samples, self.train_cfg), stream))
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
        if self.out_channels == 1:  # a sigmoid's logit of the second of two classes
            predicted = (logits.sigmoid() > self.decode_head.threshold).long()
        else:
            predicted = logits.argmax(dim=1, keepdim=True)
        right = predicted == labels
        labels = labels.masked_fill(right, self.decode_head.ignore_index)
        return [
            SegDataSample(metainfo=sample.metainfo, gt_sem_seg=PixelData(data=label))
            for sample, label in zip(data_samples, labels, strict=True)
        ]
