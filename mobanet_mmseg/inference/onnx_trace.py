"""A segmentor traced into an ONNX graph that stays open to any size and number of images."""

import io
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmseg.models import EncoderDecoder
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mobanet_mmseg.models.cpia import CPIA
from mobanet_mmseg.models.resizing import pooling_matrix

OPSET = 17  # the first one with LayerNormalization


@torch.no_grad()
def trace(
    model: EncoderDecoder,
    inputs: tuple[Tensor, ...],
    dtype: torch.dtype,
    config: str | Path,
) -> bytes:
    """Trace a segmentor.

    Args:
        model: In eval mode; of no use afterwards.
        inputs: What it is traced with.
        dtype: Type of its weights and activations.
        config: Its config, for the sentence.

    Returns:
        An ONNX file.

    Raises:
        ValueError: If it has what ONNX has not.
    """
    for module in model.modules():
        if isinstance(module, CPIA):
            module.associate_for_good()
    network = RawNetwork(model, dtype).eval().requires_grad_(False)
    model.to(dtype)
    names, axes = ['rgb', 'aux'][: len(inputs)], {0: 'batch', 2: 'height', 3: 'width'}
    content = io.BytesIO()
    with silence(), warnings.catch_warnings(), AnySize():
        warnings.simplefilter('ignore')  # of the tracer: what it finds constant is compared below
        try:
            # the tracer that it has always had: the newer one takes minutes, onnxscript, and gives
            # up at each comparison of two sizes
            torch.onnx.export(
                network,
                inputs,
                content,
                dynamo=False,
                input_names=names,
                output_names=['logits'],
                dynamic_axes=dict.fromkeys((*names, 'logits'), axes),
                opset_version=OPSET,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise ValueError(
                f'The network of {config} has what ONNX has not ({str(error).splitlines()[0]}), so '
                'it cannot be exported.'
            ) from error
    return content.getvalue()


class RawNetwork(nn.Module):
    """A segmentor from raw images to logits at their resolution, without the sliding.

    Args:
        model: A segmentor in eval mode.
        dtype: Type of all but the normalisation, which stays float32.
    """

    def __init__(self, model: EncoderDecoder, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        mean, std = (getattr(model.data_preprocessor, name) for name in ('mean', 'std'))
        self.mean, self.std = mean.float().clone(), std.float().clone()
        self.dtype = dtype
        self.model = model

    def forward(self, *images: Tensor) -> Tensor:
        """Give the (B, K, H, W) logits of an optical and, if it sees one, an auxiliary image."""
        inputs = ((torch.cat(images, dim=1) - self.mean) / self.std).to(self.dtype)
        slides, self.model.test_cfg['mode'] = self.model.test_cfg['mode'], 'whole'
        tta = self.model.test_cfg.pop('tta', None)
        try:
            height, width = inputs.shape[-2:]
            logits = self.model.encode_decode(inputs, [{'img_shape': inputs.shape[-2:]}])
            return logits[..., :height, :width].float()
        finally:
            self.model.test_cfg.update(mode=slides, **({} if tta is None else {'tta': tta}))


@contextmanager
def silence() -> Iterator[None]:
    """Drop what torch prints by itself: of an operator that ONNX has not, the graph around it."""
    sys.stdout.flush()
    kept = os.dup(1)
    with Path(os.devnull).open('wb') as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


class AnySize(TorchFunctionMode):
    """Says otherwise what the exporter would write for the traced size alone."""

    def __torch_function__(  # noqa: D105  (torch's own name)
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if func is F.adaptive_avg_pool2d:
            return pool(*args)
        if func is Tensor.unflatten:
            inputs, dim, sizes = args
            dim %= inputs.dim()
            return inputs.reshape(*inputs.shape[:dim], *sizes, *inputs.shape[dim + 1 :])
        return func(*args, **(kwargs or {}))


def pool(inputs: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Pool adaptively as ``F.adaptive_avg_pool2d`` does, by one matrix an axis.

    Args:
        inputs: (B, C, h, w).
        size: Height and width of the output, or one number for both.
    """
    sizes = (size, size) if isinstance(size, int) else size
    if tuple(sizes) == (1, 1):
        return inputs.mean(dim=(2, 3), keepdim=True)
    rows, columns = (
        pooling_matrix(old, new).to(inputs.dtype)
        for old, new in zip(inputs.shape[-2:], sizes, strict=True)
    )
    return rows @ inputs @ columns.T
