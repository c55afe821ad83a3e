"""Keeps old checkpoints until the new one is written."""

import re
import time
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

PART = re.compile(r'\.\w+\.pth\.\d+\.part')  # what writing.whole_file writes first
LEFTOVER_AGE = 600  # seconds; one that is still being written is younger


class _RemovesLater(LocalBackend):
    """Puts removals off."""

    def __init__(self) -> None:
        self.outdated: set[Path] = set()

    def remove(self, filepath: str | Path) -> None:
        self.outdated.add(Path(filepath).resolve())

    def rmtree(self, dir_path: str | Path) -> None:
        """Leave folders alone: no checkpoint of ours is one."""


@HOOKS.register_module()
class WholeCheckpointHook(CheckpointHook):
    """MMEngine's hook, which removes old checkpoints once the new one is written, not before.

    Files that a killed process left half-written are removed when a training begins.
    """

    # SegmentationMetric's; 'IoU' and 'F1' are in the names of the classes' scores, too
    _default_greater_keys = (*CheckpointHook._default_greater_keys, 'OA', 'F1', 'IoU')

    def before_train(self, runner: Runner) -> None:
        """Learn which checkpoints there are, and remove what is too many or half-written."""
        kept = runner.message_hub.get_info('keep_ckpt_ids', [])
        surplus = kept[: -self.max_keep_ckpts] if self.max_keep_ckpts > 0 else []
        del kept[: len(surplus)]  # MMEngine would remove folders of such a name, too
        super().before_train(runner)
        if isinstance(self.file_backend, LocalBackend):
            self.file_backend = _RemovesLater()
        if isinstance(self.file_backend, _RemovesLater) and is_main_process():
            folder = Path(self.out_dir)
            for step in surplus:
                self.file_backend.remove(folder / self.filename_tmpl.format(step))
            self._remove_outdated()
            for path in folder.iterdir() if folder.is_dir() else ():
                if PART.fullmatch(path.name) and time.time() - path.stat().st_mtime > LEFTOVER_AGE:
                    path.unlink()

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        super()._save_checkpoint_with_step(runner, step, meta)
        self._remove_outdated()

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        super()._save_best_checkpoint(runner, metrics)
        self._remove_outdated()

    def _remove_outdated(self) -> None:
        if not isinstance(self.file_backend, _RemovesLater):
            return
        own = vars(self)  # has one of the two, or neither
        best = [own.get('best_ckpt_path'), *own.get('best_ckpt_path_dict', {}).values()]
        current = {Path(path).resolve() for path in (self.last_ckpt, *best) if path is not None}
        for path in self.file_backend.outdated - current:
            if path.is_file():
                path.unlink()
        self.file_backend.outdated.clear()
