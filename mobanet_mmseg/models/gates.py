"""What DGFM's gates do, watched while a network runs."""

from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import NamedTuple

import torch
from mmseg.models import EncoderDecoder
from mmseg.models.utils import resize
from torch import Tensor, nn

from mobanet_mmseg.models.dgfm import DGFM
from mobanet_mmseg.models.windows import prepare_windows
from mobanet_mmseg.tiling.symmetries import Network


class Gate(NamedTuple):
    r"""How one stage weighs the streams at each pixel, over all channels.

    The mean gate says what the network asks for, the share what it gets: a gate of 1/2 on a stream
    whose features are near 0 brings little of it.

    Args:
        weight: Mean of G, the weight of rgb; :math:`1 - G` is that of aux; (B, h, w) float32.
        share: :math:`\sum |G R| / (\sum |G R| + \sum |(1 - G) A|)`, what of the fused features'
            magnitude rgb brings; (B, h, w) float32.
    """

    weight: Tensor
    share: Tensor


class GateWatch(AbstractContextManager):
    """Notes what the gates of a model do in each forward pass of the block that it opens.

    Args:
        model: A segmentor, wrapped or not.

    Attributes:
        stages: The gated fusions, in the order of the stages; none where a model has none.
        gates: Of the last forward pass, by the number of the stage.
    """

    def __init__(self, model: nn.Module) -> None:
        self.stages = [module for module in model.modules() if isinstance(module, DGFM)]
        self.gates: dict[int, Gate] = {}
        self._logits: dict[int, Tensor] = {}
        self._hooks = ExitStack()

    def __enter__(self) -> 'GateWatch':
        """Begin to watch."""
        for stage, fusion in enumerate(self.stages):
            self._hooks.enter_context(
                fusion.gate.register_forward_hook(partial(self._note_logits, stage))
            )
            self._hooks.enter_context(fusion.register_forward_hook(partial(self._note, stage)))
        return self

    def __exit__(self, *error: object) -> None:
        """Let the model run unwatched again."""
        self._hooks.close()

    def _note_logits(
        self, stage: int, module: nn.Module, inputs: tuple[Tensor], logits: Tensor
    ) -> None:
        self._logits[stage] = logits.detach()

    @torch.no_grad()
    def _note(self, stage: int, module: DGFM, inputs: tuple[Tensor, Tensor], fused: Tensor) -> None:
        gate = self._logits.pop(stage).float().sigmoid()
        rgb, aux = (stream.detach().float() for stream in inputs)
        from_rgb = (gate * rgb).abs().sum(dim=1)
        from_both = from_rgb + ((1 - gate) * aux).abs().sum(dim=1)
        tiny = torch.finfo(torch.float32).tiny
        self.gates[stage] = Gate(gate.mean(dim=1), from_rgb / from_both.clamp(min=tiny))


def gate_network(
    model: EncoderDecoder, watch: GateWatch, amp: torch.dtype | None = None
) -> Network:
    """Make a function of raw windows (N, C, h, w) to what their gates do (N, 2S, h, w).

    It gives rgb's weight of each of the S stages, then its share, brought to the windows' pixels as
    heads do with maps. The heads do not run.

    Args:
        model: A segmentor in eval mode.
        watch: Its gates, being watched.
        amp: Type of autocast; None is full precision.
    """

    def network(windows: Tensor) -> Tensor:
        height, width = windows.shape[-2:]
        inputs = prepare_windows(model, windows)
        with torch.autocast(windows.device.type, amp, enabled=amp is not None):
            model.extract_feat(inputs)
        gates = [watch.gates[stage] for stage in range(len(watch.stages))]
        maps = [gate.weight for gate in gates] + [gate.share for gate in gates]
        settings = dict(size=inputs.shape[-2:], mode='bilinear', align_corners=False)
        full = torch.cat([resize(each[:, None], **settings) for each in maps], dim=1)
        return full[..., :height, :width]

    return network
