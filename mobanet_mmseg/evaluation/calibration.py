"""Whether of the pixels with a confidence of 80 % four in five are right, and what makes it so."""

import math

import numpy as np
from torch import Tensor

NUM_BINS = 15
TEMPERATURES = (0.05, 20.0)  # between which one is looked for
HALVINGS = 50  # of the interval: to float64's precision


class Reliability:
    r"""Counts pixels by the confidence of their prediction, and how many of them are right.

    The confidence of a pixel is the probability of its predicted class. Bin m of M holds those in
    ((m - 1) / M, m / M]; the expected calibration error is the mean distance between accuracy and
    confidence of the bins, weighed by their pixels.

    .. math:: \mathrm{ECE} = \sum_m \frac{|B_m|}{n} |\mathrm{acc}(B_m) - \mathrm{conf}(B_m)|

    Source: Naeini et al., AAAI 2015; Guo et al., On Calibration of Modern Neural Networks,
    arXiv:1706.04599, Eq. 3-5, whose M is 15.

    Args:
        num_classes: Number of classes K.
        num_bins: Number of bins M.

    Attributes:
        counts: (K, M) int64 pixels by predicted class and bin.
        right: (K, M) int64, those of them whose truth is the predicted class.
        confidence: (K, M) float64 sum of their confidences.
        nll: Sum of their negative log-likelihoods, nats.
    """

    def __init__(self, num_classes: int, num_bins: int = NUM_BINS) -> None:
        self.counts = np.zeros((num_classes, num_bins), np.int64)
        self.right = np.zeros((num_classes, num_bins), np.int64)
        self.confidence = np.zeros((num_classes, num_bins))
        self.nll = 0.0

    def add(self, logits: Tensor, predicted: Tensor, truth: Tensor, temperature: float) -> None:
        """Count pixels.

        Args:
            logits: (n, K).
            predicted: (n,) predicted classes.
            truth: (n,) true classes.
            temperature: Divides the logits.
        """
        logs = (logits.float() / temperature).log_softmax(dim=1)
        own, true = (logs.gather(1, indices[:, None])[:, 0] for indices in (predicted, truth))
        confidence = own.exp().double().cpu().numpy()
        num_bins = self.counts.shape[1]
        bins = np.ceil(confidence * num_bins).astype(np.int64).clip(1, num_bins) - 1
        codes = predicted.cpu().numpy() * num_bins + bins
        right = (predicted == truth).cpu().numpy()
        for total, values in (
            (self.counts, np.bincount(codes, minlength=self.counts.size)),
            (self.right, np.bincount(codes[right], minlength=self.counts.size)),
            (self.confidence, np.bincount(codes, confidence, minlength=self.counts.size)),
        ):
            total += values.reshape(total.shape)
        self.nll -= float(true.double().sum())

    @property
    def num_pixels(self) -> int:
        """Pixels that were counted."""
        return int(self.counts.sum())

    @property
    def bins(self) -> dict[str, np.ndarray]:
        """``count``, ``accuracy`` and ``confidence`` of each bin, (M,); nan of an empty one."""
        return _rates(self.counts.sum(0), self.right.sum(0), self.confidence.sum(0))

    @property
    def classes(self) -> dict[str, np.ndarray]:
        """The same of each predicted class, (K,)."""
        return _rates(self.counts.sum(1), self.right.sum(1), self.confidence.sum(1))

    @property
    def summary(self) -> dict[str, float]:
        """``ECE``, ``accuracy`` and ``confidence`` in per cent, ``NLL`` in nats a pixel."""
        count = self.num_pixels
        gaps = np.abs(self.right.sum(0) - self.confidence.sum(0))
        sums = {'ECE': gaps, 'accuracy': self.right, 'confidence': self.confidence}
        shares = {name: 100 * float(values.sum()) / count for name, values in sums.items()}
        return {**shares, 'NLL': self.nll / count}


def _rates(count: np.ndarray, right: np.ndarray, confidence: np.ndarray) -> dict[str, np.ndarray]:
    with np.errstate(invalid='ignore'):  # 0 / 0 is the nan of an empty bin
        return {'count': count, 'accuracy': right / count, 'confidence': confidence / count}


def fit_temperature(logits: Tensor, truth: Tensor) -> float:
    """Find the temperature under which labels are likeliest.

    The mean negative log-likelihood of ``softmax(logits / T)`` is convex in 1 / T; the one place
    where its slope is 0 is found by halving.

    Args:
        logits: (n, K).
        truth: (n,) true classes.

    Returns:
        The temperature: above 1 where the network is too sure, below where it is not enough so.

    Raises:
        ValueError: If there is none between those that are looked at.
    """
    logits = logits.double()
    logits = logits - logits.gather(1, truth[:, None])  # of the true class 0

    def slope(temperature: float) -> float:
        shares = (logits / temperature).softmax(dim=1)
        return float((shares * logits).sum(dim=1).mean())

    low, high = TEMPERATURES
    if not len(logits) or not slope(low) > 0 > slope(high):
        raise ValueError(
            f'No temperature between {low:g} and {high:g} makes the labels of {len(logits)} pixels '
            'likeliest: fit on more of them, of which the model gets most right and some wrong.'
        )
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return math.sqrt(low * high)
