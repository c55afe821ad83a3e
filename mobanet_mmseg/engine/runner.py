"""MMEngine's runner, whose checkpoints can do no harm and are whole."""

from collections.abc import Callable
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from mmengine.config import Config
from mmengine.dist import master_only
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.hooks import CheckpointHook
from mmengine.model import is_model_wrapper
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from mmengine.runner.checkpoint import _load_checkpoint_to_model

from mobanet_mmseg.datasets.splits import follow_split
from mobanet_mmseg.weights.checkpoints import CheckpointError, read_checkpoint
from mobanet_mmseg.weights.fingerprints import with_origin
from mobanet_mmseg.weights.harmless import harmless, own_files
from mobanet_mmseg.weights.newest import last_checkpoint, newest_checkpoint
from mobanet_mmseg.writing import whole_file


@RUNNERS.register_module()  # of MMEngine itself, for its own and MMSeg's tools ask for it there
class SafeRunner(Runner):
    """A runner whose checkpoints can do no harm, and which goes on from whole ones.

    Nothing that a checkpoint says is run, opened, written or deleted: only its tensors and numbers
    go on to MMEngine. Files that it names are looked for in the run's own folder, and only where
    the checkpoint itself lies there. Checkpoints are written beside themselves and renamed. A
    training resumes from the newest whole checkpoint of its folder.
    """

    @classmethod
    def from_cfg(cls, cfg: Config) -> Self:
        """Build a runner, whose data loaders follow the config's ``split``.

        Args:
            cfg: A whole config; it stays as it is.

        Raises:
            ValueError: See :func:`follow_split`.
        """
        cfg = deepcopy(cfg)
        follow_split(cfg)
        return super().from_cfg(cfg)

    def load_or_resume(self) -> None:
        """Load ``load_from``, or resume from it or, without one, from the newest checkpoint."""
        if self._resume and self._load_from is None and not self._has_loaded:
            if self.newest_checkpoint is not None:
                self.resume(self.newest_checkpoint)
            return
        super().load_or_resume()

    def load_checkpoint(
        self,
        filename: str,
        map_location: str | Callable = 'cpu',
        strict: bool = False,
        revise_keys: tuple[tuple[str, str], ...] = ((r'^module.', ''),),
    ) -> dict[str, Any]:
        """Load the weights of a checkpoint into the model.

        Args:
            filename: Path or address of the file.
            map_location: Not used: tensors go from the file to where the model is.
            strict: Whether the weights have to fit the model exactly.
            revise_keys: Pattern and replacement of parts of the weights' names.

        Returns:
            What of the file is harmless.

        Raises:
            CheckpointError: If it is no checkpoint, or one that cannot be resumed.
        """
        said = read_checkpoint(filename)
        checkpoint = with_origin(harmless(said), filename)
        if self._resume and not {'epoch', 'iter'} <= checkpoint.get('meta', {}).keys():
            raise CheckpointError(
                f'{filename} cannot be resumed: it does not say of which epoch and iteration it is;'
                ' give a .pth file that the training wrote.'
            )
        folder, hub = self.checkpoint_folder, checkpoint.get('message_hub')
        if hub is not None and Path(filename).resolve().parent == folder:
            files = own_files(said, folder)
            hub['runtime_info'].update(files)
            hub['resumed_keys'].update(dict.fromkeys(files, True))
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        model = self.model.module if is_model_wrapper(self.model) else self.model
        _load_checkpoint_to_model(model, checkpoint, strict, revise_keys=revise_keys)
        self._has_loaded = True
        self.logger.info(f'Load checkpoint from {filename}')
        return checkpoint

    @master_only
    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **kwargs: Any) -> None:
        """Save a checkpoint, whole or not at all.

        Args:
            out_dir: Its folder.
            filename: Its name.
            *args: As of MMEngine's method.
            **kwargs: As of MMEngine's method.
        """
        if not isinstance(get_file_backend(out_dir), LocalBackend):
            super().save_checkpoint(out_dir, filename, *args, **kwargs)
            return
        with whole_file(Path(out_dir, filename)) as part:
            super().save_checkpoint(out_dir, part.name, *args, **kwargs)

    @cached_property
    def newest_checkpoint(self) -> str | None:
        """The newest whole file of the run's own folder as it was when first asked for.

        None where there is no file; the log says which.

        Raises:
            CheckpointError: If there are files, but none of them is whole.
        """
        named, folder = last_checkpoint(Path(self.work_dir)), self.checkpoint_folder
        if folder is None:  # in a storage of another kind: MMEngine's note is all there is
            return named if named.startswith(f'{self._checkpoint_hook.out_dir}/') else None
        path, broken = newest_checkpoint(folder, self._checkpoint_hook.filename_tmpl, named)
        names = ', '.join(path.name for path in broken)
        if path is None and broken:
            raise CheckpointError(
                f'{folder} cannot be resumed: no checkpoint there is whole ({names}); remove '
                'them to begin anew, or give the file to resume from.'
            )
        if path is None:
            self.logger.info(f'{folder} has no checkpoint to resume from: the training begins.')
            return None
        skipped = f'; newer, but not whole: {names}' if broken else ''
        self.logger.info(f'Resuming from {path}, the newest whole checkpoint there{skipped}.')
        return str(path)

    @cached_property
    def checkpoint_folder(self) -> Path | None:
        """Where the run writes its checkpoints; None where that is no folder of this machine."""
        folder = self._checkpoint_hook.out_dir or self.work_dir
        if not isinstance(get_file_backend(str(folder)), LocalBackend):
            return None
        if str(folder) != self.work_dir:  # as MMEngine's hook does
            folder = Path(folder, Path(self.work_dir).name)
        return Path(folder).resolve()

    @cached_property
    def _checkpoint_hook(self) -> CheckpointHook:
        hooks = (hook for hook in self.hooks if isinstance(hook, CheckpointHook))
        return next(hooks, CheckpointHook())
