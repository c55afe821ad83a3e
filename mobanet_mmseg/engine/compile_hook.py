"""Compiles the blocks of the frozen encoders for a training."""

from collections.abc import Callable

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mobanet_mmseg.models.encoder import Encoder
from mobanet_mmseg.models.sam import SAM
from mobanet_mmseg.models.tiled import segmentor_of


@HOOKS.register_module()
class CompileHook(Hook):
    """Compiles the blocks of the frozen encoders by ``torch.compile`` as a training starts.

    That happens in the first iteration and, for other sizes, in the first validation. What is
    saved, and its names, stay as they are.

    Args:
        backend: What ``torch.compile`` compiles with.
    """

    def __init__(self, backend: str | Callable = 'inductor') -> None:
        self.backend = backend

    def before_train(self, runner: Runner) -> None:
        """Let each block be compiled where it first runs.

        Raises:
            ValueError: If the model has no frozen encoder, or SAM's.
        """
        encoders = [m for m in segmentor_of(runner.model).modules() if isinstance(m, Encoder)]
        if not encoders or any(isinstance(encoder, SAM) for encoder in encoders):
            has = "SAM's, whose blocks are no modules of one call" if encoders else 'none'
            raise ValueError(
                f'CompileHook (--compile) compiles the blocks of a frozen DINOv2 or DINOv3, and '
                f'this model has {has}: leave it out.'
            )
        for encoder in encoders:
            for block in encoder.vit.layers:
                block.compile(backend=self.backend)
