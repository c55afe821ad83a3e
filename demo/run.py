"""Train, measure and picture a small MoBaNet on a synthetic city, with the commands users type.

`mobanet demo` runs it in any folder, `make demo` in the checkout. It writes data/synthetic and
work_dirs/demo*, and ends with the metrics of the model that gets both modalities beside those of
the same model and schedule given RGB alone. The two are trained side by side, each on half of the
cores, which takes some minutes.
"""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

MOBANET = (sys.executable, '-P', '-m', 'mobanet_cli')  # -P: nothing is imported from the folder
DATA = 'data/synthetic'  # in the folder, as the config names it
RUNS = {'RGB + DSM': 'demo', 'RGB alone': 'demo_rgb'}
METRICS = {
    'OA': 'OA',
    'mF1': 'mF1',
    'mIoU of 5': 'mIoU',
    'mIoU of 6': 'mIoU_all',
    'IoU of cars': 'IoU.car',
}
LEAST_MIOU = 80
LEAST_CAR = 40
LEAST_GAIN = 20  # points over RGB alone
STEP = re.compile(r'Epoch\(train\) +\[\d+\]\[ *(\d+)/(\d+)\].* loss: ([0-9.]+)')


def parse_args() -> argparse.Namespace:
    """Read where the demo is run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'folder',
        nargs='?',
        type=Path,
        default=Path(),
        help='where data/synthetic and work_dirs/demo* are written; this folder by default',
    )
    return parser.parse_args()


def run(folder: Path, command: str, name: str = '', threads: int | None = None) -> None:
    """Run a command of `mobanet` in a folder; show its steps, and all it said if it fails."""
    print(f'$ mobanet {command}', flush=True)
    environment = os.environ if threads is None else {**os.environ, 'OMP_NUM_THREADS': str(threads)}
    said = []
    with subprocess.Popen(
        [*MOBANET, *shlex.split(command)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for line in process.stdout:
            said.append(line)
            if step := STEP.search(line):
                print(f'  {name}: step {step[1]} of {step[2]}, loss {step[3]}', flush=True)
    if process.returncode:
        print(''.join(said), file=sys.stderr, flush=True)  # at once: the other run may take minutes
        sys.exit(f'`mobanet {command}` failed: its output is above.')


def train_and_test(folder: Path, label: str) -> dict[str, float]:
    """Train a demo config and measure it on the test tiles."""
    name, threads = RUNS[label], max(1, len(os.sched_getaffinity(0)) // len(RUNS))
    config, work_dir = f'mobanet_mmseg::mobanet/{name}.py', f'work_dirs/{name}'
    test = f'test {config} {work_dir}/epoch_1.pth --work-dir {work_dir}/test'
    train = f'train {config} --work-dir {work_dir} --cfg-options train_cfg.val_begin=2'
    for command in (train, test):
        run(folder, command, label, threads)
    results = (folder / work_dir / 'test').glob('*/*.json')
    return json.loads(max(results, key=lambda path: path.stat().st_mtime).read_text())


def show(metrics: dict[str, dict[str, float]]) -> None:
    """Print a row of metrics a run, and exit with an error if one is too low."""
    table = Table('trained on', *METRICS)
    for label, found in metrics.items():
        table.add_row(label, *(f'{found[key]:.2f}' for key in METRICS.values()))
    Console().print(table)
    both, alone = (metrics[label] for label in RUNS)
    gain = {key: both[key] - alone[key] for key in ('mIoU', 'mIoU_all')}
    print(
        f'The DSM brings {gain["mIoU"]:.1f} points of mIoU over 5 classes, '
        f'{gain["mIoU_all"]:.1f} over 6.'
    )
    if min(both['mIoU'], both['mIoU_all']) < LEAST_MIOU or both['IoU.car'] < LEAST_CAR:
        sys.exit(f'The demo should reach an mIoU of {LEAST_MIOU}, and {LEAST_CAR} of the cars.')
    if min(gain.values()) < LEAST_GAIN:
        sys.exit(f'The DSM should bring at least {LEAST_GAIN} points of mIoU.')


def main() -> None:
    """Run the demo; exit with an error if the model did not learn from both modalities."""
    folder = parse_args().folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        sys.exit(f'error: {error}')
    begin = time.monotonic()
    run(folder, f'make-synthetic-isprs {DATA} --size 1024 --gsd 0.1 --train 8 --test 2')
    with ThreadPoolExecutor(len(RUNS)) as pool:
        found = pool.map(partial(train_and_test, folder), RUNS)
        metrics = dict(zip(RUNS, found, strict=True))
    run(
        folder,
        'predict mobanet_mmseg::mobanet/demo.py work_dirs/demo/epoch_1.pth '
        f'--rgb {DATA}/2_Ortho_RGB/top_potsdam_2_13_RGB.tif '
        f'--aux {DATA}/1_DSM/dsm_potsdam_02_13.tif '
        f'--label {DATA}/5_Labels_all/top_potsdam_2_13_label.tif '
        '--out work_dirs/demo/prediction.tif --picture work_dirs/demo/prediction.png',
    )
    print(f'Took {time.monotonic() - begin:.0f} s.')
    for what, name in (('Label map: ', 'prediction.tif'), ('Picture:   ', 'prediction.png')):
        print(what + str(folder / 'work_dirs' / 'demo' / name))
    here = Path(__file__).parent
    print(f'The same from Python, run in that folder: {here}/predict_from_python.py')
    print(f'Step by step, as a notebook: {here}/mobanet_demo.ipynb')
    show(metrics)


if __name__ == '__main__':
    main()
