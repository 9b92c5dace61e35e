"""The order in which a sampler visits noise levels, also back in time, and how often it asks its network."""

import itertools

from jaxpr.core import check_count

__all__ = ["network_calls", "travel_times"]


def travel_times(steps: int, *, length: int, repeats: int) -> list[int]:
    """Positions in the schedule, from the noisiest, steps - 1, down to -1, the image.

    Every `length` positions the way leads back up by as many, so that each stretch is walked `repeats` times: the jumps
    of RePaint and the time travel of DDNM.

    Args:
        steps: visited timesteps.
        length: positions of one jump.
        repeats: how often each stretch is walked; 1 for no jumps.

    Returns:
        Positions; neighbours differ by one, a fall is a reverse step and a rise adds noise.

    Raises:
        InputError: one of them is no positive integer.
    """
    for name, value in (("steps", steps), ("length", length), ("repeats", repeats)):
        check_count(name, value)
    left = dict.fromkeys(range(0, steps - length, length), repeats - 1)
    position, found = steps, []
    while position > 0:
        position -= 1
        found.append(position)
        if left.get(position, 0) > 0:
            left[position] -= 1
            found += range(position + 1, position + length + 1)
            position += length
    return [*found, -1]


def network_calls(steps: int, *, length: int = 1, repeats: int = 1) -> int:
    """How often a sampler asks its network for each image of each sample: the reverse steps of `travel_times`.

    DDRM and DPS need no more than `steps`; for DDNM give its travel, for RePaint its jumps. Each call is of all samples
    of all images at once.

    Raises:
        InputError: one of them is no positive integer.
    """
    times = travel_times(steps, length=length, repeats=repeats)
    return sum(b < a for a, b in itertools.pairwise(times))
