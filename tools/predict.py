"""Segment a pair of rasters: python tools/predict.py CONFIG CHECKPOINT --rgb A --aux B --out C."""

import argparse
import sys

import numpy as np
import torch
from mmengine.config import DictAction

from mobanet_mmseg.datasets.rasters import read_window
from mobanet_mmseg.inference.predict import (
    load_segmentor,
    predict_file,
    read_truth,
    reading_options,
)
from mobanet_mmseg.visualization.pictures import check_ending, draw_panels


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Segment a pair of rasters into a label GeoTIFF')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--rgb', required=True, help='optical raster')
    parser.add_argument('--aux', required=True, help='auxiliary raster on the same grid')
    parser.add_argument('--out', required=True, help='label map to write, an indexed GeoTIFF')
    parser.add_argument('--label', help='labels of the raster, for the picture')
    parser.add_argument(
        '--picture', help='PNG or JPEG to draw: image, hillshade, truth, prediction'
    )
    parser.add_argument('--device', default='auto', help='cpu, cuda:0 ... (default: a GPU if any)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='settings that override the config, as key=value',
    )
    return parser.parse_args()


def predict(args: argparse.Namespace) -> None:
    if args.picture is not None:
        check_ending(args.picture)
    device = args.device
    if device == 'auto':
        device = 'cuda:0' if torch.cuda.is_available() else 'cpu'
    model = load_segmentor(args.config, args.checkpoint, device, args.cfg_options)
    options = reading_options(model.cfg)
    truth = None if args.label is None else read_truth(model.cfg, args.rgb, args.label)
    print(f'predicting {args.rgb} and {args.aux} on {device}', flush=True)
    labels = predict_file(model, args.rgb, args.aux, args.out, **options)
    print(f'{args.out}: {labels.shape[0]} x {labels.shape[1]} pixels')
    classes, palette = model.dataset_meta['classes'], model.dataset_meta['palette']
    for index, name in enumerate([*classes, 'no data']):
        value = index if index < len(classes) else 255
        print(f'  {name:<24}{np.mean(labels == value):8.2%}')
    if args.picture is not None:
        shape = labels.shape
        draw_panels(
            args.picture,
            rgb=read_window(args.rgb, options['img_bands']),
            aux=read_window(args.aux, options['aux_bands'], shape=shape, nodata_to_nan=True),
            truth=truth,
            prediction=labels,
            errors=truth is not None,
            classes=classes,
            palette=palette,
        )
        print(args.picture)


def main() -> None:
    args = parse_args()
    try:
        predict(args)
    except (ValueError, OSError) as error:  # the user's mistakes, each one sentence
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
