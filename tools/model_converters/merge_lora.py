"""Merge a stream's LoRA into a plain ViT: merge_lora.py CONFIG CHECKPOINT OUT --stream rgb.

OUT is a weight file by the names of mmpretrain, as encoder_weights.py writes it: without any
adapter it gives the features that the stream has in the trained network.
"""

import argparse

from mobanet_cli.arguments import add_conversion


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Write the encoder of a network that was trained with LoRA as a plain ViT with '
        'the updates of one stream in it'
    )
    add_conversion(parser, 'weight file')
    parser.add_argument(
        '--stream',
        choices=['rgb', 'aux'],
        required=True,
        help="whose updates: rgb, or aux, with that stream's own patch embedding",
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mobanet_mmseg.commands.merge_lora import convert  # seconds: after --help

    convert(args)


if __name__ == '__main__':
    main()
