"""Runs every benchmark: `python bench/run.py [--quick]`."""

import argparse

import echo
import rpc


def main() -> None:
    """The tables of each benchmark, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter slices: a first impression")
    options = ["--quick"] if parser.parse_args().quick else []
    echo.main(options)
    rpc.main(options)


if __name__ == "__main__":
    main()
