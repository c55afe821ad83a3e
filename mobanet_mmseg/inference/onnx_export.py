"""A trained segmentor as one ONNX file: raw images in, logits out, with all that predicts by it."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from mmseg.models import EncoderDecoder
from torch import Tensor

from mobanet_mmseg.classes import Classes
from mobanet_mmseg.inference.onnx_inferencer import open_session, run_of
from mobanet_mmseg.inference.onnx_settings import ENDING, KEY, OnnxSettings, import_extra, is_onnx
from mobanet_mmseg.inference.onnx_trace import RawNetwork, trace
from mobanet_mmseg.inference.trained import aux_kind, load_segmentor, missing_aux, reading_spec
from mobanet_mmseg.models.adapters import weight_files
from mobanet_mmseg.models.encoder import Encoder
from mobanet_mmseg.writing import check_outputs, whole_file

Precision = Literal['fp32', 'fp16', 'int8']

MOST_BYTES = 2**31 - 2**24  # of one file: protobuf's limit, less what is no weight
UNIT = 32  # pixels, where a data preprocessor has no size_divisor
# images and sides of the trace, and of what it is compared at, in units: a grid that neither a
# window of SAM or Swin nor a native grid of positions divides into, so that their padding is traced
TRACED = (2, 5, 7)
COMPARED = ((1, 8, 3), (3, 4, 6))
TOLERANCE = 1e-4  # of the largest logit, which is 1 at least


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        settings: What the file says of itself.
        num_bytes: Its size.
        difference: Largest difference of a logit from torch's, at sizes that were not traced.
        agreement: Share of the pixels that get torch's label there, 0 to 1.
    """

    settings: OnnxSettings
    num_bytes: int
    difference: float
    agreement: float

    def __str__(self) -> str:
        """Say so in a line."""
        return (
            f'{self.num_bytes / 1e6:,.1f} MB of {self.settings.precision}; at other sizes than it '
            f'was traced with, logits differ from torch by {self.difference:.2g} at most, and '
            f'{self.agreement:.2%} of the pixels get the same label'
        )


def export_onnx(
    config: str | Path,
    checkpoint: str | Path,
    out: str | Path,
    precision: Precision = 'fp32',
    cfg_options: dict[str, Any] | None = None,
) -> Exported:
    """Write a trained segmentor as an ONNX file that any size and number of windows runs through.

    Its inputs ``rgb`` and ``aux`` are (B, C, H, W) float32, as rasters are loaded: optical values
    as they are, auxiliary ones scaled by the config's ``aux_range``. The data preprocessor's
    normalisation is inside. Its output ``logits`` is (B, K, H, W) float32.

    Args:
        config: Config file.
        checkpoint: File that the training wrote.
        out: ONNX file to write.
        precision: ``'fp32'``, ``'fp16'`` for weights and activations of 16 bits, or ``'int8'`` for
            8-bit weights of matrix products, whose activations are quantized as they come.
        cfg_options: Settings that override the config.

    Raises:
        CheckpointError: If the checkpoint does not fit the config.
        FileNotFoundError: If a file is missing.
        OSError: If the file cannot be written.
        ValueError: If the network cannot be written as ONNX, or gives other logits then.
    """
    import_extra('onnx')
    check_outputs([out], [config, checkpoint])
    if not is_onnx(out):
        raise ValueError(f'{out} is to be an ONNX file: let its name end in {ENDING}.')
    model = load_segmentor(config, checkpoint, cfg_options=cfg_options)
    encoders = [module for module in model.modules() if isinstance(module, Encoder)]
    check_outputs([out], weight_files(encoders, Path(checkpoint)))
    check_exportable(model, encoders, precision, config)
    settings = settings_of(model, precision, (Path(config).name, Path(checkpoint).name))
    channels = settings.spec.modality_channels
    examples = [example(model, *shape) for shape in (TRACED, *COMPARED)]
    with torch.no_grad():
        expected = [RawNetwork(model)(*split(each, channels)) for each in examples[1:]]
    with whole_file(out, RuntimeError) as part:
        dtype = torch.float16 if precision == 'fp16' else torch.float32
        content = trace(model, split(examples[0], channels), dtype, config)
        write_model(content, settings, part)
        run = run_of(open_session(part, 'cpu'), channels, {})
        found = compare(run, examples[1:], expected, settings, config)
    return Exported(settings, Path(out).stat().st_size, *found)


def check_exportable(
    model: EncoderDecoder, encoders: list[Encoder], precision: Precision, config: str | Path
) -> None:
    """Refuse what would not become a file, or one of wrong logits.

    Args:
        model: The segmentor.
        encoders: Those of it.
        precision: See :func:`export_onnx`.
        config: Its file, for the sentence.

    Raises:
        ValueError: If it would not.
    """
    if precision == 'fp16' and any(encoder.overflows_in_fp16 for encoder in encoders):
        raise ValueError(
            f'The encoder of {config} leaves the range of 16-bit floats: export it without --fp16.'
        )
    preprocessor = model.data_preprocessor
    normalises = 'mean' in dict(preprocessor.named_buffers())
    if preprocessor.test_cfg or preprocessor.channel_conversion or not normalises:
        raise ValueError(
            f'The data_preprocessor of {config} pads by test_cfg, swaps channels or has no mean '
            'and std, which the file would not do: give it MultimodalDataPreProcessor, with the '
            'means in the order of the bands.'
        )
    size = sum(each.numel() for each in model.state_dict().values())
    if size * (2 if precision == 'fp16' else 4) > MOST_BYTES:
        raise ValueError(
            f'The network of {config} has {size / 1e6:.0f} M parameters, more than the 2 GB of an '
            f'ONNX file hold as {precision}: export a smaller one'
            + (', or try --fp16.' if precision != 'fp16' else '.')
        )


def settings_of(
    model: EncoderDecoder, precision: Precision, source: tuple[str, str]
) -> OnnxSettings:
    """Gather what a prediction needs beside the network.

    Args:
        model: A trained segmentor.
        precision: See :func:`export_onnx`.
        source: Names of the config and the checkpoint.
    """
    preprocessor, slides = model.data_preprocessor, model.test_cfg.get('mode') == 'slide'
    keys = ('mode', 'crop_size', 'stride', 'batch_size', 'blend') if slides else ('mode',)
    test_cfg = {key: model.test_cfg[key] for key in (*keys, 'tta') if key in model.test_cfg}
    switches = [getattr(hook, 'modality', None) for hook in preprocessor._forward_hooks.values()]
    return OnnxSettings(
        classes=Classes.of(model.dataset_meta),
        spec=reading_spec(model.cfg),
        mean=tuple(preprocessor.mean.flatten().tolist()),
        test_cfg=test_cfg,
        needs_aux=missing_aux(model.cfg) == 'error',
        modality=next(filter(None, switches), 'both'),
        aux_kind=aux_kind(model.cfg),
        temperature=model.temperature,
        out_channels=model.out_channels,
        threshold=model.decode_head.threshold if model.out_channels == 1 else None,
        precision=precision,
        source=source,
    )


def example(model: EncoderDecoder, images: int, rows: int, columns: int) -> Tensor:
    """Draw raw stacked images (B, C, H, W) that look normal once they are normalised.

    Args:
        model: A segmentor.
        images: How many.
        rows: Height, in units of its data preprocessor's ``size_divisor``.
        columns: Width, likewise.
    """
    preprocessor = model.data_preprocessor
    mean, std = preprocessor.mean, preprocessor.std
    unit = preprocessor.size_divisor or UNIT
    rng = torch.Generator().manual_seed(0)
    shape = images, len(mean), rows * unit, columns * unit
    return mean + std * torch.randn(shape, generator=rng)


def split(stacked: Tensor, channels: tuple[int, int]) -> tuple[Tensor, ...]:
    """Take stacked images apart; an auxiliary image of no channels is none.

    Args:
        stacked: (B, C, H, W).
        channels: Optical and auxiliary channels.
    """
    return stacked.split([count for count in channels if count], dim=1)


def write_model(content: bytes, settings: OnnxSettings, path: Path) -> None:
    """Write an ONNX file that says what it is.

    Args:
        content: From :func:`trace`.
        settings: What it says.
        path: File to write.
    """
    onnx = import_extra('onnx')
    model = onnx.load_from_string(content)
    if settings.precision == 'int8':
        model = quantized(model, path)
    onnx.helper.set_model_props(model, {KEY: settings.to_json()})
    path.write_bytes(model.SerializeToString())


def quantized(model: Any, path: Path) -> Any:
    """Turn the weights of matrix products into 8-bit integers.

    Convolutions stay as they are: onnxruntime's of integers are slower, and lose more.

    Args:
        model: An ``onnx.ModelProto``.
        path: File that may be written on the way.
    """
    quantization = import_extra('onnxruntime.quantization')
    logging.disable(logging.WARNING)  # it would like to infer shapes before, which are open here
    try:
        quantization.quantize_dynamic(
            model,
            path,
            op_types_to_quantize=['MatMul', 'Gemm'],
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
        )
    finally:
        logging.disable(logging.NOTSET)
    return import_extra('onnx').load(path)


def compare(
    run: Any,
    examples: list[Tensor],
    expected: list[Tensor],
    settings: OnnxSettings,
    config: str | Path,
) -> tuple[float, float]:
    """Compare the logits of a file with torch's.

    Args:
        run: From :func:`mobanet_mmseg.inference.onnx_inferencer.run_of`.
        examples: Raw stacked images.
        expected: Torch's logits of each.
        settings: Of the file.
        config: For the sentence.

    Returns:
        The largest difference, and the share of the pixels that get the same label.

    Raises:
        ValueError: If they differ, or, in a lower precision, are not finite.
    """
    difference, same, total, largest = 0.0, 0, 0, 1.0
    for images, logits in zip(examples, expected, strict=True):
        try:
            given = run(images)
        except Exception as error:  # onnxruntime's own, of a size that was taken for a constant
            raise ValueError(
                f'The network of {config} holds fast to the size of the image that it was exported '
                f'with ({str(error).splitlines()[0]}), so it cannot be exported.'
            ) from error
        if given.shape != logits.shape or not given.isfinite().all():
            difference = float('inf')
            break
        largest = max(largest, logits.abs().max().item())
        difference = max(difference, (given - logits).abs().max().item())
        chosen = [_labels(each, settings.threshold) for each in (given, logits)]
        same, total = same + int((chosen[0] == chosen[1]).sum()), total + chosen[0].numel()
    exact = settings.precision == 'fp32'
    if difference > (TOLERANCE * largest if exact else float('inf')) or not total:
        raise ValueError(
            f'The network of {config} gives other logits as ONNX ({settings.precision}) than in '
            f'torch (by {difference:.3g}), so it is not written.'
        )
    return difference, same / total


def _labels(logits: Tensor, threshold: float | None) -> Tensor:
    return logits.argmax(dim=1) if threshold is None else logits.sigmoid() > threshold
