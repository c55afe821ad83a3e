"""Speed and memory of prediction: python tools/analysis_tools/benchmark_prediction.py.

slide: one image by our sliding window, by MMSeg's and by the network alone; scaling: seconds a
megapixel of files of growing size; memory: the peak of tools/predict.py at growing sizes, with a
network of one convolution. Weights are random, on which neither speed nor memory depends.
"""

import argparse

SECTIONS = ('slide', 'scaling', 'memory')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Speed and memory of prediction')
    parser.add_argument('--sections', nargs='+', choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument('--config', default='mobanet/demo.py', help='config file')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--amp', choices=['bf16', 'fp16'])
    parser.add_argument('--window', type=int, default=256, help='pixels (slide and scaling)')
    parser.add_argument('--stride', type=int, default=128, help='pixels (slide and scaling)')
    parser.add_argument('--batch-size', type=int, default=4, help='windows at once')
    parser.add_argument('--repeats', type=int, default=5, help='runs of which the median counts')
    parser.add_argument('--size', type=int, default=2048, help='side of the image (slide)')
    parser.add_argument(
        '--mmseg-windows', type=int, help="stop MMSeg's after so many windows, and extrapolate"
    )
    parser.add_argument(
        '--megapixels', type=float, nargs='+', default=[1, 4, 16, 64], help='sizes (scaling)'
    )
    parser.add_argument(
        '--sides', type=int, nargs='+', default=[5000, 20000], help='sizes in pixels (memory)'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mobanet_mmseg.commands.benchmark_prediction import measure  # seconds: after --help

    measure(args)


if __name__ == '__main__':
    main()
