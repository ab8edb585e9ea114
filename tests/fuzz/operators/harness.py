"""Harness: hands seeds to workers, and counts deaths, hangs, memory over the limit and answers that say nothing."""
import collections
import dataclasses
import os
import pathlib
import select
import shutil
import signal
import tempfile
import time

import worker

PAGE, TICK = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")
WALL = 60  # seconds without CPU time: a deadlock


@dataclasses.dataclass
class Job:
    pid: int
    pipe: int
    seeds: list
    errors: pathlib.Path
    rest: bytes = b""
    seed: int | None = None
    began: float = 0.0
    cpu: float = 0.0
    killed: str = ""


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def resident(pid):
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


class Harness:
    def __init__(self, generator, runtime, seconds, memory, out, jobs, address_space=True, only=None):
        self.generator, self.runtime, self.seconds, self.memory, self.out = generator, runtime, seconds, memory, out
        self.jobs, self.address_space, self.only = jobs, address_space, only
        self.stages, self.operators, self.problems, self.slowest = collections.Counter(), {}, [], []
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="operator_fuzz_"))

    def run(self, seeds):
        waiting = collections.deque()
        for seed in seeds:
            if waiting and worker.isa_of(waiting[-1][-1]) == worker.isa_of(seed) and len(waiting[-1]) < worker.BATCH:
                waiting[-1].append(seed)
            else:
                waiting.append([seed])
        running = {}
        while waiting or running:
            while waiting and len(running) < self.jobs:
                job = self.start(waiting.popleft())
                running[job.pipe] = job
            ready, _, _ = select.select(list(running), [], [], 0.25)
            for pipe in ready:
                job, data = running[pipe], os.read(pipe, 1 << 16)
                if data:
                    self.read(job, data)
                    continue
                del running[pipe]
                left = self.ended(job)
                if left:
                    waiting.appendleft(left)
            for job in running.values():
                self.watch(job)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, seeds):
        read, write = os.pipe()
        errors = self.folder / f"{seeds[0]}"
        pid = os.fork()
        if pid == 0:
            os.close(read)
            file = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, 2)
            os.dup2(file, 1)
            limit = self.memory if self.address_space else 0
            worker.work(write, self.runtime, self.generator, seeds, limit, worker.isa_of(seeds[0]), self.only)
        os.close(write)
        return Job(pid, read, list(seeds), errors)

    def read(self, job, data):
        *lines, job.rest = (job.rest + data).split(b"\n")
        for line in lines:
            words = line.decode("utf-8", "replace").split(" ", 6)
            if words[0] == "start":
                job.seed, job.began, job.cpu = int(words[1]), time.monotonic(), cpu_seconds(job.pid)
                continue
            _, seed, stage, spent, complaint, op, text = words
            job.seeds.remove(int(seed))
            job.seed = None
            self.stages[stage] += 1
            self.operators.setdefault(op, collections.Counter())[stage] += 1
            self.slowest = sorted([*self.slowest, (float(spent), int(seed), op)], reverse=True)[:5]
            if float(spent) > self.seconds:
                self.problem("hang", int(seed), f"{spent} s; {text}")
            elif complaint == "1":
                self.problem("error", int(seed), text)

    def watch(self, job):
        if job.seed is None or job.killed:
            return
        try:
            if cpu_seconds(job.pid) - job.cpu > 4 * self.seconds or time.monotonic() - job.began > WALL:
                job.killed = "hang"
            elif resident(job.pid) > self.memory:
                job.killed = "memory"
        except (FileNotFoundError, ProcessLookupError):
            return
        if job.killed:
            os.kill(job.pid, signal.SIGKILL)

    def ended(self, job):
        """Seeds that the worker has left."""
        os.close(job.pipe)
        _, status = os.waitpid(job.pid, 0)
        if status == 0:
            return []
        seed = job.seed if job.seed is not None else job.seeds[0]
        how = f"exit {os.WEXITSTATUS(status)}"
        if os.WIFSIGNALED(status):
            how = f"signal {os.WTERMSIG(status)} ({signal.Signals(os.WTERMSIG(status)).name})"
        said = job.errors.read_text(errors="replace")[-6000:]
        self.stages[job.killed or "death"] += 1
        self.problem(job.killed or "death", seed, how, said)
        return [s for s in job.seeds if s != seed]

    def problem(self, kind, seed, text, said=""):
        """Keeps what is needed to see it again: the model, and the case in words."""
        case = self.generator.case(seed, self.only)
        if kind in ("death", "memory") or (kind == "hang" and not text[0].isdigit()):
            self.operators.setdefault(f"{case.domain or 'ai.onnx'}:{case.op}", collections.Counter())[kind] += 1
        self.problems.append((kind, seed, f"{case.domain or 'ai.onnx'}:{case.op}", text))
        first = said.strip().splitlines()
        print(f"{kind} seed {seed} {case.domain or 'ai.onnx'}:{case.op} {text} {first[0][:200] if first else ''}", flush=True)
        self.out.mkdir(parents=True, exist_ok=True)
        name = self.out / f"{self.runtime}-{kind}-{seed}"
        isa = f"TENON_MAX_CPU_ISA={worker.isa_of(seed)}" if worker.isa_of(seed) else "no cap"
        name.with_suffix(".txt").write_text(f"{kind}: {text}\n{isa}\n{case.describe()}\n{said}", errors="replace")
        name.with_suffix(".onnx").write_bytes(case.model())

    def count(self, kind):
        return sum(k == kind for k, *_ in self.problems)

    def report(self):
        total = sum(self.stages.values())
        share = ", ".join(f"{k} {n} ({100 * n / max(1, total):.1f} %)" for k, n in self.stages.most_common())
        ran = sum(1 for c in self.operators.values() if c["ran"])
        print(f"{total} cases, {len(self.operators)} operators, {ran} of them ran: {share}")
        print("slowest: " + ", ".join(f"{s:.2f} s {op} (seed {seed})" for s, seed, op in self.slowest))
        for kind in ("death", "hang", "memory", "error"):
            ops = collections.Counter(op for k, _, op, _ in self.problems if k == kind)
            if ops:
                print(f"{kind}: " + ", ".join(f"{op} {n}" for op, n in ops.most_common()))
        print(f"{total} cases: {self.count('death')} deaths, {self.count('hang')} hangs over {self.seconds} s, "
              f"{self.count('memory')} over memory, {self.count('error')} errors that say too little")
        return bool(self.problems) or total == 0
