"""What the train and test commands share: the config that their arguments make."""

import argparse
import os
import re
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mobanet_mmseg.configs import check_sections, merge_settings, read_config
from mobanet_mmseg.datasets.splits import follow_split
from mobanet_mmseg.launchers import check_launcher


def load_config(args: argparse.Namespace) -> Config:
    """Read the config that the arguments name and put them into it.

    Args:
        args: Parsed arguments of the command: MMSeg's, and ``config``.

    Returns:
        The config with its work directory, launcher and overrides, and the split that it names.

    Raises:
        FileNotFoundError: If there is no such config.
        ValueError: If it or an override is of no use.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    config = read_config(args.config)
    config.launcher = args.launcher
    if args.cfg_options is not None:
        _check_hooks(args.cfg_options, config)
        merge_settings(config, args.cfg_options)
        check_sections(config)
    check_launcher(config.launcher)
    if args.work_dir is not None:
        config.work_dir = args.work_dir
    elif config.get('work_dir') is None:
        config.work_dir = str(Path('work_dirs') / Path(args.config).stem)
    follow_split(config)
    return config


def _check_hooks(options: dict[str, Any], config: Config) -> None:
    """Name the hooks that once had a number."""
    numbered = [name for name in options if re.match(r'custom_hooks\.\d', name)]
    if numbered and 'custom_hooks' not in config:
        raise ValueError(
            f'{numbered[0]} names no hook of this config: hooks are overridden by name, as '
            'in default_hooks.strict_checkpoint.strict=False or '
            'default_hooks.split_overlap.allow=True.'
        )
