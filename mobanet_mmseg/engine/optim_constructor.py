"""Builds the optimizer of a model of which a part is frozen."""

import inspect
from typing import Any

import torch
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmseg.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIMIZERS
from torch import nn


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class FrozenOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """MMEngine's constructor, which passes by what is frozen and fuses the steps of AdamW.

    MMEngine's own logs a line for each frozen tensor, hundreds of a ViT. Adam and AdamW take their
    fused kernels on CPUs and GPUs unless ``optimizer.fused`` or ``optimizer.foreach`` says
    otherwise.
    """

    def add_params(
        self,
        params: list[dict],
        module: nn.Module,
        prefix: str = '',
        is_dcn_module: int | float | None = None,
    ) -> None:
        """Add the parameters of a module, and of those within it, where anything trains.

        Args:
            params: Groups, to which those of the module are added.
            module: The module.
            prefix: Its name.
            is_dcn_module: Whether it is within a deformable convolution.
        """
        if any(parameter.requires_grad for parameter in module.parameters()):
            super().add_params(params, module, prefix, is_dcn_module)

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer and its wrapper for a model.

        Args:
            model: The model.

        Raises:
            ValueError: If there is no such optimizer.
        """
        chosen = {'fused', 'foreach', 'differentiable'} & self.optimizer_cfg.keys()
        devices = {parameter.device.type for parameter in model.parameters()}
        if self._is_adam() and not chosen and devices <= {'cpu', 'cuda'}:
            self.optimizer_cfg['fused'] = True
        wrapper = super().__call__(model)
        if self._is_adam():
            wrapper.optimizer.register_load_state_dict_pre_hook(_keep_kernels)
        return wrapper

    def _is_adam(self) -> bool:
        kind = self.optimizer_cfg['type']
        if isinstance(kind, str):
            with OPTIMIZERS.switch_scope_and_registry(None) as registry:
                kind = registry.get(kind)
            if kind is None:  # MMEngine would go on with it
                raise ValueError(
                    f'optim_wrapper.optimizer.type is {self.optimizer_cfg["type"]!r}, which is no '
                    'optimizer that is registered: give one of torch.optim, such as AdamW.'
                )
        return inspect.isclass(kind) and issubclass(kind, torch.optim.Adam | torch.optim.AdamW)


def _keep_kernels(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """Go on with the kernels of this device, whichever the checkpoint's training had."""
    fused = optimizer.defaults['fused']
    return {**state, 'param_groups': [dict(group, fused=fused) for group in state['param_groups']]}
