#!/usr/bin/python3
"""All that people have on disk, one row a situation: scales, packings and quantizers; wrappers, heads, towers and buffers; index files
and shards in every disorder; config.json as Python writes it; the hub's cache; trainers' maps. Each row's inputs are made here, small;
what is expected is numpy's figures, or a message and its status. Prints the table."""
import importlib

import sinewlib as lib
import situationlib as table

for part in ("situations_scales", "situations_packed", "situations_folders", "situations_names"):
    importlib.import_module(part)


class Situations(lib.Case):
    def test_every_row(self):
        whole = table.Table(self.dir)
        whole.run_all()
        self.assertEqual(whole.print(), [])


if __name__ == "__main__":
    lib.main()
