"""From stacked samples to a normalised, padded and (in training) masked batch."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from mmseg.models import SegDataPreProcessor
from mmseg.registry import MODELS
from torch import Tensor, nn

from mobanet_mmseg.models.mcrm import MCRM, modality_slices
from mobanet_mmseg.models.tiled import segmentor_of

Modality = Literal['both', 'rgb', 'aux']


class ModalitySwitch:
    """Leaves a modality out of stacked, normalised images.

    Args:
        modality_channels: Channels of the optical and of the auxiliary image.
        modality: What stays: ``'both'``, ``'rgb'`` or ``'aux'``.

    Raises:
        ValueError: If ``modality`` is none of the three, or one that there is not.
    """

    def __init__(self, modality_channels: Sequence[int], modality: Modality = 'both') -> None:
        self.modality_channels = tuple(modality_channels)
        optical, auxiliary = modality_slices(modality_channels)
        self.droppable_channels = {'both': slice(0), 'rgb': auxiliary, 'aux': optical}
        self.modality = modality

    @property
    def modality(self) -> Modality:
        """What stays; the rest is 0 from the next batch on."""
        return self._modality

    @modality.setter
    def modality(self, modality: Modality) -> None:
        if modality not in self.droppable_channels:
            raise ValueError(f"modality={modality!r}; it is 'both', 'rgb' or 'aux'.")
        if modality == 'aux' and not self.modality_channels[1]:
            raise ValueError(
                f"modality='aux', but the model has none (modality_channels="
                f"{self.modality_channels}): it sees the optical image alone, 'both' or 'rgb'."
            )
        self._modality = modality

    def __call__(self, preprocessor: nn.Module, given: Any, data: dict[str, Any]) -> None:
        """Set what does not stay to 0, in place; torch calls it after a data preprocessor.

        Args:
            preprocessor: Not used.
            given: Not used.
            data: ``inputs`` (B, C, H, W), normalised.
        """
        data['inputs'][:, self.droppable_channels[self.modality]] = 0


@MODELS.register_module()
class MultimodalDataPreProcessor(SegDataPreProcessor):
    """MMSeg's data preprocessor for two stacked modalities, or for the optical image alone.

    Normalises each channel, drops a modality if told so, pads a training batch at its bottom and
    right (labels with 255) and applies MCRM to the part that is image. At test time the segmentor
    pads each window by ``size_divisor`` and crops the logits back.

    Args:
        mean: Mean of each stacked channel, optical first.
        std: Standard deviation of each stacked channel.
        modality_channels: Channels of the optical and of the auxiliary image; ``(3, 0)`` has none
            of the latter.
        size_divisor: Height and width are padded to multiples of it: the encoder's patch size.
        mcrm: Arguments of :class:`MCRM`; ``None`` masks nothing.
        modality: ``'both'``, or the one that the network gets while the other is 0 after
            normalisation (the paper's Table V).
        **kwargs: Passed to ``mmseg.models.SegDataPreProcessor``.

    Raises:
        ValueError: If ``mean``, ``std`` or a sample does not have ``sum(modality_channels)``
            channels, ``modality`` is none of the three, or one that there is not, or settings of
            MMSeg's own data preprocessor are left that do not fit this one.
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        modality_channels: Sequence[int] = (3, 1),
        size_divisor: int = 1,
        mcrm: dict | None = None,
        modality: Modality = 'both',
        **kwargs: Any,
    ) -> None:
        _check_leftovers(kwargs)
        # onedl-mmsegmentation takes three means at most; its parent's normalisation takes any
        super().__init__(mean=(0,), std=(1,), size_divisor=size_divisor, **kwargs)
        self.mean, self.std = (torch.tensor(each).view(-1, 1, 1) for each in (mean, std))
        self.modality_channels = tuple(modality_channels)
        self.num_channels = sum(modality_channels)
        if not len(mean) == len(std) == self.num_channels:
            raise ValueError(
                f'data_preprocessor has {len(mean)} means and {len(std)} stds for '
                f'{self.num_channels} stacked channels (modality_channels='
                f'{tuple(modality_channels)}): give one of each per channel, optical first.'
            )
        self.register_forward_hook(ModalitySwitch(modality_channels, modality))
        self.mcrm = MCRM(modality_channels, **mcrm) if mcrm is not None else None

    def forward(self, data: dict, training: bool = False) -> dict[str, Any]:
        """Turn collated samples into ``inputs`` (B, C, H, W) and their ``data_samples``.

        Args:
            data: ``inputs``, a list of (C, H, W) tensors, and ``data_samples``.
            training: Pad and mask, which only training does here.

        Returns:
            The same two keys, ready for the segmentor.
        """
        self._check_channels(data['inputs'])
        data = super().forward(data, training)
        inputs: Tensor = data['inputs']
        if training and self.mcrm is not None:
            sizes = [sample.img_shape for sample in data['data_samples']]
            height, width = (min(size) for size in zip(*sizes, strict=True))
            data['inputs'] = self.mcrm(inputs, (height, width))
        return data

    def _check_channels(self, inputs: Sequence[Tensor]) -> None:
        for image in inputs:
            if image.shape[0] != self.num_channels:
                raise ValueError(
                    f'A sample has {image.shape[0]} channels, the data_preprocessor expects '
                    f'{self.num_channels}: make img_bands and aux_bands of the dataset agree with '
                    'modality_channels of the model.'
                )


def select_modality(
    model: nn.Module, modality: Modality, modality_channels: Sequence[int] | None = None
) -> Modality:
    """Let a built model see one modality, or both; the other is 0 after normalisation.

    Args:
        model: A segmentor, or a runner's model.
        modality: ``'both'``, ``'rgb'`` or ``'aux'``.
        modality_channels: Optical and auxiliary channels of its images, for a data preprocessor
            of MMSeg's own, which does not know them.

    Returns:
        What it saw before.

    Raises:
        ValueError: If its data preprocessor knows nothing of modalities, or there is no such one.
    """
    preprocessor = segmentor_of(model).data_preprocessor
    hooks = preprocessor._forward_hooks.values()
    switch = next((hook for hook in hooks if isinstance(hook, ModalitySwitch)), None)
    if switch is None:
        if modality_channels is None:
            raise ValueError(
                f'The data_preprocessor of the model is {type(preprocessor).__name__}, which '
                'cannot leave a modality out: use MultimodalDataPreProcessor with the same mean '
                'and std.'
            )
        switch = ModalitySwitch(modality_channels)
        preprocessor.register_forward_hook(switch)
    before, switch.modality = switch.modality, modality
    return before


def _check_leftovers(settings: dict[str, Any]) -> None:
    """Refuse what a config of MMSeg's leaves where this preprocessor is laid over its own."""
    wrong = {key: settings[key] for key in ('size', 'bgr_to_rgb') if settings.get(key)}
    if wrong:
        raise ValueError(
            f'data_preprocessor has {", ".join(f"{key}={value}" for key, value in wrong.items())}, '
            'which is of a SegDataPreProcessor that the config inherits (rasters are read as R G B,'
            ' and padded to size_divisor): put _delete_=True into data_preprocessor.'
        )
