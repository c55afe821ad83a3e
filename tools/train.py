"""Train a segmentor: python tools/train.py CONFIG."""

import argparse

from mobanet_mmseg.engine.agreement import check_agreement
from mobanet_mmseg.engine.launch import add_runner_arguments, ending_in_one_sentence, load_config
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
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')
    add_runner_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    config = load_config(args)
    if args.amp:
        plain = config.optim_wrapper.get('type', 'OptimWrapper').removeprefix('Amp')
        config.optim_wrapper.type = f'Amp{plain}'
        config.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.resume is not None:
        config.resume = True
        config.load_from = None if args.resume == 'auto' else args.resume
    with ending_in_one_sentence():
        check_agreement(config, ('train', 'val'))
        SafeRunner.from_cfg(config).train()


if __name__ == '__main__':
    main()
