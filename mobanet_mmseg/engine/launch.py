"""What the train and test commands share: MMSeg's arguments and the config they make."""

import argparse
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction

from mobanet_mmseg.configs import read_config
from mobanet_mmseg.datasets.splits import follow_split
from mobanet_mmseg.weights.checkpoints import CheckpointError
from mobanet_mmseg.writing import NotWrittenError

PACKAGE = Path(__file__).parents[1]


def add_runner_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that MMSeg's train and test commands have in common."""
    parser.add_argument('--work-dir', help='folder of logs and checkpoints')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='settings that override the config, as key=value; key="[(a,b),(c,d)]" for lists',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher',
    )
    # torch.distributed.launch passes either spelling
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def load_config(args: argparse.Namespace) -> Config:
    """Read the config that the arguments name and put them into it.

    Args:
        args: Parsed arguments of :func:`add_runner_arguments` and ``config``.

    Returns:
        The config with its work directory, launcher and overrides, and the split that it names.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    try:
        config = read_config(args.config)
    except FileNotFoundError as error:
        sys.exit(f'error: {error}')
    config.launcher = args.launcher
    if args.cfg_options is not None:
        _check_hooks(args.cfg_options, config)
        config.merge_from_dict(args.cfg_options)
    if args.work_dir is not None:
        config.work_dir = args.work_dir
    elif config.get('work_dir') is None:
        config.work_dir = str(Path('work_dirs') / Path(args.config).stem)
    with ending_in_one_sentence():
        follow_split(config)
    return config


def _check_hooks(options: dict[str, Any], config: Config) -> None:
    """Name the hooks that once had a number."""
    numbered = [name for name in options if re.match(r'custom_hooks\.\d', name)]
    if numbered and 'custom_hooks' not in config:
        sys.exit(
            f'error: {numbered[0]} names no hook of this config: hooks are overridden by name, as '
            'in default_hooks.strict_checkpoint.strict=False or '
            'default_hooks.split_overlap.allow=True.'
        )


@contextmanager
def ending_in_one_sentence() -> Iterator[None]:
    """End the program with the sentence, and no traceback, where a user's mistake is refused.

    That is a missing file, one that cannot be written, a checkpoint of no use, numbers that are no
    longer finite, or a ValueError that this package raises.
    """
    try:
        yield
    except (CheckpointError, FileNotFoundError, FloatingPointError, NotWrittenError) as error:
        sys.exit(f'error: {error}')
    except ValueError as error:
        raised_in = traceback.extract_tb(error.__traceback__)[-1].filename
        if not Path(raised_in).is_relative_to(PACKAGE):
            raise
        sys.exit(f'error: {error}')
