"""Tiled prediction for any EncoderDecoder, averaged over symmetries if that is asked for."""

import math
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmseg.models import EncoderDecoder
from mmseg.registry import MODELS
from torch import Tensor, nn

from mobanet_mmseg.models.distributed import SharedLosses
from mobanet_mmseg.models.frozen_streams import FrozenStreams
from mobanet_mmseg.tiling.sliding_window import Rows, slide
from mobanet_mmseg.tiling.symmetries import average_over, check_tta
from mobanet_mmseg.tiling.windows import Tiling, plan_strips


@MODELS.register_module()
class TiledEncoderDecoder(SharedLosses, EncoderDecoder):
    """``EncoderDecoder`` for images of any size, whose losses are the same in several processes.

    Each window is padded at its bottom and right to a multiple of the data preprocessor's
    ``size_divisor`` and its logits are cropped back, so that pixels stay where they are. In slide
    mode ``test_cfg`` has, besides MMSeg's ``crop_size`` and ``stride``, the optional ``batch_size``
    (windows at once, 1) and ``blend`` (``'gaussian'`` or ``'cosine'`` weights within a window;
    None, the default, averages as MMSeg does, which has the argmax of the paper's summed logits).

    ``test_cfg=dict(tta='d4')`` averages the logits of each window (in whole mode, of the image)
    over the window turned and mirrored, ``'flips'`` over the window mirrored.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        check_tta((self.test_cfg or {}).get('tta'))  # before the training, not after it
        mean = dict(self.data_preprocessor.named_buffers()).get('mean')
        known = type(mean) is Tensor and not mean.is_meta  # neither is so where shapes alone count
        if known and isinstance(self.backbone, FrozenStreams):
            self.backbone.encoder.check_mean(mean.flatten().tolist())

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Predict the (B, K, H, W) logits of (B, C, H, W) inputs of any size."""
        network = partial(self._encode_decode, batch_img_metas)
        return average_over(network, self.test_cfg.get('tta'))(inputs)

    def _encode_decode(self, batch_img_metas: list[dict], inputs: Tensor) -> Tensor:
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
        rows = (Rows(inputs[..., strip.read.rows, :]) for strip in strips)
        network = partial(self.encode_decode, batch_img_metas=batch_img_metas)
        shape = (len(inputs), self.out_channels, *size)
        logits = torch.empty(shape, device=roomy_device(4 * math.prod(shape), inputs.device))
        for done in slide(network, self.out_channels, rows, strips, size, tiling):
            logits[..., done.window.rows, :] = done.logits
        return logits


def augment(model: EncoderDecoder, tta: str | None) -> None:
    """Give a built segmentor a test-time augmentation, in place of its ``test_cfg``'s.

    One of MMSeg's own, or any other, gets what :class:`TiledEncoderDecoder` has.

    Args:
        model: An EncoderDecoder, of which each window (or the whole image) is averaged.
        tta: ``'flips'``, ``'d4'`` or None; see :func:`average_over`.

    Raises:
        ValueError: If ``tta`` is none of the three.
    """
    check_tta(tta)
    if isinstance(model, TiledEncoderDecoder):
        model.test_cfg['tta'] = tta
        return
    encode_decode = model.encode_decode

    def averaged(inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        def network(x: Tensor) -> Tensor:
            # a torch.Size is the shape that MMSeg's heads give their logits
            metas = [dict(meta, img_shape=x.shape[-2:]) for meta in batch_img_metas]
            return encode_decode(x, metas)

        return average_over(network, tta)(inputs)

    if tta is not None:
        model.encode_decode = averaged


def segmentor_of(model: nn.Module) -> nn.Module:
    """Take MMEngine's wrappers off a segmentor: of several processes, of a test-time augmentation.

    Args:
        model: A runner's model.
    """
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


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
class SymmetryTTAModel:
    """What earlier configs name as their ``tta_model``; the segmentor augments by itself now.

    Args:
        **kwargs: Not used.

    Raises:
        ValueError: Always.
    """

    def __init__(self, **kwargs: Any) -> None:
        raise ValueError(
            'SymmetryTTAModel is model.test_cfg.tta now: take tta_model out of the config, and set '
            "model=dict(test_cfg=dict(tta='d4')) or give --tta d4."
        )
