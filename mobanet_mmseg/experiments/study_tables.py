"""The tables of a study, of what is done by now: the paper's IV and V, and MCRM taken apart."""

from collections.abc import Mapping, Sequence

from mobanet_mmseg.experiments.contrasts import SCORE
from mobanet_mmseg.experiments.paper import COMPONENTS, ROBUSTNESS
from mobanet_mmseg.experiments.statistics import LEVEL, Summary
from mobanet_mmseg.experiments.study import MODALITIES
from mobanet_mmseg.experiments.study_runs import Part
from mobanet_mmseg.experiments.tables import Table, gather

PAPERS = ('OA', 'mF1', 'mIoU')
INTERVALS = (f'{LEVEL} % over seeds', f'{LEVEL} % over tiles')
INPUTS = {'both': 'both', 'rgb': 'rgb alone', 'aux': 'aux alone'}
# a difference and its intervals, by table, cell, what it is against, and what both get
Texts = Mapping[tuple[str, str, str, str], tuple[str, str, str]]


def components_table(title: str, parts: Sequence[Part], texts: Texts) -> Table:
    """Lay out the paper's Table IV, each cell beside the one before it.

    Args:
        title: Of the data set.
        parts: Cells.
        texts: Of differences.
    """
    header = ('Variant', 'trainable (M)', *PAPERS, 'gain in mIoU', *INTERVALS)
    papers = (*(f"paper's {key}" for key in ('trainable', *PAPERS)), "paper's gain")
    table = Table(f'{title}: components (Table IV)', (*header, *papers), [])
    before = None
    for part in parts:
        gain = ('-',) * 3
        if before is not None:
            gain = texts['components', part.cell.key, before.cell.key, 'both']
        scores = (summary(part, 'both', key).text() for key in PAPERS)
        values = COMPONENTS.get((part.cell.paper,), {})
        last = COMPONENTS.get((before.cell.paper,), {}) if before else {}
        papers_gain = _less(values.get(SCORE), last.get(SCORE))
        own = (values.get(key, '-') for key in ('trainable', *PAPERS))
        row = (part.cell.title, trainable(part), *scores, *gain, *own, papers_gain)
        table.rows.append(row)
        before = part
    return table


def robustness_table(title: str, parts: Sequence[Part], texts: Texts) -> Table:
    """Lay out the paper's Table V: what is lost by each modality; beside the last cell's loss.

    Args:
        title: Of the data set.
        parts: Cells.
        texts: Of differences.
    """
    header = ('Model', 'tested with', *PAPERS, 'change in mIoU', *INTERVALS)
    papers = ("paper's mIoU", "paper's change")
    table = Table(f'{title}: a modality is left out (Table V)', (*header, *papers), [])
    for part in parts:
        whole = ROBUSTNESS.get((part.cell.paper, 'both'), {})
        for modality in MODALITIES:
            change = ('-',) * 3
            if modality != 'both':
                change = texts['robustness', part.cell.key, 'both', modality]
            scores = (summary(part, modality, key).text() for key in PAPERS)
            values = ROBUSTNESS.get((part.cell.paper, modality), {})
            lost = _less(values.get(SCORE), whole.get(SCORE)) if modality != 'both' else '-'
            own = (values.get(SCORE, '-'), lost)
            table.rows.append((part.cell.title, INPUTS[modality], *scores, *change, *own))
    for part in parts[:-1]:
        for modality in MODALITIES[1:]:
            less = texts['robustness', part.cell.key, f'drop of {parts[-1].cell.key}', modality]
            name = f'{part.cell.title}, less lost than by {parts[-1].cell.title}'
            row = (name, INPUTS[modality], *('-',) * 3, *less, *('-',) * 2)
            table.rows.append(row)
    return table


def masks_table(title: str, parts: Sequence[Part], texts: Texts) -> Table:
    """Lay out what MCRM's parts change, each cell beside the first, by what it gets.

    Args:
        title: Of the data set.
        parts: Cells.
        texts: Of differences.
    """
    first = parts[0].cell if parts else None
    name = f'{title}: MCRM taken apart, against {first.title if first else "nothing"}'
    table = Table(name, ('Model', 'tested with', SCORE, 'difference', *INTERVALS), [])
    for modality in MODALITIES:
        for part in parts:
            difference = ('-',) * 3
            if part.cell is not first:
                difference = texts['masks', part.cell.key, first.key, modality]
            score = summary(part, modality).text()
            table.rows.append((part.cell.title, INPUTS[modality], score, *difference))
    return table


def summary(part: Part, modality: str, key: str = SCORE) -> Summary:
    """Summarise a score over the seeds of a cell.

    Args:
        part: The cell on its data set.
        modality: What it gets in the test.
        key: Name of the score.
    """
    return gather(part.results.values(), 'metrics', modality, key)


def trainable(part: Part) -> str:
    """Give the trainable parameters of a cell, millions.

    Args:
        part: The cell on its data set.
    """
    found = gather(part.results.values(), 'cost', 'trainable').scaled(1e-6)
    return f'{found.mean:.3f}' if found.count else '-'


def _less(one: str | None, other: str | None) -> str:
    """The difference of two values of the paper."""
    return f'{float(one) - float(other):+.2f}' if one and other else '-'
