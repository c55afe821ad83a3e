"""Train a segmentor: python tools/train.py CONFIG."""

import argparse
import sys
from itertools import pairwise

from mmengine.runner import FlexibleRunner

from mobanet_mmseg.engine.agreement import check_agreement
from mobanet_mmseg.engine.launch import add_runner_arguments, ending_in_one_sentence, load_config
from mobanet_mmseg.engine.precision import PRECISIONS, set_precision
from mobanet_mmseg.engine.runner import SafeRunner


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Train a segmentor')
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='go on from the newest checkpoint in the work folder, or from the one named here',
    )
    parser.add_argument(
        '--amp',
        nargs='?',
        const='auto',
        choices=PRECISIONS,
        help='automatic mixed precision: bf16 where the device has it, else fp16; or the one named',
    )
    parser.add_argument(
        '--compile', action='store_true', help='compile the blocks of the frozen encoder'
    )
    add_runner_arguments(parser)
    words = [*sys.argv[1:], '']
    for index, (word, after) in enumerate(pairwise(words)):
        if word == '--amp' and after not in PRECISIONS:  # alone, it may stand before CONFIG
            words[index] = '--amp=auto'
    return parser.parse_args(words[:-1])


def main() -> None:
    args = parse_args()
    config = load_config(args)
    if args.amp is not None:
        set_precision(config, args.amp)
    if args.compile:
        config.default_hooks.compile = dict(type='CompileHook')
    if args.resume is not None:
        config.resume = True
        config.load_from = None if args.resume == 'auto' else args.resume
    with ending_in_one_sentence():
        check_agreement(config, ('train', 'val'))
        shards = config.get('runner_type') == 'FlexibleRunner'  # with a strategy, such as FSDP's
        (FlexibleRunner if shards else SafeRunner).from_cfg(config).train()


if __name__ == '__main__':
    main()
