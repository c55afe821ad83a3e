"""Prediction by an exported model: no config, no checkpoint, no network of MMSegmentation."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from mobanet_mmseg.inference.onnx_settings import KEY, OnnxSettings, import_extra
from mobanet_mmseg.inference.pair_inferencer import PairInferencer, tiling_for
from mobanet_mmseg.inference.predict import WindowNetwork
from mobanet_mmseg.models.mcrm import modality_slices
from mobanet_mmseg.tiling.symmetries import average_over

PROVIDERS = {'cpu': 'CPUExecutionProvider', 'cuda': 'CUDAExecutionProvider'}


class OnnxInferencer(PairInferencer):
    """A model that ``tools/export_onnx.py`` wrote, which predicts pairs of images.

        inferencer = OnnxInferencer('potsdam.onnx')
        prediction = inferencer('top_potsdam_2_13_RGB.tif', 'dsm_potsdam_02_13.tif')

    Args:
        model: The file.
        device: ``cpu``, ``cuda:0`` ..., or ``auto`` for a GPU if onnxruntime has one.
        modality: See :class:`MultimodalInferencer`, as for all that follows.
        window: Window height and width, pixels, or one number for both.
        stride: Step down and step right, likewise.
        batch_size: Windows at once, or ``'auto'``.
        blend: ``'gaussian'`` or ``'cosine'`` weights within a window; ``'none'`` for none.
        tta: Average the logits over ``'flips'`` or the eight symmetries ``'d4'``.

    Attributes:
        settings: What the file says of itself.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such model, the device is not there, or a setting is of no use.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        device: str = 'auto',
        modality: Literal['both', 'rgb', 'aux'] = 'both',
        window: int | tuple[int, int] | None = None,
        stride: int | tuple[int, int] | None = None,
        batch_size: int | Literal['auto'] | None = None,
        blend: Literal['gaussian', 'cosine', 'none'] | None = None,
        tta: Literal['flips', 'd4'] | None = None,
    ) -> None:
        session = open_session(model, device)
        self.settings = settings = read_settings(session, model)
        check_network(session, settings, model)
        self.modality = settings.modality if modality == 'both' else modality
        channels = settings.spec.modality_channels
        run = run_of(session, channels, _values_left_out(settings, self.modality))
        needs_aux = {'both': settings.needs_aux, 'rgb': False, 'aux': True}
        network = WindowNetwork(
            average_over(run, tta or settings.test_cfg.get('tta')),
            out_channels=settings.out_channels,
            device=torch.device('cpu'),  # onnxruntime brings windows to its own
            threshold=settings.threshold,
        )
        super().__init__(
            network,
            settings.spec,
            settings.classes,
            tiling_for(settings.test_cfg, window, stride, blend),
            needs_aux=needs_aux[modality],
            temperature=settings.temperature,
            files=[model],
        )
        self.choose_batch(batch_size)

    @property
    def aux_kind(self) -> str:
        """What the auxiliary image holds, as pictures show it."""
        return self.settings.aux_kind

    def open_truth(self, img_path: str | Path, label_path: str | Path) -> None:
        """Refuse labels: how they are read, a config says.

        Args:
            img_path: Not used.
            label_path: Not used.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            f'An exported model does not know how labels ({label_path}) are read: leave --label '
            'out, or give config and checkpoint.'
        )


def open_session(path: str | Path, device: str = 'auto') -> Any:
    """Open an exported model in onnxruntime, with as many threads as torch has.

    Args:
        path: The file.
        device: See :class:`OnnxInferencer`.

    Returns:
        An ``onnxruntime.InferenceSession``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If onnxruntime cannot read it, or does not have the device.
    """
    runtime = import_extra('onnxruntime')
    if not Path(path).is_file():
        raise FileNotFoundError(
            f'{path} is not there: give a file that tools/export_onnx.py wrote.'
        )
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors, not that it leaves cores to others
    provider = _provider(device)
    try:
        return runtime.InferenceSession(str(path), options, providers=[provider])
    except Exception as error:  # each of its errors is a class of its own, of RuntimeError or not
        raise ValueError(
            f'{path} cannot be opened by onnxruntime ({str(error).splitlines()[0]}): give a file '
            'that tools/export_onnx.py wrote.'
        ) from error


def _provider(device: str) -> str | tuple[str, dict[str, int]]:
    """Name what onnxruntime runs on."""
    known = import_extra('onnxruntime').get_available_providers()
    if device == 'auto':
        device = 'cuda' if PROVIDERS['cuda'] in known else 'cpu'
    kind, _, index = device.partition(':')
    provider = PROVIDERS.get(kind)
    if provider not in known or not (index or '0').isdigit():
        raise ValueError(
            f'onnxruntime has no device {device!r} here (it has {", ".join(known)}): give cpu, or '
            'install onnxruntime-gpu in its place.'
        )
    return provider if kind == 'cpu' else (provider, {'device_id': int(index or 0)})


def read_settings(session: Any, path: str | Path) -> OnnxSettings:
    """Read what an exported model says of itself.

    Args:
        session: From :func:`open_session`.
        path: Its file, for the sentence.

    Raises:
        ValueError: If it says nothing.
    """
    told = session.get_modelmeta().custom_metadata_map
    if KEY not in told:
        raise ValueError(
            f'{path} does not say which bands and classes it has, so mobanet_mmseg did not export '
            'it: give a file that tools/export_onnx.py wrote.'
        )
    return OnnxSettings.of_json(told[KEY], path)


def check_network(session: Any, settings: OnnxSettings, path: str | Path) -> None:
    """Refuse a network that is not the one that its file tells of.

    Args:
        session: From :func:`open_session`.
        settings: What the file says of itself.
        path: The file, for the sentence.

    Raises:
        ValueError: If it takes other images than told, or gives other logits.
    """
    optical, auxiliary = settings.spec.modality_channels
    told = [optical, auxiliary] if auxiliary else [optical], [settings.out_channels]
    for each, expected in zip((session.get_inputs(), session.get_outputs()), told, strict=True):
        found = [(value.type, *value.shape) for value in each]
        fits = len(found) == len(expected) and all(
            kind == 'tensor(float)'
            and len(shape) == 4
            and (shape[1] == channels or not isinstance(shape[1], int))
            and not any(isinstance(side, int) for side in shape[2:])
            for (kind, *shape), channels in zip(found, expected, strict=True)
        )
        if not fits:
            raise ValueError(
                f'{path} tells of {expected} channels of images of any size, but its network has '
                f'{found}: it was changed after mobanet_mmseg exported it; export it anew.'
            )


def run_of(session: Any, channels: tuple[int, int], left_out: dict[int, float]) -> Any:
    """Make a function of raw windows (N, C, h, w) to the logits of a session.

    Args:
        session: From :func:`open_session`.
        channels: Optical and auxiliary channels.
        left_out: Value that channels have whatever the window holds, by their places.
    """
    names = [given.name for given in session.get_inputs()]
    slices = modality_slices(channels)[: len(names)]

    def run(windows: Tensor) -> Tensor:
        stacked = windows.numpy()
        if left_out:
            stacked = stacked.copy()
            for channel, value in left_out.items():
                stacked[:, channel] = value
        parts = (np.ascontiguousarray(stacked[:, part]) for part in slices)
        (logits,) = session.run(None, dict(zip(names, parts, strict=True)))
        return torch.from_numpy(logits)

    return run


def _values_left_out(settings: OnnxSettings, modality: str) -> dict[int, float]:
    """The mean of each channel that the network is not to see: normalised, it is 0."""
    optical, auxiliary = settings.spec.modality_channels
    if modality == 'aux' and not auxiliary:
        raise ValueError(
            "modality='aux', but the model sees the optical image alone: give 'both' or 'rgb'."
        )
    hidden = {
        'both': range(0),
        'rgb': range(optical, optical + auxiliary),
        'aux': range(optical),
    }
    return {channel: settings.mean[channel] for channel in hidden[modality]}
