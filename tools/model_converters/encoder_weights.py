"""Convert a pretrained encoder into OpenMMLab's names: encoder_weights.py SOURCE OUT.

Training reads SOURCE itself as well; a converted file holds the encoder alone, under the names of
mmpretrain.
"""

import argparse
from pathlib import Path


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


def main() -> None:
    args = parse_args()
    from mobanet_mmseg.commands.encoder_weights import convert  # seconds: after --help

    convert(args)


if __name__ == '__main__':
    main()
