"""Merge a stream's LoRA into a plain ViT: merge_lora.py CONFIG CHECKPOINT OUT --stream rgb.

OUT is a weight file by the names of mmpretrain, as encoder_weights.py writes it: without any
adapter it gives the features that the stream has in the trained network.
"""

import argparse
import sys
from pathlib import Path

import torch
from mmengine.config import DictAction

import mobanet_mmseg  # noqa: F401  (patches the stack and registers the components)
from mobanet_mmseg.inference.trained import load_segmentor
from mobanet_mmseg.models.adapters import weight_files
from mobanet_mmseg.models.mobanet import STREAMS
from mobanet_mmseg.models.multimodal_vit import MultimodalViT
from mobanet_mmseg.writing import check_outputs, whole_file


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Write the encoder of a network that was trained with LoRA as a plain ViT with '
        'the updates of one stream in it'
    )
    parser.add_argument('config', help='config that the checkpoint was trained with')
    parser.add_argument('checkpoint', type=Path, help='checkpoint that a training wrote')
    parser.add_argument('out', type=Path, help='weight file to write')
    parser.add_argument(
        '--stream',
        choices=STREAMS,
        required=True,
        help="whose updates: rgb, or aux, with that stream's own patch embedding",
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='settings that override the config, as key=value',
    )
    return parser.parse_args()


def convert(args: argparse.Namespace) -> None:
    check_outputs([args.out], [args.checkpoint, args.config])
    model = load_segmentor(args.config, args.checkpoint, cfg_options=args.cfg_options)
    if not isinstance(model.backbone, MultimodalViT):
        raise ValueError(
            f'The backbone of {args.config} is a {type(model.backbone).__name__}; LoRA is merged '
            'into the encoder of a MultimodalViT.'
        )
    check_outputs([args.out], weight_files([model.backbone.encoder], args.checkpoint))
    tensors = model.backbone.merged(STREAMS.index(args.stream))
    state_dict = {f'backbone.{name}': value for name, value in tensors.items()}
    words = model.backbone.encoder.describe()
    with whole_file(args.out, RuntimeError) as part:  # torch's, of a full disk
        torch.save({'meta': {}, 'state_dict': state_dict}, part)
    print(
        f'{args.out}: {words["architecture"]}, updated for {args.stream}; the licence of its '
        f'weights is {words["licence"]}'
    )


def main() -> None:
    args = parse_args()
    try:
        convert(args)
    except (ValueError, OSError) as error:  # the user's mistakes, each one sentence
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
