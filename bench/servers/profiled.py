"""Runs another program, from SIGUSR1 on under cProfile, until SIGINT. Arguments: STATS SCRIPT [ITS ARGUMENTS]."""

import cProfile
import runpy
import signal
import sys

if __name__ == "__main__":
    stats, sys.argv = sys.argv[1], sys.argv[2:]
    profile = cProfile.Profile()
    signal.signal(signal.SIGUSR1, lambda number, frame: profile.enable())
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except KeyboardInterrupt:
        pass
    finally:
        profile.dump_stats(stats)
