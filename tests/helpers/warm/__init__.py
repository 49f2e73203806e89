"""Commands that start in a moment: forked from a process that has imported torch and fairseq, in place of a new one.

`use()` is a PATH with `python`, `fairseq-train` and so on in front that are such. All that a process inherits is handed
over (arguments, environment, folder, open files), signals are passed on, and a command that is killed is dead. Only what
others wrote is imported before: the package itself is read anew each time.
"""

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
NAMES = ("python", "fairseq-train", "fairseq-validate", "fairseq-generate", "fairseq-interactive", "fairseq-preprocess")
NAMES += ("fairseq-hydra-train", "fairseq-latent", "torchrun")


def use() -> str:
    """A PATH whose commands start in a moment."""
    return os.pathsep.join([str(_commands()), str(BIN), os.environ["PATH"]])


def python() -> Path:
    """A Python that starts in a moment."""
    return _commands() / "python"


@functools.cache
def _commands() -> Path:
    """A folder of commands; the process that they are forked from ends with this one."""
    folder = Path(tempfile.mkdtemp(prefix="warm-"))  # sockets need short names
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    reader, writer = os.pipe()
    command = [sys.executable, str(HERE / "server.py"), str(folder / "socket")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    subprocess.Popen(command, stdin=reader, stdout=subprocess.DEVNULL, env=environment, start_new_session=True)
    os.close(reader)
    os.set_inheritable(writer, False)
    client = (HERE / "client.py").read_text("utf-8")
    for name in NAMES:
        head = f"#!{sys.executable} -IS\nREAL, SOCKET = {str(BIN / name)!r}, {str(folder / 'socket')!r}\n"
        (folder / name).write_text(head + client, "utf-8")
        (folder / name).chmod(0o755)
    return folder
