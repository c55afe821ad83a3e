"""Frozen encoders spread over the processes of a training (FSDP)."""

from functools import partial
from typing import Any

from mmengine._strategy import FSDPStrategy
from mmengine.model.wrappers import MMFullyShardedDataParallel
from mmengine.registry import STRATEGIES
from mmseg.registry import MODEL_WRAPPERS
from torch import nn
from torch.distributed.fsdp.wrap import lambda_auto_wrap_policy

from mobanet_mmseg.models.encoder import Encoder


@MODEL_WRAPPERS.register_module()
class ShardedEncoder(MMFullyShardedDataParallel):
    """FSDP whose units are the blocks of the frozen encoders, and all the rest.

    Each process keeps a part of every block and gathers the others' when the block runs. A unit
    is gathered by its forward pass alone, so that heads, which are called by other methods too,
    are none.

    Args:
        module: A segmentor.
        **kwargs: Passed to ``mmengine.model.MMFullyShardedDataParallel``.
    """

    def __init__(self, module: nn.Module, **kwargs: Any) -> None:
        encoders = (part for part in module.modules() if isinstance(part, Encoder))
        blocks = {block for encoder in encoders for block in encoder.vit.layers}
        policy = partial(lambda_auto_wrap_policy, lambda_fn=blocks.__contains__)
        super().__init__(module, auto_wrap_policy=policy, **kwargs)


@STRATEGIES.register_module()
class ShardedEncoderStrategy(FSDPStrategy):
    """MMEngine's FSDP strategy, whose trainings can be resumed; it takes the same arguments."""

    def load_model_state_dict(self, state_dict: dict[str, Any], **kwargs: Any) -> None:
        """Load the weights, all of which have to fit.

        Args:
            state_dict: Weights of the whole model.
            **kwargs: Not used.
        """
        self.model.load_state_dict(state_dict, strict=True)

    def load_optim_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the optimizer's state; MMEngine has the order that torch's arguments once had.

        Args:
            state_dict: State of the whole optimizer.
        """
        own = ShardedEncoder.optim_state_dict_to_load(
            self.model, self.optim_wrapper.optimizer, state_dict
        )
        self.optim_wrapper.load_state_dict(own)
