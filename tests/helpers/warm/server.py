"""Import what is dear, then fork a command for each that asks: `python server.py SOCKET`, until its standard input ends."""

import atexit
import contextlib
import fcntl
import importlib
import marshal
import multiprocessing
import os
import runpy
import select
import signal
import socket
import sys
import threading

# what others wrote; not fairseq, whose modules set up logging in the order of their import
DEAR = (
    *(
        "torch",
        "torch.distributed.run",
        "sklearn.metrics",
        "scipy.stats",
        "hydra.experimental",
        "omegaconf",
        "sacrebleu",
    ),
    *("matplotlib.pyplot", "transformers.models.gpt2.modeling_gpt2", "sacremoses"),
)
NUMBERS = 200  # files that a command may inherit have smaller ones


def serve(path: str) -> None:
    """Until nobody holds the other end of the standard input."""
    for name in DEAR:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(f"{path}.part")
    listener.listen(64)
    os.rename(f"{path}.part", path)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while 0 not in select.select([listener, 0], [], [])[0]:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            watch(connection)
            os._exit(0)
        connection.close()


def watch(connection: socket.socket) -> None:
    """Fork the command; pass signals on; say how it ended; kill it if the one that asked for it is dead."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size = int.from_bytes(connection.recv(8, socket.MSG_WAITALL), "little")
    files = socket.recv_fds(connection, 1, NUMBERS)[1]
    message = marshal.loads(connection.recv(size, socket.MSG_WAITALL))
    command = os.fork()
    if command == 0:
        become(files, *message)
    for file in files:
        os.close(file)
    ended = os.pidfd_open(command)
    while ended not in select.select([connection, ended], [], [])[0]:
        sent = connection.recv(1)
        os.kill(command, sent[0] if sent else signal.SIGKILL)
        if not sent:
            break
    _, status = os.waitpid(command, 0)
    with contextlib.suppress(OSError):
        connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())


def become(
    files: list[int], program: str, words: list[str], environment: dict, folder: str, numbers: list[int], mask: int
) -> None:
    """This process is the command from here on, and ends as it does."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    files = [fcntl.fcntl(file, fcntl.F_DUPFD, NUMBERS) for file in files]
    os.closerange(0, NUMBERS)
    for file, number in zip(files, numbers, strict=True):
        os.dup2(file, number)
        os.close(file)
    os.umask(mask)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    open_streams()
    sys.executable = environment["PYTHON_EXEC"]
    multiprocessing.set_executable(sys.executable)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(int(environment.get("OMP_NUM_THREADS", os.cpu_count())))
    sys.path[:] = [*filter(None, environment.get("PYTHONPATH", "").split(os.pathsep)), *sys.path[1:]]
    code = outcome(lambda: run(program, words))
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def open_streams() -> None:
    """Of the files that are there now."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        old = getattr(sys, name)
        try:
            os.fstat(number)
        except OSError:
            stream = None
        else:
            kind = {"encoding": old.encoding, "errors": old.errors, "closefd": False}
            stream = open(number, "w" if number else "r", buffering=1 if number else -1, **kind)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def run(program: str, words: list[str]) -> None:
    """As the interpreter does: a module, a string, or a file."""
    if os.path.basename(program) != "python":
        sys.argv = [program, *words]
        runpy.run_path(program, run_name="__main__")
    elif words[0] == "-m":
        sys.argv = words[1:]
        sys.path.insert(0, os.getcwd())
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    elif words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        sys.path.insert(0, "")
        exec(compile(words[1], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = words
        sys.path.insert(0, os.path.dirname(os.path.abspath(words[0])))
        runpy.run_path(words[0], run_name="__main__")


def outcome(work) -> int:
    """The exit code."""
    try:
        work()
    except SystemExit as stop:
        return exit_code(stop)
    except BaseException:
        try:
            sys.excepthook(*sys.exc_info())
        except SystemExit as stop:
            return exit_code(stop)
        return 1
    return 0


def exit_code(stop: SystemExit) -> int:
    if stop.code is None or isinstance(stop.code, int):
        return (stop.code or 0) & 0xFF
    print(stop.code, file=sys.stderr)
    return 1


if __name__ == "__main__":
    serve(sys.argv[1])
