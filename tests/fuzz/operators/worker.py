"""Worker: a forked process that runs cases one after the other and says so on a pipe before and after each."""
import gc
import os
import resource
import sys
import time
import traceback
import warnings

ISAS = ("", "avx2", "avx512")  # TENON_MAX_CPU_ISA of a batch of seeds
BATCH = 500


def isa_of(seed):
    return ISAS[seed // BATCH % len(ISAS)]


class Tenon:
    """Runs a case in tenon; limits.memory keeps honest requests for gigabytes short."""

    def __init__(self):
        import tenonrt
        self.rt = tenonrt

    def session(self, data, options):
        chosen = self.rt.SessionOptions()
        chosen.intra_op_num_threads = options.get("threads", 1)
        chosen.add_session_config_entry("/limits/memory", "512MiB")
        chosen.add_session_config_entry("/session/optimize", options.get("optimize", "all"))
        return self.rt.InferenceSession(data, chosen, [("cpu", {"plain": True})] if options.get("plain") else ["cpu"])

    def complaint(self, error):
        """Why an error is no good answer; None where it is."""
        if not str(error).strip():
            return "an error without text"
        if not isinstance(error, (self.rt.Error, TypeError, ValueError, OverflowError, MemoryError)):
            return f"an error of type {type(error).__name__}"
        return "an INTERNAL error" if getattr(error, "code", "") == "INTERNAL" else None


class OnnxRuntime:
    def __init__(self):
        os.environ["ALLOW_RELEASED_ONNX_OPSET_ONLY"] = "0"
        import onnxruntime
        self.rt = onnxruntime
        self.rt.set_default_logger_severity(4)

    def session(self, data, options):
        chosen = self.rt.SessionOptions()
        chosen.intra_op_num_threads = options.get("threads", 1)
        return self.rt.InferenceSession(data, chosen, providers=["CPUExecutionProvider"])

    def complaint(self, error):
        return None


RUNTIMES = {"tenon": Tenon, "onnxruntime": OnnxRuntime}


def attempt(runtime, case):
    """(stage, error): unmade, load, run or ran."""
    try:
        data, feeds = case.model(), case.feeds()
    except Exception as e:  # what the onnx package cannot write down is no case
        return "unmade", e
    try:
        session = runtime.session(data, case.options)
    except Exception as e:
        return "load", e
    try:
        session.run(None, feeds)
        if case.second_feeds:
            session.run(None, case.shorter_feeds())
    except Exception as e:
        return "run", e
    return "ran", None


def work(pipe, runtime_name, generator, seeds, memory, isa, only):
    """The whole life of a worker; never returns."""
    warnings.simplefilter("ignore")
    if memory:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if isa:
        os.environ["TENON_MAX_CPU_ISA"] = isa
    try:
        runtime = RUNTIMES[runtime_name]()
        gc.freeze()
        for seed in seeds:
            os.write(pipe, f"start {seed}\n".encode())
            began = time.process_time()
            case = generator.case(seed, only)
            stage, error = attempt(runtime, case)
            spent = time.process_time() - began
            complaint = runtime.complaint(error) if error is not None and stage != "unmade" else None
            text = " ".join(f"{complaint + ': ' if complaint else ''}{error or ''}".split())[:400]
            name = f"{case.domain or 'ai.onnx'}:{case.op}"
            os.write(pipe, f"end {seed} {stage} {spent:.3f} {int(bool(complaint))} {name} {text}\n".encode("utf-8", "replace"))
            del case, error
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(3)
    os._exit(0)
