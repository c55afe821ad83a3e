"""Class-specific response maps of a segmentor's branches, weighted by gradients."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from mmseg.models import EncoderDecoder
from mmseg.models.utils import resize
from torch import Tensor, nn

from mobanet_mmseg.models.compared.segnet import Pooled
from mobanet_mmseg.models.dgfm import DGFMNeck

BRANCHES = ('fused', 'rgb', 'aux')

Maps = dict[str, list[Tensor]]


class Passed(NamedTuple):
    """What a pass through the head gives.

    Args:
        maps: Maps (B, C, h, w) of each branch that the network has, stage by stage.
        logits: (B, K, H, W) at the size of the inputs; of a single channel, both classes'.
    """

    maps: Maps
    logits: Tensor


class ResponseMaps:
    r"""Grad-CAM of one class, over the maps of the fused, the rgb and the aux branch.

    The class's score y is the sum of its logits over the pixels that are predicted as it, as for
    segmentation; each channel of a map is weighed by the score's gradient, summed over the map's
    pixels, the stages of a branch are added up, and what speaks for the class remains:

    .. math:: \alpha_{s,c} = \sum_{ij} \frac{\partial y}{\partial A_{s,c,ij}}, \quad
        L = \mathrm{relu}\Big(\sum_s \sum_c \alpha_{s,c} A_{s,c}\Big)

    Grad-CAM has the mean in place of the sum, and one stage: sums make maps of several resolutions
    comparable, and of one stage they are the mean but for a factor. Of an image in windows,
    :meth:`weigh` sums over all of them before :meth:`respond` is asked, so that windows share one
    set of weights and fit each other.

    Around a :class:`DGFMNeck` the rgb and the aux branch are the two streams' maps before they are
    fused, the fused one is what the neck gives of them. Of another network with two streams of maps
    those are the branches; of any other one, its head's inputs are the fused branch. The encoder
    gets no gradient: what is computed is that of the neck and the head.

    Source: Selvaraju et al., Grad-CAM (arXiv:1610.02391); Vinogradova et al., Seg-Grad-CAM
    (arXiv:2002.11434), for the score. MoBaNet (arXiv:2603.17705), Fig. 6, shows such maps.

    Args:
        model: A segmentor in eval mode.
        label: Index of the class.
        stage: Number of the one stage that is looked at, from 1; None adds up all that the head
            uses.

    Raises:
        ValueError: If the segmentor has several heads in a row.
    """

    def __init__(self, model: EncoderDecoder, label: int, stage: int | None = None) -> None:
        if isinstance(model.decode_head, nn.ModuleList):
            raise ValueError(
                f'{type(model).__name__} has several heads in a row, and no score of its own: give '
                'a model with one decode_head.'
            )
        self.model, self.label, self.stage = model, label, stage
        necks = (module for module in model.modules() if isinstance(module, DGFMNeck))
        self.fusing = next(necks, None)
        self.weights: dict[str, dict[int, Tensor]] = {}  # (C,) of each stage, by branch

    def weigh(self, inputs: Tensor, size: Sequence[int]) -> Tensor:
        """Add what a batch says of the weights.

        Args:
            inputs: (B, C, H, W), normalised and padded.
            size: Height h and width w of what is no padding.

        Returns:
            The logits (B, K, h, w), detached.

        Raises:
            ValueError: If the stage is not one that the head uses.
        """
        with torch.enable_grad():
            maps, logits = self._forward(inputs)
            logits = logits[..., : size[0], : size[1]]
            predicted = logits.argmax(dim=1) == self.label
            score = logits[:, self.label][predicted].sum()
            flat = [(branch, stage) for branch, own in maps.items() for stage in range(len(own))]
            wanted = [maps[branch][stage] for branch, stage in flat]
            gradients = torch.autograd.grad(score, wanted, allow_unused=True)
        found = {key: each for key, each in zip(flat, gradients, strict=True) if each is not None}
        for branch, own in maps.items():
            for stage in self._choose(branch, [s for b, s in found if b == branch], len(own)):
                weights = self.weights.setdefault(branch, {})
                added = found[branch, stage].double().sum(dim=(0, 2, 3))
                weights[stage] = weights.get(stage, 0) + added
        return logits.detach()

    @torch.no_grad()
    def respond(self, inputs: Tensor, size: Sequence[int]) -> Tensor:
        """Give the response maps of a batch.

        Args:
            inputs: (B, C, H, W), normalised and padded.
            size: Height h and width w of what is no padding.

        Returns:
            (B, number of branches, h, w), in the order of :attr:`branches`, at least 0.
        """
        maps, _ = self._forward(inputs)
        responses, settings = [], dict(mode='bilinear', align_corners=False)
        for branch, weights in self.weights.items():
            total = 0
            for stage, weight in weights.items():
                features = maps[branch][stage].float()
                response = torch.einsum('bchw,c->bhw', features, weight.float())[:, None]
                total = total + resize(response, inputs.shape[-2:], **settings)
            responses.append(total.relu()[..., : size[0], : size[1]])
        return torch.cat(responses, dim=1)

    @property
    def branches(self) -> tuple[str, ...]:
        """The branches that the network has."""
        return tuple(self.weights)

    def _choose(self, branch: str, used: Sequence[int], count: int) -> Sequence[int]:
        """Choose the stages of a branch among those that the head uses."""
        if self.stage is None:
            return used
        if self.stage - 1 not in used:
            known = ', '.join(str(each + 1) for each in used) or 'none'
            raise ValueError(
                f'Stage {self.stage} of the {count} maps of the {branch} branch is not one that '
                f'the head uses: give one of {known}.'
            )
        return [self.stage - 1]

    def _forward(self, inputs: Tensor) -> Passed:
        """Run the encoder without, the rest with the gradients that are asked for."""
        model = self.model
        with torch.no_grad():
            found = model.extract_feat(inputs) if self.fusing is None else model.backbone(inputs)
        found = _leaves(found)
        if self.fusing is None:
            maps, features = _branches_of(found), found
        else:
            fused: list[Sequence[Tensor]] = []
            handle = self.fusing.register_forward_hook(lambda *each: fused.append(each[-1]))
            with handle:
                features = model.neck(found)
            count = len(self.fusing.fusions)
            maps = dict(zip(BRANCHES, (list(fused[0][:count]), *map(list, found)), strict=True))
        size = inputs.shape[-2:]
        metas = [dict(img_shape=size, ori_shape=size, pad_shape=size)] * len(inputs)
        logits = model.decode_head.predict(features, metas, model.test_cfg)
        if logits.shape[1] == 1:
            logits = torch.cat([-logits, logits], dim=1)
        return Passed(maps, logits)


def _leaves(features: Any) -> Any:
    """Nested maps, cut off from how they came to be, of which gradients can be asked for."""
    if isinstance(features, Tensor):
        detached = features.detach()
        return detached.requires_grad_() if detached.is_floating_point() else detached
    if isinstance(features, tuple | list):
        parts = [_leaves(part) for part in features]
        return Pooled(*parts) if isinstance(features, Pooled) else type(features)(parts)
    return features


def _flat(features: Any) -> Iterator[Tensor]:
    if isinstance(features, Tensor) and features.requires_grad and features.ndim == 4:
        yield features
    elif isinstance(features, tuple | list):
        for part in features:
            yield from _flat(part)


def _branches_of(features: Any) -> Maps:
    """Name a network's maps: those of two streams, or those of one."""
    plain = (tuple, list)
    streams = type(features) in plain and len(features) == 2
    if streams and all(type(stream) in plain for stream in features):
        return {'rgb': list(_flat(features[0])), 'aux': list(_flat(features[1]))}
    return {'fused': list(_flat(features))}
