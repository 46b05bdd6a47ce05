#!/usr/bin/python3
"""No room, whatever it is that is short and whenever: one message, status 4, nothing incomplete, and the next run goes on (a few points of
tests/campaign/full.py, which has the long form)."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "campaign"))
import full
import sinewlib as lib


class Full(lib.Case):
    def test_points(self):
        self.assertEqual(full.run(8, 5).failures, [])


if __name__ == "__main__":
    lib.main()
