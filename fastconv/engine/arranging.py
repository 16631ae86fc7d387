"""Where memory lies that is needed for a while only: several may have the same place, one after the other.

offset
  ^   +------+ +-----------+    A place is as low as it can be, so that what is needed at the same
  |   |  y3  | |    dy4    |    moment does not overlap; the largest are placed first. Planes with a
  |   +------+-+---+-------+    halo share theirs with planes of the same sizes only: nobody writes
  |   |     y0     |  dy1  |    into the halo, which holds the zeros that it began with.
  +---+------------+-------+---> moment
"""

from bisect import insort


def arrange(storages):
    """Give each of some storages, in the order of their first use, an `offset`; returns where they end."""
    free, places = [], []
    for storage in storages:
        if storage.shape is not None and not any(storage.shape[3:]):
            free.append(storage)
            continue
        alike = (place for place in places if storage.shape is not None and place[0].shape == storage.shape)
        place = next((place for place in alike if place[-1].last < storage.first), None)
        if place is None:
            places.append([storage])
        else:
            place.append(storage)
    end = _arrange_free(free)
    for place in places:
        for storage in place:
            storage.offset = end
        end += place[0].copy_bytes
    return end


def _arrange_free(storages):
    """As `arrange`, for those that may lie in the memory of any others, before and after their use."""
    placed, end = [], 0
    for storage in sorted(storages, key=lambda storage: -storage.copy_bytes):
        storage.offset = 0
        for other in placed:  # from the lowest on
            if other.last < storage.first or storage.last < other.first:
                continue
            if storage.offset + storage.copy_bytes <= other.offset:
                break
            storage.offset = max(storage.offset, other.offset + other.copy_bytes)
        insort(placed, storage, key=lambda storage: storage.offset)
        end = max(end, storage.offset + storage.copy_bytes)
    return end
