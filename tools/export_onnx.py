"""Write a trained network as ONNX: python tools/export_onnx.py CONFIG CHECKPOINT --out M.onnx.

The file is enough to predict: python tools/predict.py M.onnx --rgb A --aux B --out C.
"""

import argparse

from mobanet_cli.arguments import add_cfg_options


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Write a trained network as an ONNX file')
    parser.add_argument('config', help='config that the checkpoint was trained with')
    parser.add_argument('checkpoint', help='checkpoint that a training wrote')
    parser.add_argument('--out', required=True, help='ONNX file to write')
    lower = parser.add_mutually_exclusive_group()
    for name, words in (
        ('fp16', 'weights and activations of 16 bits: half the size, for GPUs'),
        ('int8', 'weights of matrix products of 8 bits: a third of the size, for CPUs'),
    ):
        lower.add_argument(
            f'--{name}', dest='precision', action='store_const', const=name, help=words
        )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mobanet_mmseg.inference.onnx_export import export_onnx  # seconds: after --help
    from mobanet_mmseg.mistakes import ending_in_one_sentence

    with ending_in_one_sentence():
        exported = export_onnx(
            args.config, args.checkpoint, args.out, args.precision or 'fp32', args.cfg_options
        )
    print(f'{args.out}: {exported}')


if __name__ == '__main__':
    main()
