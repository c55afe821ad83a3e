"""The command of training."""

import argparse

from mmengine.runner import FlexibleRunner

from mobanet_mmseg.engine.agreement import check_agreement
from mobanet_mmseg.engine.launch import load_config
from mobanet_mmseg.engine.precision import set_precision
from mobanet_mmseg.engine.runner import SafeRunner
from mobanet_mmseg.mistakes import ending_in_one_sentence


@ending_in_one_sentence()
def train(args: argparse.Namespace) -> None:
    """Train a segmentor.

    Args:
        args: What tools/train.py was told.
    """
    config = load_config(args)
    if args.amp is not None:
        set_precision(config, args.amp)
    if args.compile:
        config.default_hooks.compile = dict(type='CompileHook')
    if args.resume is not None:
        config.resume = True
        config.load_from = None if args.resume == 'auto' else args.resume
    check_agreement(config, ('train', 'val'))
    shards = config.get('runner_type') == 'FlexibleRunner'  # with a strategy, such as FSDP's
    (FlexibleRunner if shards else SafeRunner).from_cfg(config).train()
