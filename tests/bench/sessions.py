#!/usr/bin/env python3
"""Two sessions of one thread in one process against two processes of one: sessions.py MODEL.onnx [--seconds S] [--dim NAME=N]

Prints runs a second of both ways, several times in turns, and the ratio of the best; below 0.95 the exit status is 1.
"""
import argparse
import sys
import threading
import time

from models import Runtime, feeds_of, open_session


def together(path, dims, seconds):
    """Runs a second of two sessions that two threads of this process run."""
    sessions = [open_session("tenonrt", path, 1) for _ in range(2)]
    feeds = [feeds_of(s, dims) for s in sessions]
    for s, f in zip(sessions, feeds):
        s.run(None, f)
    counts, begin = [0, 0], threading.Barrier(3)

    def loop(k):
        begin.wait()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            sessions[k].run(None, feeds[k])
            counts[k] += 1
    threads = [threading.Thread(target=loop, args=(k,)) for k in range(2)]
    for t in threads:
        t.start()
    begin.wait()
    start = time.perf_counter()
    for t in threads:
        t.join()
    return sum(counts) / (time.perf_counter() - start)


def apart(pair, seconds):
    for process in pair:
        process.start(seconds)
    return sum(len(times) / sum(times) for times in (process.finish() for process in pair))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("model")
    ap.add_argument("--seconds", type=float, default=1)
    ap.add_argument("--rounds", type=int, default=4)
    ap.add_argument("--dim", action="append", default=[])
    a = ap.parse_args()
    dims = {name: int(size) for name, size in (d.split("=") for d in a.dim)}
    pair = [Runtime("tenonrt", a.model, 1, dims) for _ in range(2)]
    best = [0.0, 0.0]
    for _ in range(a.rounds):
        one, two = together(a.model, dims, a.seconds), apart(pair, a.seconds)
        best = [max(best[0], one), max(best[1], two)]
        print(f"one process {one:9.2f} runs/s, two processes {two:9.2f} runs/s")
    for process in pair:
        process.close()
    print(f"ratio {best[0] / best[1]:.3f}")
    sys.exit(best[0] < 0.95 * best[1])


if __name__ == "__main__":
    main()
