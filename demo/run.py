"""Train, measure and picture a small MoBaNet on a synthetic city, with the commands users type.

`make demo` runs it. It writes data/synthetic and work_dirs/demo*, and ends with the metrics of the
model that gets both modalities beside those of the same model and schedule given RGB alone. The
two are trained side by side, each on half of the cores.
"""

import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
DATA = Path('data/synthetic')
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


def run(command: str, name: str = '', threads: int | None = None) -> None:
    """Run a command in the repository's root; show it, its steps, and all it said if it fails."""
    print(f'$ python {command}', flush=True)
    environment = os.environ if threads is None else {**os.environ, 'OMP_NUM_THREADS': str(threads)}
    said = []
    with subprocess.Popen(
        [sys.executable, *command.split()],
        cwd=ROOT,
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
        sys.exit(f'`python {command}` failed: its output is above.')


def train_and_test(label: str) -> dict[str, float]:
    """Train a demo config and measure it on the test tiles."""
    name, threads = RUNS[label], max(1, len(os.sched_getaffinity(0)) // len(RUNS))
    config, work_dir = f'configs/mobanet/{name}.py', f'work_dirs/{name}'
    run(
        f'tools/train.py {config} --work-dir {work_dir} --cfg-options train_cfg.val_begin=2',
        label,
        threads,
    )
    run(f'tools/test.py {config} {work_dir}/epoch_1.pth --work-dir {work_dir}/test', label, threads)
    newest = max((ROOT / work_dir / 'test').glob('*/*.json'), key=lambda p: p.stat().st_mtime)
    return json.loads(newest.read_text())


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
    begin = time.monotonic()
    run(f'tools/make_synthetic_isprs.py {DATA} --size 1024 --gsd 0.1 --train 8 --test 2')
    with ThreadPoolExecutor(len(RUNS)) as pool:
        metrics = dict(zip(RUNS, pool.map(train_and_test, RUNS), strict=True))
    run(
        'tools/predict.py configs/mobanet/demo.py work_dirs/demo/epoch_1.pth '
        f'--rgb {DATA}/2_Ortho_RGB/top_potsdam_2_13_RGB.tif '
        f'--aux {DATA}/1_DSM/dsm_potsdam_02_13.tif '
        f'--label {DATA}/5_Labels_all/top_potsdam_2_13_label.tif '
        '--out work_dirs/demo/prediction.tif --picture work_dirs/demo/prediction.png'
    )
    print(f'Took {time.monotonic() - begin:.0f} s.')
    print('Label map: work_dirs/demo/prediction.tif\nPicture:   work_dirs/demo/prediction.png')
    show(metrics)


if __name__ == '__main__':
    main()
