"""Where the windows of a tiled prediction lie; plain integers, no tensor and no raster."""


def window_grid(
    height: int, width: int, window: tuple[int, int], stride: tuple[int, int]
) -> list[tuple[int, int, int, int]]:
    """Cover an image with windows, row by row, as MMSeg's slide mode does.

    The last window of a row or column is moved back until it lies inside; an image smaller than the
    window gets one window of its own size. No window comes twice.

    Source: ``EncoderDecoder.slide_inference`` of MMSegmentation 1.2.2.

    Args:
        height: Image height H, pixels.
        width: Image width W, pixels.
        window: Window height and width, pixels.
        stride: Step down and step right, pixels.

    Returns:
        Windows (y1, x1, y2, x2), pixels, the ends exclusive.

    Raises:
        ValueError: If a size or a step is below 1, or a step is longer than its window.
    """
    rows = _spans(height, window[0], stride[0], 'height')
    columns = _spans(width, window[1], stride[1], 'width')
    return [(y1, x1, y2, x2) for y1, y2 in rows for x1, x2 in columns]


def _spans(length: int, window: int, stride: int, side: str) -> list[tuple[int, int]]:
    """Cover one side of ``length`` pixels; (first, end) of each window."""
    if min(length, window, stride) < 1:
        raise ValueError(
            f'Sizes and strides are at least 1 pixel, but the {side} has length {length}, window '
            f'{window} and stride {stride}.'
        )
    if stride > window:
        raise ValueError(
            f'A stride of {stride} pixels leaves holes between windows of {window} pixels '
            f'({side}): choose a stride of at most {window}.'
        )
    last = max(length - window, 0)
    # a range that stops short of `last` never repeats the window that is moved back to it
    starts = [*range(0, last, stride), last]
    return [(start, min(start + window, length)) for start in starts]
