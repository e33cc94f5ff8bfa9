"""Write a file of float32 as a zarr array, uncompressed, in chunks of 16 MiB.

python benchmarks/zarr_of.py FILE ZARR COLUMNS
"""

import sys

import numpy as np
import zarr


def main(path: str, store: str, columns: int) -> None:
    """Copy the rows chunk by chunk."""
    rows = np.memmap(path, "<f4", "r").reshape(-1, columns)
    step = (16 << 20) // (4 * columns)
    array = zarr.create_array(store, shape=rows.shape, dtype="<f4", chunks=(step, columns), compressors=None)
    for start in range(0, len(rows), step):
        array[start : start + step] = rows[start : start + step]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
