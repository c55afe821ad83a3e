"""What an exported model says of itself, as JSON among the metadata of its file."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from mobanet_mmseg.classes import Classes
from mobanet_mmseg.installation import how_to_install
from mobanet_mmseg.modalities import AuxRange, Scaling, StackSpec
from mobanet_mmseg.tiling.windows import Tiling

KEY = 'mobanet_mmseg'  # of the metadata
FORMAT = 1
ENDING = '.onnx'


@dataclass(frozen=True)
class OnnxSettings:
    """All that a prediction needs beside the network, which is in the file, too.

    Args:
        classes: What the network tells apart.
        spec: Bands that are read and how the auxiliary image is scaled before the network gets it.
        mean: Mean of each stacked channel, which the network subtracts by itself; a modality that
            is left out is set to it.
        test_cfg: Windows, strides, blend and batch size, as the model's.
        needs_aux: Whether there has to be an auxiliary image.
        modality: What the network was to see, ``'both'`` as a rule.
        aux_kind: What the auxiliary image holds, as pictures show it.
        temperature: Divides the logits before they become probabilities.
        out_channels: Channels K of the logits.
        threshold: Of a single channel: the probability above which a pixel is of the second class.
        precision: ``'fp32'``, ``'fp16'`` or ``'int8'``.
        source: Names of the config and the checkpoint that it was made of.
    """

    classes: Classes
    spec: StackSpec
    mean: tuple[float, ...]
    test_cfg: dict[str, Any]
    needs_aux: bool
    modality: str
    aux_kind: str
    temperature: float
    out_channels: int
    threshold: float | None
    precision: str
    source: tuple[str, ...]

    def to_json(self) -> str:
        """Write it down."""
        return json.dumps({'format': FORMAT, **asdict(self)}, ensure_ascii=False)

    @classmethod
    def of_json(cls, text: str, path: str | Path) -> 'OnnxSettings':
        """Read what :meth:`to_json` wrote.

        Args:
            text: The JSON.
            path: File that it is of, for the sentence.

        Raises:
            ValueError: If it is of another format.
        """
        try:
            told = json.loads(text)
            version = told.pop('format', None)
            if version == FORMAT:
                settings = cls._of_dict(told)
                settings._check()
                return settings
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(
                f'{path} cannot be used, by what it says of itself ({type(error).__name__}: '
                f'{error}): export it anew.'
            ) from error
        raise ValueError(
            f'{path} was exported by another version of mobanet_mmseg: export it anew.'
        )

    @classmethod
    def _of_dict(cls, told: dict[str, Any]) -> 'OnnxSettings':
        spec = told.pop('spec')
        aux_range = spec.pop('aux_range')
        scaling, percentages = aux_range.pop('scaling'), aux_range.pop('percentages')
        aux_range = AuxRange(
            **aux_range,
            scaling=scaling and Scaling(*map(_frozen, scaling)),
            percentages=_frozen(percentages),
        )
        return cls(
            **{key: _frozen(value) for key, value in told.items() if key != 'classes'},
            classes=Classes(**told['classes']),
            spec=StackSpec(
                **{key: _frozen(value) for key, value in spec.items()}, aux_range=aux_range
            ),
        )

    def _check(self) -> None:
        """Refuse what contradicts itself, which no export writes."""
        channels, classes = self.spec.modality_channels, len(self.classes)
        scaled = [*self.mean, self.temperature, self.threshold or 0.0]
        if self.test_cfg.get('mode') == 'slide':
            Tiling.of(self.test_cfg)
        if len(self.mean) != sum(channels) or not all(map(math.isfinite, scaled)):
            raise ValueError(f'{sum(channels)} channels have the means {self.mean}')
        if not all(isinstance(band, int) for band in (*self.spec.img_bands, *self.spec.aux_bands)):
            raise ValueError('bands are numbers')
        if self.temperature <= 0 or self.modality not in ('both', 'rgb', 'aux'):
            raise ValueError(f'temperature {self.temperature}, modality {self.modality!r}')
        if classes != (self.out_channels if self.threshold is None else 2):
            raise ValueError(f'{classes} classes of {self.out_channels} channels')


def _frozen(value: Any) -> Any:
    """Lists, which are JSON's, to tuples."""
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def is_onnx(path: str | Path) -> bool:
    """Whether a file is an exported model, by its name.

    Args:
        path: A config, or such a file.
    """
    return Path(path).suffix.lower() == ENDING


def import_extra(name: str) -> ModuleType:
    """Import a library that the extra ``onnx`` brings.

    Args:
        name: Of the module.

    Raises:
        ValueError: If it is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ValueError(
            f'{name.split(".")[0]} is not installed: {how_to_install("onnx")}.'
        ) from error
