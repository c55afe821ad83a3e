"""Measure a checkpoint on the test tiles: python tools/test.py CONFIG CHECKPOINT."""

import argparse
import sys

from mmengine.runner import Runner

from mobanet_mmseg.engine.launch import add_runner_arguments, ending_in_one_sentence, load_config
from mobanet_mmseg.engine.testing import choose_augmentation, choose_modality


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Measure a checkpoint on the test tiles')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', help='folder for the predicted label maps, as GeoTIFF')
    parser.add_argument(
        '--show-dir', help='folder for pictures: image, hillshade, truth, prediction, errors'
    )
    parser.add_argument(
        '--modality',
        choices=['both', 'rgb', 'aux'],
        help='what the network gets; the other modality is 0 after normalisation '
        "(default: the config's)",
    )
    parser.add_argument(
        '--tta',
        nargs='?',
        const='config',
        choices=['config', 'flips', 'd4'],
        help='average over flips (4 predictions), or flips and quarter turns (d4: 8 predictions); '
        "alone: as the config's tta_pipeline and tta_model say, which is d4 in ours",
    )
    add_runner_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    config = load_config(args)
    config.load_from = args.checkpoint
    config.resume = False
    try:
        if args.modality is not None:
            choose_modality(config, args.modality)
        if args.tta is not None:
            choose_augmentation(config, args.tta)
    except ValueError as error:
        sys.exit(f'error: {error}')
    if args.show_dir is not None:
        config.default_hooks.visualization.update(draw=True, out_dir=args.show_dir)
    hooks = [dict(type='UnlabelledTestHook')]
    if args.out is not None:
        hooks.append(dict(type='SavePredictionHook', out_dir=args.out))
    config.custom_hooks = [*config.get('custom_hooks', []), *hooks]
    with ending_in_one_sentence():
        Runner.from_cfg(config).test()


if __name__ == '__main__':
    main()
