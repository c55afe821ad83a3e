"""List the package's configs, or copy one with its bases: python tools/misc/config.py list.

Copies are for MMSegmentation's own tools, and for changing what an inherited config cannot. Our
commands take configs by their names, and `_base_ = 'mobanet_mmseg::NAME'` inherits one.
"""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The package's own configs")
    actions = parser.add_subparsers(dest='action', required=True)
    actions.add_parser('list', help='print the names of all')
    copy = actions.add_parser('copy', help='copy one, with all files that it inherits')
    copy.add_argument('name', help='as listed, such as mobanet/potsdam_dinov2_b.py')
    copy.add_argument('folder', help='where to')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mobanet_mmseg.configs import config_names, copy_config  # seconds: after --help
    from mobanet_mmseg.mistakes import ending_in_one_sentence

    if args.action == 'list':
        print('\n'.join(config_names()))
        return
    with ending_in_one_sentence():
        written = copy_config(args.name, args.folder)
    print(f'{written[0]}, with {len(written) - 1} files that it inherits')


if __name__ == '__main__':
    main()
