"""What the command's exit code says."""

DONE = 0
FAILED = 1  # something failed: run again to resume
WRONG_INPUT = 2  # the user's input cannot be used; nothing was done
INTERRUPTED = 130  # 128 + SIGINT, as shells expect
