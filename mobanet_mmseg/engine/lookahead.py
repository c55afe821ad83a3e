"""Lookahead around any of torch's optimizers: slow weights that follow the fast ones."""

from typing import Any

import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmseg.registry import OPTIM_WRAPPERS
from torch import Tensor

from mobanet_mmseg.engine.precision import Bf16OptimWrapper


@OPTIM_WRAPPERS.register_module()
class LookaheadOptimWrapper(OptimWrapper):
    r"""``OptimWrapper`` with Lookahead around its optimizer.

    The optimizer moves the model's (fast) weights as ever. After each ``k`` of its steps the slow
    weights go a part of the way to them, and the fast ones go on from there:

    .. math:: \phi \leftarrow \phi + \alpha (\theta - \phi), \quad \theta \leftarrow \phi

    The optimizer's momenta stay as they are. What is validated and saved as the model are the fast
    weights, which are the slow ones where an epoch is a multiple of ``k`` steps; a checkpoint holds
    both, so that a resumed training is the uninterrupted one.

    Source: Zhang et al. 2019, arXiv:1907.08610, Algorithm 1.

    Args:
        k: Steps of the optimizer for each of the slow weights.
        alpha: Part of the way that the slow weights go, above 0 and up to 1.
        **kwargs: Passed to ``mmengine.optim.OptimWrapper``.

    Raises:
        ValueError: If ``k`` or ``alpha`` is beyond its range.
    """

    def __init__(self, k: int = 5, alpha: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if k < 1 or not 0 < alpha <= 1:
            raise ValueError(
                f'{type(self).__name__} got k={k} and alpha={alpha}: give 1 step or more, and an '
                'alpha above 0 and up to 1 (5 and 0.5 are usual).'
            )
        self.k = k
        self.alpha = alpha
        self.fast_steps = 0  # since the slow weights moved
        # the model is initialised and loaded after its wrapper is built
        self.slow_weights: list[Tensor] | None = None
        # hooks, so that a step that mixed precision leaves out does not count
        self.optimizer.register_step_pre_hook(self._before_step)
        self.optimizer.register_step_post_hook(self._after_step)

    def state_dict(self) -> dict[str, Any]:
        """Give the state with the slow weights and the steps since they moved."""
        lookahead = {'fast_steps': self.fast_steps, 'slow_weights': self.slow_weights}
        return {**super().state_dict(), 'lookahead': lookahead}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the state of a training with Lookahead.

        Args:
            state_dict: What :meth:`state_dict` gave.

        Raises:
            ValueError: If it is of a training without Lookahead.
        """
        state_dict = dict(state_dict)
        kept = state_dict.pop('lookahead', None)
        if kept is None:
            raise ValueError(
                f'The training to resume had no Lookahead, whose slow weights {type(self).__name__}'
                " goes on from: set optim_wrapper.type='OptimWrapper', or start a new training "
                'from its weights with load_from.'
            )
        super().load_state_dict(state_dict)
        self.fast_steps = kept['fast_steps']
        self.slow_weights = kept['slow_weights']
        if self.slow_weights is not None:
            pairs = zip(self.slow_weights, self._fast_weights(), strict=True)
            self.slow_weights = [slow.to(fast, copy=True) for slow, fast in pairs]

    def _fast_weights(self) -> list[Tensor]:
        return [weight for group in self.optimizer.param_groups for weight in group['params']]

    def _before_step(self, *_: Any) -> None:
        if self.slow_weights is None:
            self.slow_weights = [weight.detach().clone() for weight in self._fast_weights()]

    @torch.no_grad()
    def _after_step(self, *_: Any) -> None:
        self.fast_steps += 1
        if self.fast_steps < self.k:
            return
        self.fast_steps = 0
        for slow, fast in zip(self.slow_weights, self._fast_weights(), strict=True):
            slow.lerp_(fast, self.alpha)
            fast.copy_(slow)


@OPTIM_WRAPPERS.register_module()
class AmpLookaheadOptimWrapper(LookaheadOptimWrapper, AmpOptimWrapper):
    """``AmpOptimWrapper``, fp16, with Lookahead; see :class:`LookaheadOptimWrapper`.

    ``tools/train.py --amp fp16`` takes it in the other's place.
    """

    def _after_step(self, *_: Any) -> None:
        # a fused optimizer is called with what it has to leave out, and looks by itself
        overflow = getattr(self.optimizer, 'found_inf', None)
        if overflow is None or not overflow.item():
            super()._after_step()


@OPTIM_WRAPPERS.register_module()
class Bf16LookaheadOptimWrapper(LookaheadOptimWrapper, Bf16OptimWrapper):
    """``Bf16OptimWrapper`` with Lookahead; see :class:`LookaheadOptimWrapper`.

    ``tools/train.py --amp bf16`` takes it in the other's place.
    """
