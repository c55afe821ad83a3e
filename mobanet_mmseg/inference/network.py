"""What a trained segmentor makes of the windows of a raster, and of their mean logits."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from mmseg.models import BaseSegmentor, EncoderDecoder
from mmseg.structures import SegDataSample
from torch import Tensor

from mobanet_mmseg.inference.maps import NODATA, PROBABILITY_1
from mobanet_mmseg.tiling.symmetries import Network
from mobanet_mmseg.tiling.windows import Tiling

LARGEST_BATCH = 64
GAIN = 1.05  # a larger batch is taken if windows get faster by this


class Maps(NamedTuple):
    """What is written of some rows of a raster.

    Args:
        labels: Class indices (n, W) uint8, 255 where there is no optical data.
        probabilities: (K, n, W) uint8, ``round(254 * p)``, 255 where there is no optical data.
        confidence: (n, W) uint8, the probability of the label, likewise.
        row: Number of the first row.
        column: Number of the first column.
    """

    labels: np.ndarray
    probabilities: np.ndarray | None = None
    confidence: np.ndarray | None = None
    row: int = 0
    column: int = 0


def check_segmentor(model: BaseSegmentor) -> None:
    """Refuse a segmentor whose logits cannot be predicted window by window.

    Args:
        model: A segmentor.

    Raises:
        ValueError: If it is no ``EncoderDecoder``.
    """
    if not isinstance(model, EncoderDecoder):
        raise ValueError(
            f'{type(model).__name__} is no EncoderDecoder, so its logits cannot be added up window '
            'by window: give the config of one (MoBaNet, TiledEncoderDecoder, EncoderDecoder ...).'
        )


def tiling_for(model: EncoderDecoder, **overrides: Any) -> Tiling:
    """Say how a segmentor is to slide: as its ``test_cfg`` does, unless told otherwise.

    Args:
        model: A segmentor.
        **overrides: ``window``, ``stride``, ``batch_size`` and ``blend``; None leaves a value.

    Raises:
        ValueError: If the ``test_cfg`` has no windows and none is given.
    """
    given = {key: value for key, value in overrides.items() if value is not None}
    test_cfg = model.test_cfg
    if test_cfg.get('mode') != 'slide' and 'window' not in given:
        raise ValueError(
            "The model's test_cfg has mode='whole' and no window to slide over a raster: give one "
            'of the size of the crops that it was trained on (--window 512).'
        )
    crop_size = given.pop('window', None) or test_cfg['crop_size']
    stride = given.pop('stride', None)
    if stride is None:  # the config's may be longer than a window that is given
        stride = test_cfg.get('stride') or [-(-side // 2) for side in crop_size]
        stride = [min(step, side) for step, side in zip(stride, crop_size, strict=True)]
    return Tiling.of({**test_cfg, 'crop_size': crop_size, 'stride': stride, **given})


def window_network(model: EncoderDecoder, amp: torch.dtype | None = None) -> Network:
    """Make a function of raw windows (N, C, h, w), channels as they are read, to their logits.

    Args:
        model: A segmentor in eval mode; its data preprocessor normalises the windows.
        amp: Type to which autocast lowers what it may, ``torch.bfloat16`` or ``torch.float16``.
    """
    device = next(model.parameters()).device

    def network(windows: Tensor) -> Tensor:
        height, width = windows.shape[-2:]
        samples = [SegDataSample() for _ in windows]
        data = {'inputs': list(windows), 'data_samples': samples}
        inputs = model.data_preprocessor(data, False)['inputs']
        shape = inputs.shape[-2:]
        metas = [{'img_shape': shape, 'ori_shape': shape, 'pad_shape': shape}] * len(inputs)
        with torch.autocast(device.type, amp, enabled=amp is not None):
            return model.encode_decode(inputs, metas)[..., :height, :width]

    return network


def read_maps(
    model: EncoderDecoder,
    logits: Tensor,
    valid: Tensor | None,
    *,
    probabilities: bool = False,
    confidence: bool = False,
) -> Maps:
    """Turn mean logits into what is written.

    Args:
        model: The segmentor, which knows the threshold of a single channel.
        logits: (K, n, W); of one channel, those of the second of two classes.
        valid: (n, W) bool, where there is optical data; None is everywhere.
        probabilities: Whether to give them.
        confidence: Whether to give it.
    """
    if len(logits) == 1:
        shares = logits.sigmoid()
        labels = (shares[0] > model.decode_head.threshold).to(torch.uint8)
        shares = torch.cat([1 - shares, shares])
    else:
        labels = logits.argmax(dim=0)
        shares = logits.softmax(dim=0) if probabilities or confidence else logits
    chosen = shares.gather(0, labels[None].long())[0]
    void = None if valid is None else ~valid.numpy()

    def to_host(values: Tensor) -> np.ndarray:
        array = values.to(torch.uint8).cpu().numpy()
        if void is not None:
            array[..., void] = NODATA
        return array

    def to_bytes(values: Tensor) -> np.ndarray:
        return to_host((values * PROBABILITY_1).round())

    return Maps(
        to_host(labels),
        to_bytes(shares) if probabilities else None,
        to_bytes(chosen) if confidence else None,
    )


@torch.inference_mode()
def choose_batch_size(
    network: Network,
    channels: int,
    window: tuple[int, int],
    device: torch.device,
    clock: Callable[[], float] = time.perf_counter,
) -> int:
    """Try batches of 1, 2, 4 ... windows, as long as windows get faster and memory suffices.

    Args:
        network: The network of the windows.
        channels: Channels C of a window.
        window: Window height and width, pixels.
        device: Where the network runs.
        clock: Gives seconds.

    Returns:
        Windows at once.
    """
    best, best_seconds = 1, float('inf')
    batch_size = 1
    while batch_size <= LARGEST_BATCH:
        windows = torch.zeros((batch_size, channels, *window), device=device)
        try:
            network(windows)  # the first run of a size may choose algorithms and take memory
            start = clock()
            network(windows)
            if device.type == 'cuda':
                torch.cuda.synchronize(device)
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            break
        seconds = (clock() - start) / batch_size
        if seconds * GAIN > best_seconds:
            break
        best, best_seconds = batch_size, seconds
        batch_size *= 2
    return best
