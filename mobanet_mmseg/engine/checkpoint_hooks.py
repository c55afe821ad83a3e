"""Refuses checkpoints that would leave a part of the model as it was."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch.distributed.fsdp import FullyShardedDataParallel

from mobanet_mmseg.engine.runner import SafeRunner
from mobanet_mmseg.models.adapters import brings, encoders_of
from mobanet_mmseg.models.tiled import segmentor_of
from mobanet_mmseg.weights.checkpoints import CheckpointError, check_fit, read_checkpoint

TRAINING_STATE = ('meta', 'message_hub', 'optimizer')


@HOOKS.register_module()
class StrictCheckpointHook(Hook):
    """Stops a run whose checkpoint is none, or does not fit the model tensor for tensor.

    MMEngine's runner loads what fits and only logs the rest: a test with another config than the
    training's would measure a model that is half random. A training whose checkpoint brings the
    frozen encoder, or says which it is, does not read the encoder's weight file before.

    Args:
        strict: ``False`` lets a training start (``load_from``) from a checkpoint of another task,
            of which it takes the tensors that fit. Tests and ``resume`` stay strict.
    """

    priority = 'VERY_HIGH'

    def __init__(self, strict: bool = True) -> None:
        self.strict = strict
        self.source = 'The checkpoint'

    def before_run(self, runner: Runner) -> None:
        """Look at the file before the runner does.

        Raises:
            FileNotFoundError: If it does not exist.
            CheckpointError: If it is no checkpoint, or holds no training to resume.
        """
        if runner._has_loaded:  # a test of what was trained: the file may be gone by now
            return
        source, resume = runner.cfg.get('load_from'), runner.cfg.get('resume')
        if resume and source is None:
            source = runner.newest_checkpoint if isinstance(runner, SafeRunner) else None
        if source is None:
            return
        self.source = source
        checkpoint = read_checkpoint(source)
        missing = [key for key in TRAINING_STATE if key not in checkpoint]
        if resume and missing:
            raise CheckpointError(
                f'{source} cannot be resumed: it holds no {", ".join(missing)}; give a .pth file '
                'that the training wrote, or start a new training with load_from.'
            )
        if not (resume or self.strict):
            return  # what does not fit may have to start from the encoder's filters
        tensors = checkpoint.get('state_dict', checkpoint)
        for prefix, encoder in encoders_of(segmentor_of(runner.model)).items():
            given = encoder.pretrained is not None and brings(tensors, encoder, prefix)
            encoder.weights_to_come = given

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare the checkpoint with the model before the runner loads it.

        Raises:
            CheckpointError: If the two do not fit; see
                :func:`mobanet_mmseg.weights.checkpoints.check_fit`.
        """
        if isinstance(runner.model, FullyShardedDataParallel):
            return  # which holds parts of tensors, and loads whole ones strictly
        advice = 'give the config that it was trained with'
        trains = isinstance(runner.optim_wrapper, OptimWrapper | OptimWrapperDict)
        if trains and not runner.cfg.get('resume'):
            if not self.strict:
                return
            advice += (
                ', or set default_hooks.strict_checkpoint.strict=False to start from what fits'
            )
        check_fit(self.source, checkpoint, segmentor_of(runner.model), advice)
