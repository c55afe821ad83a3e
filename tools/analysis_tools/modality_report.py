"""What a model owes to each modality: python tools/analysis_tools/modality_report.py CONFIG CKPT.

Measures the test set three times, with both modalities and with each alone (the other is 0 after
normalisation), and prints the metrics and how many points each alone lies below both.
"""

import argparse
import sys

from mmengine.dist import is_main_process

from mobanet_mmseg.engine.launch import add_runner_arguments, load_config
from mobanet_mmseg.engine.modality_report import measure_modalities, report_table, write_report
from mobanet_mmseg.engine.runner import SafeRunner
from mobanet_mmseg.rasters.sources import files_behind
from mobanet_mmseg.visualization.pictures import rasters_of
from mobanet_mmseg.writing import check_outputs


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Metrics on the test set with both modalities, and with each alone'
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', help='JSON file for the metrics and the drops')
    add_runner_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    config = load_config(args)
    config.load_from = args.checkpoint
    config.resume = False
    try:
        runner = SafeRunner.from_cfg(config)
        if args.out is not None:
            rasters = files_behind(*rasters_of(runner.test_loop.dataloader.dataset))
            check_outputs([args.out], [args.config, args.checkpoint, *rasters])
        measured = measure_modalities(runner)
        if is_main_process():
            print(report_table(measured))
            print('drop: points below both')
            if args.out is not None:
                write_report(args.out, measured)
                print(args.out)
    except (ValueError, OSError) as error:  # the user's mistakes, each one sentence
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
