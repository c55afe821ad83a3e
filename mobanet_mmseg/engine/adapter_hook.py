"""Saves what was trained, and of a frozen encoder what knows it again."""

from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mobanet_mmseg.engine.runner import SafeRunner
from mobanet_mmseg.models.adapters import WeightFile, described, encoders_of, leave_out
from mobanet_mmseg.models.encoder import Encoder
from mobanet_mmseg.models.tiled import segmentor_of
from mobanet_mmseg.weights.files import CheckpointError


@HOOKS.register_module()
class AdapterCheckpointHook(Hook):
    """Leaves frozen encoders out of the checkpoints, and puts a fingerprint in their place.

    Loading finds an encoder in its weight file again and compares the fingerprint. An encoder is
    saved whole where no weight file gives exactly its values: if it is random, trained, or changed,
    or the file cannot be read; the log says so.

    Args:
        whole: Save encoders whole in any case.
    """

    priority = 'VERY_LOW'  # after the EMAHook has changed the state dicts

    def __init__(self, whole: bool = False) -> None:
        self.whole = whole
        self.files: dict[str, list[WeightFile]] = {}  # by prefix
        self.said: set[str] = set()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Leave the encoders out, and say in ``meta`` what they are.

        Args:
            runner: Of the training.
            checkpoint: What is to be saved.
        """
        encoders = encoders_of(segmentor_of(runner.model))
        named = described(encoders)
        if named:
            checkpoint['meta']['frozen_encoders'] = named
        for prefix, encoder in ({} if self.whole else encoders).items():
            try:
                file = leave_out(checkpoint, encoder, prefix, self._files(runner, prefix, encoder))
                self._say(
                    runner,
                    f'Checkpoints leave out {prefix[:-1]}, which is frozen: they are loaded with '
                    f'{file.source}, beside them or where the config has it.',
                )
            except CheckpointError as error:
                self._say(runner, f'Checkpoints hold {prefix[:-1]} whole: {error}.')

    def _files(self, runner: Runner, prefix: str, encoder: Encoder) -> list[WeightFile]:
        if prefix not in self.files:
            own = isinstance(runner, SafeRunner)
            folder = runner.checkpoint_folder if own else Path(runner.work_dir)
            self.files[prefix] = WeightFile.all_of(encoder, folder)
        return self.files[prefix]

    def _say(self, runner: Runner, sentence: str) -> None:
        if sentence not in self.said:
            self.said.add(sentence)
            runner.logger.info(sentence)
