"""Convert a pretrained encoder into OpenMMLab's names: encoder_weights.py SOURCE OUT.

Training reads SOURCE itself as well; a converted file holds the encoder alone, under the names of
mmpretrain.
"""

import argparse
import sys
from pathlib import Path

import torch

import mobanet_mmseg  # noqa: F401  (patches the stack)
from mobanet_mmseg.weights.checkpoints import Architecture
from mobanet_mmseg.weights.files import read_encoder
from mobanet_mmseg.writing import check_outputs, whole_file


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Convert the weights of DINOv2 or DINOv3 (from Meta, Hugging Face, timm) or '
        'SAM (from Meta), .pth or .safetensors, into a file by the names of mmpretrain'
    )
    parser.add_argument('source', help='file, or its http(s) address')
    parser.add_argument('out', type=Path, help='file to write')
    parser.add_argument(
        '--prefix', default='', help="what the encoder's names begin with, if there are several"
    )
    return parser.parse_args()


def convert(args: argparse.Namespace) -> None:
    check_outputs([args.out], [args.source])
    tensors = read_encoder(args.source, args.prefix)
    # copies: a tensor that is a part of a larger one would drag that into the file
    state_dict = {f'backbone.{name}': value.clone() for name, value in tensors.items()}
    with whole_file(args.out, RuntimeError) as part:  # torch's, of a full disk
        torch.save({'meta': {}, 'state_dict': state_dict}, part)
    print(f'{args.out}: {Architecture.of(tensors)}; {len(tensors)} tensors')


def main() -> None:
    args = parse_args()
    try:
        convert(args)
    except (ValueError, OSError) as error:  # the user's mistakes, each one sentence
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
