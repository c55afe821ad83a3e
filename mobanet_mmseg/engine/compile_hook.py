"""Compiles the blocks of the frozen encoders for a training."""

from collections.abc import Callable

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mobanet_mmseg.models.encoder import Encoder
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
            ValueError: If the model has no frozen encoder, or one whose blocks cannot be compiled.
        """
        encoders = [m for m in segmentor_of(runner.model).modules() if isinstance(m, Encoder)]
        without = [type(each).__name__ for each in encoders if not each.compilable_blocks]
        if without or not encoders:
            has = f"{without[0]}'s, whose blocks are no modules of one call" if without else 'none'
            raise ValueError(
                'CompileHook (--compile) compiles the blocks of a frozen encoder, such as DINOv2 '
                f'or DINOv3, and this model has {has}: leave it out.'
            )
        for encoder in encoders:
            for block in encoder.compilable_blocks:
                block.compile(backend=self.backend)
