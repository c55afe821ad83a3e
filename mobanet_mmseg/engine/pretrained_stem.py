"""Lets a backbone of more than three channels start from weights of three."""

from functools import partial
from typing import Any, Literal

from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import Tensor, nn

from mobanet_mmseg.datasets.channels import modality_channels_of
from mobanet_mmseg.models.tiled import segmentor_of
from mobanet_mmseg.weights.channels import with_channels

RGB = 3  # channels of the images that backbones are pretrained on


@HOOKS.register_module()
class PretrainedStemHook(Hook):
    """Fits a pretrained first convolution of three channels to stacked samples of more.

    A stock backbone that takes optical and auxiliary channels in one (``in_channels=4``, early
    fusion) cannot load the first convolution of weights for colour images. This hook widens it
    while the weights are read, whoever reads them (``init_cfg``, a backbone's own loader,
    ``load_from``): the pretrained channels are the first three, and what the others begin with is
    ``new_channels``. The log says so. Nothing else changes: without pretrained weights, or with
    those of as many channels, the hook does nothing.

    Zeros, the default, begin as the pretrained network: whatever the new channels hold, its maps
    are those of the optical image, and training finds what they add; their gradient is not zero.
    The mean over the pretrained channels begins by reading a height as a grey image; it is for a
    first convolution that is frozen, whose new channels zeros would silence for good.

    Args:
        new_channels: ``'zeros'``, or ``'mean'`` over the pretrained channels.

    Raises:
        ValueError: If ``new_channels`` is neither.
    """

    priority = 'VERY_HIGH'

    def __init__(self, new_channels: Literal['zeros', 'mean'] = 'zeros') -> None:
        if new_channels not in ('zeros', 'mean'):
            raise ValueError(f"new_channels={new_channels!r}; it is 'zeros' or 'mean'.")
        self.new_channels = new_channels
        self.handles: list[Any] = []

    def before_run(self, runner: Runner) -> None:
        """Stand ready, before MMEngine initialises a model that is to be trained."""
        if not isinstance(runner.optim_wrapper, OptimWrapper | OptimWrapperDict):
            return  # nothing is trained
        channels = modality_channels_of(runner.train_dataloader.dataset)
        total = sum(channels or ())
        if total <= RGB:
            return
        for name, module in segmentor_of(runner.model).named_modules():
            if isinstance(module, nn.Conv2d) and module.in_channels == total:
                widen = partial(self._widen, runner, name)
                self.handles.append(module.register_load_state_dict_pre_hook(widen))

    def before_train(self, runner: Runner) -> None:
        """Stop watching: all weights are read."""
        for handle in self.handles:
            handle.remove()
        self.handles.clear()

    def _widen(
        self,
        runner: Runner,
        name: str,
        module: nn.Conv2d,
        state_dict: dict[str, Tensor],
        prefix: str,
        *_: Any,
    ) -> None:
        """Widen a convolution's weights, (out, 3, h, w), in what is about to be loaded."""
        given, wanted = state_dict.get(f'{prefix}weight'), module.weight
        fits = (wanted.shape[0], RGB, *wanted.shape[2:])
        if given is None or given.shape != fits:
            return
        if self.new_channels == 'zeros' and not wanted.requires_grad:
            raise ValueError(
                f'{name} is frozen, so that its channels beyond the pretrained {RGB} would stay 0 '
                'and never be seen: set frozen_stages=-1 in the backbone, or '
                "default_hooks.pretrained_stem.new_channels='mean'."
            )
        state_dict[f'{prefix}weight'] = with_channels(given, wanted.shape[1], self.new_channels)
        begins = 'zero' if self.new_channels == 'zeros' else 'the mean over those'
        runner.logger.info(
            f'{name} takes {wanted.shape[1]} channels and its pretrained weights {RGB}: the first '
            f'{RGB} are the pretrained ones, the others begin as {begins}.'
        )
