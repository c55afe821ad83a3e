"""Run a tool of MMSegmentation's own on our configs: mmseg_tool.py get_flops CONFIG.

It imports this package before the tool, which mends the stack and registers every component, and
takes configs of the package by their names. What each of the tools does with two modalities:
docs/mmseg_tools.md.
"""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run a tool of MMSegmentation's own")
    parser.add_argument('tool', help='its name, such as print_config; `list` names all')
    parser.add_argument('arguments', nargs=argparse.REMAINDER, help='what follows it')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mobanet_mmseg.engine.mmseg_tools import run_mmseg_tool, tool_paths  # seconds: after --help
    from mobanet_mmseg.mistakes import ending_in_one_sentence

    with ending_in_one_sentence():
        if args.tool == 'list':
            print('\n'.join(tool_paths()))
        else:
            run_mmseg_tool(args.tool, args.arguments)


if __name__ == '__main__':
    main()
