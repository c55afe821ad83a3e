"""Strips of a raster through a trained network to maps; the next ones are read meanwhile."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from mmseg.models import EncoderDecoder
from mmseg.structures import SegDataSample
from torch import Tensor

from mobanet_mmseg.inference.maps import NODATA, PROBABILITY_1, Maps
from mobanet_mmseg.inference.reading import PairReader
from mobanet_mmseg.tiling.sliding_window import Predicted, Rows, find_not_finite, slide
from mobanet_mmseg.tiling.symmetries import Network
from mobanet_mmseg.tiling.windows import Strip, Tiling, Window, describe_place, plan_strips

# Of the strip in work, which a wide raster's column blocks are cut for; with 6 classes, 4 channels
# and windows of 256 pixels that is 6138 columns: a tile of Potsdam is one block.
BLOCK_BYTES = 88_000_000
BLOCK_WINDOWS = 16  # a block is at least so many windows wide: few are run in two blocks
LARGEST_BATCH = 64
GAIN = 1.05  # a larger batch is taken if windows get faster by this

Item = TypeVar('Item')
_END = object()


@dataclass(frozen=True)
class WindowNetwork:
    """A trained network as sliding windows call it, whatever runs it.

    Args:
        run: Gives the logits (N, K, h, w) of raw windows (N, C, h, w), channels as they are read.
        out_channels: Channels K of the logits.
        device: Where windows go.
        threshold: Of a single channel: the probability above which a pixel is of the second class.
    """

    run: Network
    out_channels: int
    device: torch.device
    threshold: float | None = None

    def __call__(self, windows: Tensor) -> Tensor:
        """Give the logits of windows; see ``run``."""
        return self.run(windows)


def plan_raster(network: WindowNetwork, source: PairReader, tiling: Tiling) -> list[Strip]:
    """Cover a raster with strips, in column blocks if it is so wide that memory would grow with it.

    Args:
        network: What is to predict.
        source: What to predict.
        tiling: Windows, strides and batch size.
    """
    height, width = tiling.window
    # float32 sums of a column, and its pixels beside those that replace them
    column_bytes = 4 * height * (network.out_channels + 2 * source.num_channels)
    max_width = max(BLOCK_BYTES // column_bytes, BLOCK_WINDOWS * width)
    return plan_strips(source.info.height, source.info.width, tiling, max_width)


@torch.inference_mode()
def predict_rows(
    network: WindowNetwork,
    source: PairReader,
    strips: Sequence[Strip],
    tiling: Tiling,
    *,
    temperature: float = 1.0,
    probabilities: bool = False,
    confidence: bool = False,
) -> Iterator[Maps]:
    """Predict what some strips answer for, from the top, column block after column block.

    Args:
        network: Of a trained model.
        source: What to predict; read ahead in a thread of its own.
        strips: All strips of the source, or one process's share.
        tiling: The tiling that they were made with.
        temperature: Divides the mean logits before they become probabilities.
        probabilities: Whether to give them.
        confidence: Whether to give it.

    Yields:
        The maps of the next rows, one at least.

    Raises:
        ValueError: If a raster is damaged, or the network's logits are not finite.
    """
    wanted = {'probabilities': probabilities, 'confidence': confidence}
    settings = {'threshold': network.threshold, 'temperature': temperature, **wanted}
    with closing(predict_logits(network, source, strips, tiling)) as logits:
        for done in logits:
            maps = read_maps(done.window, done.logits[0], done.valid, **settings)
            del done  # the sums of a column block are not kept while the next one's are made
            yield maps


@torch.inference_mode()
def predict_logits(
    network: WindowNetwork,
    source: PairReader,
    strips: Sequence[Strip],
    tiling: Tiling,
) -> Iterator[Predicted]:
    """Give the mean logits of what some strips answer for; see :func:`predict_rows`.

    Args:
        network: Of a trained model.
        source: What to predict; read ahead in a thread of its own.
        strips: All strips of the source, or one process's share.
        tiling: The tiling that they were made with.

    Yields:
        The logits (1, K, h, w) of the next rows, means over the windows that hold a pixel.

    Raises:
        ValueError: If a raster is damaged, or the network's logits are not finite.
    """
    device = network.device
    size = (source.info.height, source.info.width)

    def read() -> Iterator[Rows]:
        for strip in strips:
            pixels, valid = source.read(strip.read)
            yield Rows(torch.from_numpy(pixels)[None].to(device), torch.from_numpy(valid))

    with closing(ahead(read())) as rows:
        for done in slide(network, network.out_channels, rows, strips, size, tiling):
            check_finite(done, source.info.path)
            yield done
            del done  # likewise


def check_finite(done: Predicted, path: str) -> None:
    """Refuse logits that are NaN or infinite where there is optical data: they are no class.

    Args:
        done: The logits of one image.
        path: Its optical raster, for the sentence.

    Raises:
        ValueError: If there are some.
    """
    spoilt = find_not_finite(done.logits[0], done.valid)
    if spoilt is not None:
        row, col = done.window.row + spoilt.row, done.window.col + spoilt.col
        place = describe_place(spoilt._replace(row=row, col=col))
        raise ValueError(
            f'{path} gets logits that are not finite (NaN or infinite) in {place}: look at what '
            'the two rasters hold there, and leave --amp out if it is given.'
        )


def window_network(model: EncoderDecoder, amp: torch.dtype | None = None) -> WindowNetwork:
    """Let a segmentor take raw windows, channels as they are read.

    Args:
        model: A segmentor in eval mode; its data preprocessor normalises the windows, and pads them
            if it does so in a test.
        amp: Type to which autocast lowers what it may, ``torch.bfloat16`` or ``torch.float16``.
    """
    device = next(model.parameters()).device

    def run(windows: Tensor) -> Tensor:
        height, width = windows.shape[-2:]
        samples = [SegDataSample() for _ in windows]
        data = {'inputs': list(windows), 'data_samples': samples}
        inputs = model.data_preprocessor(data, False)['inputs']
        shape = inputs.shape[-2:]
        metas = [{'img_shape': shape, 'ori_shape': shape, 'pad_shape': shape}] * len(inputs)
        with torch.autocast(device.type, amp, enabled=amp is not None):
            return model.encode_decode(inputs, metas)[..., :height, :width]

    threshold = model.decode_head.threshold if model.out_channels == 1 else None
    return WindowNetwork(run, model.out_channels, device, threshold)


def read_maps(
    window: Window,
    logits: Tensor,
    valid: Tensor | None,
    *,
    threshold: float | None = None,
    temperature: float = 1.0,
    probabilities: bool = False,
    confidence: bool = False,
) -> Maps:
    """Turn mean logits into what is written.

    Args:
        window: Where the logits lie.
        logits: (K, h, w); of one channel, those of the second of two classes.
        valid: (h, w) bool, where there is optical data; None is everywhere.
        threshold: See :class:`WindowNetwork`.
        temperature: Divides the logits before they become probabilities; labels do not change.
        probabilities: Whether to give them.
        confidence: Whether to give it.
    """
    labels = labels_of(logits, threshold)
    if len(logits) == 1:
        shares = (logits / temperature).sigmoid()
        shares = torch.cat([1 - shares, shares])
    else:
        wanted = probabilities or confidence
        shares = (logits / temperature).softmax(dim=0) if wanted else logits
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
        window,
        to_host(labels),
        to_bytes(shares) if probabilities else None,
        to_bytes(chosen) if confidence else None,
    )


def labels_of(logits: Tensor, threshold: float | None = None) -> Tensor:
    """Choose the class of each pixel.

    Args:
        logits: (K, h, w); of one channel, those of the second of two classes.
        threshold: See :class:`WindowNetwork`.

    Returns:
        (h, w) class indices.
    """
    if len(logits) == 1:
        return (logits[0].sigmoid() > threshold).long()
    return logits.argmax(dim=0)


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


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Fetch the next item while the last one is worked on.

    Args:
        items: Run in another thread, always the same one; its errors come out here.

    Yields:
        The items.
    """
    with ThreadPoolExecutor(1, 'reading') as thread:
        coming = thread.submit(next, items, _END)
        while (item := coming.result()) is not _END:
            coming = thread.submit(next, items, _END)
            yield item
            del item  # what is no longer needed is not kept while the next one is waited for
