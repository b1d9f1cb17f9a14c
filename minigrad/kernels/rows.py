"""Add rows to a table at given places; a place may occur several times."""

from minigrad.kernels.jit import kernel, prange


@kernel
def add_rows(table, places, rows, columns_at_once):
    """table[places[i]] += rows[i] for every i, in that order.

    A task is a block of columns, so that no two tasks ever write to the same place.
    """
    width = table.shape[1]
    for task in prange((width + columns_at_once - 1) // columns_at_once):
        first = task * columns_at_once
        last = min(first + columns_at_once, width)
        for i in range(places.size):
            place = places[i]
            for j in range(first, last):
                table[place, j] += rows[i, j]
