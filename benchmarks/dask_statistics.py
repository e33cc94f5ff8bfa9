"""The peer of map_reduce.py: dask, with processes of one thread each, on the same bytes as zarr.

    python benchmarks/dask_statistics.py ZARR PROCESSES BINS

Reads a line for each run, and answers with the seconds it took and what it found, as JSON.  Count, mean,
variance, least and greatest of each column in one pass, then a histogram between the last two.
"""

import json
import sys
import time

import dask
import dask.array
from dask.distributed import Client, LocalCluster


def found(path: str, bins: int) -> list[dict[str, object]]:
    """Return what the columns hold."""
    rows = dask.array.from_zarr(path)
    columns = [rows[:, number].astype("f8") for number in range(rows.shape[1])]
    wanted = [[column.mean(), column.var(), column.min(), column.max()] for column in columns]
    told = dask.compute(wanted)[0]
    counts = dask.compute(
        [
            dask.array.histogram(column, bins, range=(low, high))[0]
            for column, (_, _, low, high) in zip(columns, told, strict=True)
        ]
    )[0]
    return [
        {"mean": mean, "variance": variance, "min": low, "max": high, "counts": int(count.sum())}
        for (mean, variance, low, high), count in zip(told, counts, strict=True)
    ]


def main(path: str, processes: int, bins: int) -> None:
    """Answer until nobody asks any more."""
    with (
        LocalCluster(n_workers=processes, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        print(json.dumps({"about": f"dask {dask.__version__}"}), flush=True)
        for _ in sys.stdin:
            began = time.perf_counter()
            answer = found(path, bins)
            print(json.dumps({"seconds": time.perf_counter() - began, "columns": answer}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
