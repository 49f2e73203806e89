"""A command: hand all over to the server, pass signals on, end as the command ends. REAL and SOCKET are set above."""

import marshal
import os
import signal
import socket
import sys
import time

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def connected() -> socket.socket:
    """To the server, which may still be starting."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    deadline = time.monotonic() + 120
    while not os.path.exists(SOCKET):  # noqa: F821
        if time.monotonic() > deadline:
            sys.exit(f"no server at {SOCKET}")  # noqa: F821
        time.sleep(0.05)
    connection.connect(SOCKET)  # noqa: F821
    return connection


def inherited() -> list[int]:
    """The numbers of the open files that a program would get."""
    found = []
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            if os.get_inheritable(number):
                found.append(number)
        except OSError:  # that of the listing itself
            continue
    return found


def main() -> int:
    words = sys.argv[1:]
    if os.path.basename(REAL) == "python":  # noqa: F821
        while words[:1] in (["-u"], ["-B"]):
            del words[0]
        if not words or words[0][0] == "-" and words[0] not in ("-m", "-c"):
            os.execv(REAL, [REAL, *words])  # noqa: F821
    os.environ["PYTHON_EXEC"] = os.path.join(os.path.dirname(SOCKET), "python")  # noqa: F821  # what starts more of them
    files, mask = inherited(), os.umask(0)
    os.umask(mask)
    connection = connected()
    message = marshal.dumps((REAL, words, dict(os.environ), os.getcwd(), files, mask))  # noqa: F821
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda sent, _: connection.send(bytes([sent])))
    connection.sendall(len(message).to_bytes(8, "little"))
    socket.send_fds(connection, [b"."], files)
    connection.sendall(message)
    code = int(connection.recv(64) or -signal.SIGKILL)
    if code < 0:  # it was ended by a signal: so is this
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


sys.exit(main())
