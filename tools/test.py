"""Measure a checkpoint on the test tiles: python tools/test.py CONFIG CHECKPOINT."""

import argparse

from mmengine.runner import Runner

from mobanet_mmseg.engine.launch import add_runner_arguments, ending_in_one_sentence, load_config


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Measure a checkpoint on the test tiles')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', help='folder for the predicted label maps, as GeoTIFF')
    parser.add_argument(
        '--show-dir', help='folder for pictures: image, hillshade, truth, prediction'
    )
    parser.add_argument('--tta', action='store_true', help='average over flips')
    add_runner_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    config = load_config(args)
    config.load_from = args.checkpoint
    config.resume = False
    if args.tta:
        config.test_dataloader.dataset.pipeline = config.tta_pipeline
        config.model = dict(config.tta_model, module=config.model)
    if args.show_dir is not None:
        config.default_hooks.visualization.update(draw=True, out_dir=args.show_dir)
    if args.out is not None:
        saver = dict(type='SavePredictionHook', out_dir=args.out)
        config.custom_hooks = [*config.get('custom_hooks', []), saver]
    with ending_in_one_sentence():
        Runner.from_cfg(config).test()


if __name__ == '__main__':
    main()
