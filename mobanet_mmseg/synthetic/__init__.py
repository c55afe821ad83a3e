"""A synthetic city in the layout of the ISPRS Potsdam archive.

A plan is drawn (``plan``), its things get looks that tell their classes or do not (``looks``), it
is painted into labels, heights and colours (``canvas``), lit by one sun that casts shadows from the
heights (``light``), and written as GeoTIFFs (``archive``).
"""

from mobanet_mmseg.synthetic.archive import BANDS, class_boundaries, write_archive
from mobanet_mmseg.synthetic.shadows import cast_shadows
from mobanet_mmseg.synthetic.tile import make_tile

__all__ = [
    'BANDS',
    'cast_shadows',
    'class_boundaries',
    'make_tile',
    'write_archive',
]
