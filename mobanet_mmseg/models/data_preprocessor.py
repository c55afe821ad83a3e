"""From stacked samples to a normalised, padded and (in training) masked batch."""

from collections.abc import Sequence
from typing import Any, Literal

from mmseg.models import SegDataPreProcessor
from mmseg.registry import MODELS
from torch import Tensor, nn

from mobanet_mmseg.models.mcrm import MCRM, modality_slices
from mobanet_mmseg.models.tiled import segmentor_of


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
            channels, or ``modality`` is none of the three, or one that there is not.
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        modality_channels: Sequence[int] = (3, 1),
        size_divisor: int = 1,
        mcrm: dict | None = None,
        modality: Literal['both', 'rgb', 'aux'] = 'both',
        **kwargs: Any,
    ) -> None:
        super().__init__(mean=mean, std=std, size_divisor=size_divisor, **kwargs)
        self.modality_channels = tuple(modality_channels)
        self.num_channels = sum(modality_channels)
        if not len(mean) == len(std) == self.num_channels:
            raise ValueError(
                f'data_preprocessor has {len(mean)} means and {len(std)} stds for '
                f'{self.num_channels} stacked channels (modality_channels='
                f'{tuple(modality_channels)}): give one of each per channel, optical first.'
            )
        optical, auxiliary = modality_slices(modality_channels)
        self.droppable_channels = {'both': slice(0), 'rgb': auxiliary, 'aux': optical}
        self.modality = modality
        self.mcrm = MCRM(modality_channels, **mcrm) if mcrm is not None else None

    @property
    def modality(self) -> Literal['both', 'rgb', 'aux']:
        """What the network gets; the rest is 0 from the next batch on."""
        return self._modality

    @modality.setter
    def modality(self, modality: Literal['both', 'rgb', 'aux']) -> None:
        if modality not in self.droppable_channels:
            raise ValueError(f"modality={modality!r}; it is 'both', 'rgb' or 'aux'.")
        if modality == 'aux' and not self.modality_channels[1]:
            raise ValueError(
                f"modality='aux', but the model has none (modality_channels="
                f"{self.modality_channels}): it sees the optical image alone, 'both' or 'rgb'."
            )
        self._modality = modality

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
        inputs[:, self.droppable_channels[self.modality]] = 0
        if training and self.mcrm is not None:
            sizes = [sample.img_shape for sample in data['data_samples']]
            height, width = (min(size) for size in zip(*sizes, strict=True))
            inputs[..., :height, :width] = self.mcrm(inputs[..., :height, :width])
        return data

    def _check_channels(self, inputs: Sequence[Tensor]) -> None:
        for image in inputs:
            if image.shape[0] != self.num_channels:
                raise ValueError(
                    f'A sample has {image.shape[0]} channels, the data_preprocessor expects '
                    f'{self.num_channels}: make img_bands and aux_bands of the dataset agree with '
                    'modality_channels of the model.'
                )


def select_modality(model: nn.Module, modality: Literal['both', 'rgb', 'aux']) -> str:
    """Let a built model see one modality, or both; the other is 0 after normalisation.

    Args:
        model: A segmentor, or a runner's model.
        modality: ``'both'``, ``'rgb'`` or ``'aux'``.

    Returns:
        What it saw before.

    Raises:
        ValueError: If its data preprocessor knows nothing of modalities, or there is no such one.
    """
    preprocessor = segmentor_of(model).data_preprocessor
    if not isinstance(preprocessor, MultimodalDataPreProcessor):
        raise ValueError(
            f'The data_preprocessor of the model is {type(preprocessor).__name__}, which cannot '
            'leave a modality out: use MultimodalDataPreProcessor with the same mean and std.'
        )
    before, preprocessor.modality = preprocessor.modality, modality
    return before
