import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from mobanet_mmseg.evaluation.calibration import Reliability, fit_temperature


def logits_of(*shares):
    """Logits of two classes by the probability of the first."""
    first = torch.tensor(shares, dtype=torch.float64)
    return torch.stack([first, 1 - first], dim=1).log()


def counted(logits, truth, temperature=1.0, num_bins=15):
    found = Reliability(logits.shape[1], num_bins)
    found.add(logits, logits.argmax(dim=1), truth, temperature)
    return found


def drawn(count=4000, num_classes=3):
    """Logits and classes that are drawn by their softmax."""
    rng = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(count, num_classes, generator=rng)
    return logits, logits.softmax(dim=1).multinomial(1, generator=rng)[:, 0]


def test_expected_calibration_error_by_hand():
    """Of three pixels sure by 0.9 two are right, of two sure by 0.7 one is."""
    logits = logits_of(0.9, 0.9, 0.1, 0.3, 0.7)  # classes 0 0 1 1 0
    truth = torch.tensor([0, 1, 1, 1, 1])
    found = counted(logits, truth, num_bins=5)
    assert found.counts.tolist() == [[0, 0, 0, 1, 2], [0, 0, 0, 1, 1]]
    assert found.right.tolist() == [[0, 0, 0, 0, 1], [0, 0, 0, 1, 1]]
    summary = found.summary
    assert summary['ECE'] == pytest.approx(60 * (0.9 - 2 / 3) + 40 * (0.7 - 0.5), abs=1e-4)
    assert summary['accuracy'] == 60
    assert summary['confidence'] == pytest.approx(100 * (3 * 0.9 + 2 * 0.7) / 5, abs=1e-4)
    likelihood = 0.9 * 0.1 * 0.9 * 0.7 * 0.3
    assert summary['NLL'] == pytest.approx(-math.log(likelihood) / 5, abs=1e-6)
    assert found.classes['accuracy'].tolist() == pytest.approx([1 / 3, 1])
    assert found.bins['confidence'][3:].tolist() == pytest.approx([0.7, 0.9])
    assert np.isnan(found.bins['accuracy'][:3]).all()


def test_bins_hold_their_upper_edge():
    found = counted(torch.tensor([[0.0, 0], [0, 500], [1, 0]]), torch.zeros(3).long(), num_bins=2)
    assert found.counts.sum(axis=0).tolist() == [1, 2]  # of 0.5, 1 and 0.73
    assert found.counts.dtype == found.right.dtype == np.int64


def test_pieces_count_as_the_whole_and_the_temperature_divides():
    logits, truth = drawn()
    whole = counted(logits / 2, truth)
    pieces = Reliability(3)
    for part, labels in zip(logits.split(700), truth.split(700), strict=True):
        pieces.add(part, part.argmax(dim=1), labels, temperature=2.0)
    assert np.array_equal(pieces.counts, whole.counts)
    assert np.array_equal(pieces.right, whole.right)
    assert pieces.summary == pytest.approx(whole.summary)
    nll = float(functional.cross_entropy(logits / 2, truth))
    assert pieces.summary['NLL'] == pytest.approx(nll, rel=1e-5)
    assert pieces.num_pixels == 4000


def test_temperature_by_hand():
    """Of equal logits with 3 of 4 right, the confidence has to be 3/4: log 3 apart."""
    logits = torch.tensor([[5.0, 0.0]] * 4)
    truth = torch.tensor([0, 0, 1, 0])
    assert fit_temperature(logits, truth) == pytest.approx(5 / math.log(3))


@pytest.mark.parametrize('scale', [0.4, 1, 3])
def test_temperature_is_found_again_and_is_that_of_lbfgs(scale):
    logits, truth = drawn()
    found = fit_temperature(scale * logits, truth)
    assert found == pytest.approx(scale, rel=0.05)
    inverse = torch.ones((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([inverse], max_iter=100, line_search_fn='strong_wolfe')

    def closure():
        optimizer.zero_grad()
        loss = functional.cross_entropy(scale * logits.double() * inverse, truth)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert found == pytest.approx(1 / float(inverse.detach()), rel=1e-4)


def test_fitted_temperature_mends_the_error_of_other_pixels():
    logits, truth = drawn(8000)
    temperature = fit_temperature(3 * logits[:4000], truth[:4000])
    before = counted(3 * logits[4000:], truth[4000:])
    after = counted(3 * logits[4000:], truth[4000:], temperature)
    assert before.summary['ECE'] > 10
    assert after.summary['ECE'] < 2.5
    assert after.summary['NLL'] < before.summary['NLL']
    assert after.summary['accuracy'] == before.summary['accuracy']


@pytest.mark.parametrize(
    ('logits', 'truth'),
    [
        (torch.empty(0, 3), torch.empty(0).long()),
        (torch.tensor([[5.0, 0]] * 4), torch.zeros(4).long()),  # all are right
        (torch.tensor([[5.0, 0]] * 4), torch.tensor([0, 0, 1, 1])),  # as good as chance
        (torch.tensor([[5.0, 0]] * 4), torch.ones(4).long()),  # all are wrong
    ],
)
def test_pixels_of_no_temperature_are_refused(logits, truth):
    with pytest.raises(ValueError, match=rf'No temperature .* {len(truth)} pixels'):
        fit_temperature(logits, truth)
