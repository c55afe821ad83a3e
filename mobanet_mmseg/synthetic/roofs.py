"""Roofs and the plazas that look like them: the same plates, with and without height."""

from mobanet_mmseg.synthetic.colours import GREYS, REDS, tint
from mobanet_mmseg.synthetic.draft import Draft, Layer
from mobanet_mmseg.synthetic.items import BUILDING, IMPERVIOUS, Surface
from mobanet_mmseg.synthetic.layout import Pose


def add_roof(draft: Draft, at: Pose, size: tuple[float, float], height: float, flat: bool) -> None:
    """Add a roof with what stands on it; one of height 0 is paving."""
    rng = draft.rng
    if flat:
        cell = [(1.0, 1.0), (0.5, 0.5), (1.2, size[1]), (2.5, 2.5)][rng.integers(4)]
        surface = [Surface.ASPHALT, Surface.PAVING][rng.integers(2)]
        colour, pitch = tint(rng, GREYS), 0.0
    else:
        cell, surface, pitch = (0.3, 0.35), Surface.TILES, rng.uniform(0.5, 1.0)
        colour = tint(rng, REDS if rng.random() < 0.4 else GREYS)
    if height > 0:
        label, tone = BUILDING, 1.0
    else:
        label, tone, pitch = IMPERVIOUS, rng.uniform(0.72, 1.0), 0.0
    hipped = bool(rng.random() < 0.3)
    draft.plate(
        at, size, label, surface, colour,
        height=height, pitch=pitch, hipped=hipped, cell=cell, tone=tone,
    )  # fmt: skip
    _add_fixtures(draft, at, size, raised=float(height > 0), flat=flat)


def _add_fixtures(
    draft: Draft, at: Pose, size: tuple[float, float], raised: float, flat: bool
) -> None:
    """Chimneys, skylights, panels and plant on a roof; lids, benches and slabs on a plaza."""
    rng = draft.rng
    for _ in range(rng.integers(1, 5 if flat else 4)):
        along, across = rng.uniform(-0.4, 0.4) * size[0], rng.uniform(-0.38, 0.38) * size[1]
        kind = rng.integers(4)
        if flat:
            wide = tuple(rng.uniform(0.6, 2.2, 2))
            colour = [(196, 196, 192), (86, 88, 92), (60, 70, 84), (150, 148, 144)][kind]
            rise = raised * [0.9, 0.2, 0.3, 0.6][kind]
        elif kind == 0:  # by the ridge, where chimneys stand
            across, wide, colour, rise = 0.3, (0.7, 0.6), (112, 82, 72), raised
        else:
            wide, colour, rise = (0.8, 1.1), (66, 76, 88), 0.05
        spot = at.moved(along, across)
        draft.box(Layer.FIXTURE, spot, wide, Surface.SMOOTH, colour, height=rise)
