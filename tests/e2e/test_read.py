#!/usr/bin/python3
"""However checkpoints are read, the archive is the same, to the bit: plainly, ahead, and ahead past the page cache (where the file
system has that), with blocks smaller and larger than a tensor, by delta and by the stages that read the pair again."""
import os

import sinewlib as lib

WAYS = [("pread", "512 KiB", 1), ("thread", "64 KiB", 2), ("direct", "64 KiB", 2), ("direct", "4 MiB", 1), ("auto", "64 KiB", 1)]


class Reading(lib.Case):
    def study(self, read, block, np):
        output = self.path("%s-%s" % (read, block.replace(" ", "")))
        text = lib.awkward_config(self.path("models"), output, "bf16")
        text = "read: %s\nread_block: %s\n" % (read, block) + text.replace("delta: {", "delta: {store: none, ", 1)
        self.sinew(["run", self.write(output + ".yaml", text)], np=np)
        return os.path.join(output, "awkward.h5")

    def test_ways(self):
        lib.make_awkward(self.path("models"))
        first = self.study(*WAYS[0])
        for way in WAYS[1:]:
            with self.subTest(way=way):
                self.assertEqual(lib.compare_archives(first, self.study(*way)), [])


if __name__ == "__main__":
    lib.main()
