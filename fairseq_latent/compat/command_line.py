"""Work-arounds for the command line and the logs: `patches.apply` puts them in place."""

import functools
import logging
import os
import sys

from fairseq.logging import progress_bar

from ..errors import InputError, Page, printable
from .error_messages import Command

# flag -> the name under which fairseq has what it writes with, and its package
LOGGERS = {"wandb_project": ("wandb", "wandb"), "tensorboard_logdir": ("SummaryWriter", "tensorboardX")}


def show_all_flags(parse_args_and_arch):
    """--help is answered before the flags of --arch, --task and --criterion are known. Delete when it lists them."""

    @functools.wraps(parse_args_and_arch)
    def wrapped(parser, input_args=None, *args, **kwargs):
        parse = parser.parse_known_args

        def parse_first(arguments=None, namespace=None):
            vars(parser).pop("parse_known_args", None)  # the next parse knows all flags, and answers
            arguments = sys.argv[1:] if arguments is None else arguments
            needs_arch = "--arch" in parser._option_string_actions and parser.get_default("arch") is None
            if needs_arch and not any(word.startswith("--arch") for word in arguments):  # then there is no more to list
                return parse(arguments, namespace)
            return parse([word for word in arguments if word not in ("-h", "--help")], namespace)

        parser.parse_known_args = parse_first
        return parse_args_and_arch(parser, input_args, *args, **kwargs)

    return wrapped


def spare_the_terminal(parse_args_and_arch):
    """argparse repeats what it does not know, and fairseq's log names files: a terminal would obey what stands in them.

    Logs are made printable on terminals, of commands about our models: others may colour theirs.
    """

    @functools.wraps(parse_args_and_arch)
    def wrapped(parser, *args, **kwargs):
        complain = parser.error
        parser.error = lambda message: complain(printable(message))
        parsed = parse_args_and_arch(parser, *args, **kwargs)
        for handler in logging.getLogger().handlers if Command.ours else ():
            stream = getattr(handler, "stream", None)
            if isinstance(handler, logging.StreamHandler) and not isinstance(stream, Page) and stream.isatty():
                handler.setStream(Page(stream))
        return parsed

    return wrapped


def log_once(make_bar):
    """Every epoch's progress bar writes to --log-file beside those before it: line n stands there n times.

    And a log that was asked for is not left out because its package is missing: fairseq warns at every epoch. Delete when
    fairseq's progress_bar adds a file's handler once, and refuses what it cannot write.
    """

    @functools.wraps(make_bar)
    def wrapped(*args, log_file=None, **kwargs):
        for flag, needed in LOGGERS.items():
            if kwargs.get(flag) and getattr(progress_bar, needed[0]) is None:
                named = f"--{flag.replace('_', '-')} {kwargs[flag]}"
                raise InputError(
                    f"{named}: {needed[1]} is not installed; remedy: pip install {needed[1]}, or without it"
                )
        if log_file is not None:
            name = os.path.abspath(log_file)
            if any(getattr(handler, "baseFilename", None) == name for handler in progress_bar.logger.handlers):
                log_file = None
        return make_bar(*args, log_file=log_file, **kwargs)

    return wrapped
