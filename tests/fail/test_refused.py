#!/usr/bin/python3
"""What cannot be read is refused by its own name with the line that helps, on one process and on two: each kind of checkpoint that
people have and that holds no tensors to compare as it is, what stands beside a model and is named by mistake, a run's folder, a
download that has not ended. The inputs are the least that tells the kind; each ends within seconds with status 3 and one message."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import numpy as np  # noqa: E402
import sinewlib as lib  # noqa: E402

LIMIT_SEC = 20
CELL = '  - {family: f, algorithm: a, seed: %d, base: models/base, tuned: "%s"}\n'
CONFIG = """study: refused
output: out
memory_per_process: 64 MiB
cells:
%sstages:
  load: {}
  delta: {needs: [load]}
"""
TENSORS = {"model.layers.0.mlp.up_proj.weight": ("BF16", np.arange(6, dtype=np.uint16).reshape(2, 3))}
HDF5 = b"\x89HDF\r\n\x1a\n" + bytes(40)

# What is on disk (a name that ends with "/" is a folder, None a model), what is named, and what the message must say.
REFUSED = [
    # formats
    ("gguf", {"t/m.Q8_0.gguf": b"GGUF\3\0\0\0", "t/config.json": b"{}"}, "t", ["a GGUF file of llama.cpp (m.Q8_0.gguf)", "gguf_file="]),
    ("gguf-file", {"m.gguf": b"GGUF\3\0\0\0"}, "m.gguf", ["m.gguf: a GGUF file of llama.cpp", "save_pretrained"]),
    ("gguf-as-bin", {"pytorch_model.bin": b"GGUF\3\0\0\0" + bytes(20)}, "pytorch_model.bin", ["a GGUF file of llama.cpp"]),
    ("llama", {"t/consolidated.00.pth": b"PK", "t/consolidated.01.pth": b"PK", "t/params.json": b"{}", "t/tokenizer.model": b""}, "t",
     ["as Llama and Mistral publish them", "(consolidated.00.pth)", "transformers.models.llama.convert_llama_weights_to_hf --input_dir"]),
    ("llama-part", {"t/consolidated.00.pth": b"PK", "t/consolidated.01.pth": b"PK"}, "t/consolidated.01.pth",
     ["consolidated.01.pth: the parts of a model", "cut for tensor parallelism"]),
    ("mistral", {"t/consolidated.safetensors": b"", "t/params.json": b"{}", "t/tekken.json": b"{}"}, "t",
     ["Mistral's own format", "convert_mistral_weights_to_hf", "--is_v3"]),
    ("adapter", {"t/adapter_model.safetensors": b"", "t/README.md": b""}, "t", ["the weights of an adapter (PEFT) without its adapter_config.json"]),
    ("megatron", {"t/mp_rank_00/model_optim_rng.pt": b"PK"}, "t", ["a legacy checkpoint of Megatron-LM", "--ckpt-convert-format torch_dist"]),
    ("megatron-run", {"t/iter_0000100/mp_rank_01_003/model_optim_rng.pt": b"PK", "t/latest_checkpointed_iteration.txt": b"100"}, "t/iter_0000100",
     ["(mp_rank_01_003/model_optim_rng.pt)", "--ckpt-convert-save OUT"]),
    ("megatron-file", {"mp_rank_00/model_optim_rng.pt": b"PK"}, "mp_rank_00/model_optim_rng.pt", ["a legacy checkpoint of Megatron-LM"]),
    ("megatron-zarr", {"t/common.pt": b"PK", "t/metadata.json": b"{}", "t/model.embedding.weight/.zarray": b"{}"}, "t",
     ["Megatron-LM in its zarr format", "(model.embedding.weight/.zarray)"]),
    ("nemo", {"t/context/model.yaml": b"", "t/weights/x": b""}, "t", ["a checkpoint of NeMo", "nemo llm export -y path=FOLDER target=hf output_path=OUT"]),
    ("nemo1", {"m.nemo": b"x"}, "m.nemo", ["an archive of NeMo 1", "convert_llama_nemo_to_hf.py"]),
    ("nemo1-open", {"t/model_weights.ckpt": b"PK", "t/model_config.yaml": b""}, "t", ["an archive of NeMo 1 (model_weights.ckpt)"]),
    ("pipeline", {"t/layer_00-model_00-model_states.pt": b"PK", "t/layer_01-model_00-model_states.pt": b"PK"}, "t",
     ["the modules of a pipeline as DeepSpeed writes them", "deepspeed_to_transformers.py"]),
    ("orbax", {"t/_CHECKPOINT_METADATA": b"{}", "t/_METADATA": b"{}", "t/manifest.ocdbt": b"", "t/d/0": b""}, "t",
     ["a checkpoint of JAX (orbax, OCDBT)", "PyTreeCheckpointer().restore"]),
    ("orbax-step", {"t/default/manifest.ocdbt": b"", "t/default/_METADATA": b"{}"}, "t", ["(default/manifest.ocdbt)"]),
    ("orbax-run", {"t/7/default/manifest.ocdbt": b""}, "t", ["a checkpoint of JAX (orbax, OCDBT) (7/default/manifest.ocdbt)"]),
    ("flax", {"t/flax_model.msgpack": b"\x81", "t/config.json": b"{}"}, "t", ["a checkpoint of Flax", "from_flax=True", "transformers<5"]),
    ("tf", {"t/tf_model.h5": HDF5, "t/config.json": b"{}"}, "t", ["weights of TensorFlow", "from_tf=True"]),
    ("tf1", {"t/model.ckpt.index": b"", "t/model.ckpt.data-00000-of-00001": b""}, "t", ["a checkpoint of TensorFlow", "load_checkpoint"]),
    ("keras", {"t/model.weights.h5": HDF5}, "t", ["weights of Keras"]),
    ("npz", {"t/weights.npz": b"PK\3\4"}, "t", ["an archive of numpy's arrays", "numpy.load"]),
    ("npz-file", {"weights.npz": b"PK\3\4"}, "weights.npz", ["weights.npz: an archive of numpy's arrays"]),
    ("tensorrt", {"t/rank0.engine": b"", "t/config.json": b"{}"}, "t", ["an engine of TensorRT", "name the checkpoint that it was made from"]),
    ("tensorrt-plan", {"m.plan": b"x"}, "m.plan", ["an engine of TensorRT"]),
    ("onnx", {"t/onnx/model.onnx": b""}, "t", ["a graph of ONNX (onnx/model.onnx)", "made from"]),
    ("coreml", {"t/Model.mlpackage/Manifest.json": b"{}"}, "t", ["a model of Core ML"]),
    ("lightning", {"epoch=1-step=10.ckpt": b"PK\3\4"}, "epoch=1-step=10.ckpt", ["a checkpoint of PyTorch Lightning", "NAME.pt"]),
    ("hdf5", {"weights.h5": HDF5}, "weights.h5", ["an HDF5 file", "logits"]),
    ("npy", {"logits.npy": b"\x93NUMPY\1\0"}, "logits.npy", ["an array of numpy", "logits"]),
    ("web-page", {"model.safetensors": b"<!doctype html><html>Access denied</html>"}, "model.safetensors", ["is a web page", "hf download"]),
    ("lfs", {"t/model.safetensors": b"version https://git-lfs.github.com/spec/v1\n"}, "t", ["git-lfs pointer", "git lfs pull"]),
    # downloads and copies that have not ended
    ("incomplete", {"t/config.json": b"{}", "t/.cache/huggingface/download/x.incomplete": b"1"}, "t", ["a download or copy that has not ended", "hf download"]),
    ("tmp", {"t/model.safetensors.tmp": b"1"}, "t", ["a download or copy that has not ended (model.safetensors.tmp)"]),
    ("incomplete-file", {"model.safetensors.incomplete": b"1"}, "model.safetensors.incomplete", ["has not ended"]),
    ("hub-incomplete", {"models--a--b/snapshots/1f/config.json": b"{}", "models--a--b/blobs/9.incomplete": b"1", "models--a--b/refs/main": b"1f"},
     "models--a--b", ["blobs", "a download or copy that has not ended (9.incomplete)"]),
    # named by mistake
    ("optimizer", {"t/optimizer/optimizer.bin": b"PK", "t/model": None}, "t/optimizer", ["holds the states of an optimiser (optimizer.bin), no model", "study/t: model"]),
    ("optimizer-file", {"t/optimizer.pt": b"PK", "t/model.safetensors": None}, "t/optimizer.pt", ["holds the states of an optimiser, no model", "the model is in its folder: name optimizer-file/study/t"]),
    ("states", {"t/trainer_state.json": b"{}", "t/rng_state_0.pth": b"PK"}, "t", ["holds a trainer's states", "name the folder or the file"]),
    ("arguments", {"t/training_args.bin": b"PK"}, "t/training_args.bin", ["training_args.bin: holds a trainer's states"]),
    ("tokenizer", {"t/tokenizer/tokenizer.json": b"{}", "t/step-1": None, "t/step-2": None}, "t/tokenizer",
     ["holds a tokenizer (tokenizer.json), no model", "study/t: step-1, step-2"]),
    ("data", {"t/train-00000.parquet": b"PAR1"}, "t", ["holds a data set"]),
    ("run", {"t/checkpoint-100": None, "t/checkpoint-20": None, "t/runs/x": b""}, "t",
     ["holds 2 checkpoints (checkpoint-20, checkpoint-100)", "run/study/t/checkpoint-{step}"]),
    ("run-of-many", {"t/a": None, "t/b": None, "t/tokenizer.json": b""}, "t", ["holds 2 checkpoints (a, b)", "name one of them"]),
    ("one-below", {"t/hf": None, "t/optimizer.pt": b"PK"}, "t", ["its folder hf holds one: name one-below/study/t/hf"]),
    # the hub's cache
    ("hub-two", {"models--a--b/snapshots/1f": None, "models--a--b/snapshots/2f": None, "models--a--b/blobs/x": b""}, "models--a--b",
     ["with 2 snapshots (1f, 2f) and no refs/main"]),
    ("hub-gone", {"models--a--b/snapshots/1f": None, "models--a--b/refs/main": b"2f\n", "models--a--b/blobs/x": b""}, "models--a--b",
     ["refs/main names snapshot 2f", "holds 1f"]),
    ("hub-leaves", {"models--a--b/snapshots/1f": None, "models--a--b/refs/main": b"../../x", "models--a--b/blobs/x": b""}, "models--a--b",
     ["expected the name of a snapshot", "no name of a folder"]),
    # nothing known
    ("nothing", {"t/": None}, "t", ["no model found", "found nothing"]),
    ("no-name", {"t/weights.bin": b"PK"}, "t", ["no model found", "found weights.bin"]),
]


class Refused(lib.Case):
    def make(self, root, files):
        for name, data in files.items():
            path = os.path.join(root, name)
            if name.endswith("/"):
                os.makedirs(path)
            elif data is None and name.endswith(".safetensors"):
                lib.write_checkpoint(os.path.dirname(path), TENSORS)
            elif data is None:
                lib.write_checkpoint(path, TENSORS)
            else:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "wb") as f:
                    f.write(data)

    def study(self, tuned):
        """A study of one cell on each of the paths."""
        lib.write_checkpoint(self.path("models", "base"), TENSORS)
        return self.write("s.yaml", CONFIG % "".join(CELL % (i, path) for i, path in enumerate(tuned)))

    def refused(self, tuned, words, np_=2):
        run = lib.run_sinew(np_, ["run", self.study([tuned])], cwd=self.dir, timeout=LIMIT_SEC)
        self.assertEqual(run.returncode, 3, run.text())
        self.assertEqual(len(run.errors()), 1, run.text())
        for word in words:
            self.assertIn(word, run.errors()[0])
        self.assertFalse(os.path.exists(self.path("out", "refused.h5")))

    def test_one_process(self):
        """check names all of them, each once."""
        for name, files, _, _ in REFUSED:
            self.make(self.path(name, "study"), files)
        paths = [os.path.join(name, "study", tuned) for name, _, tuned, _ in REFUSED]
        run = lib.run_sinew(0, ["check", self.study(paths)], cwd=self.dir, timeout=LIMIT_SEC)
        self.assertEqual(run.returncode, 3, run.text())
        errors = run.errors()
        for (name, _, _, words), path in zip(REFUSED, paths):
            with self.subTest(name):
                mine = [line for line in errors if "data: %s:" % path in line or "data: %s/" % path in line]
                self.assertEqual(len(mine), 1, run.text())
                for word in words:
                    self.assertIn(word, mine[0])
        self.assertEqual(len(errors), len(REFUSED) + 1, errors[-1])  # and how many there are

    def test_two_processes(self):
        for name, files, tuned, words in REFUSED:
            with self.subTest(name):
                self.make(self.path(name, "study"), files)
                self.refused(os.path.join(name, "study", tuned), words)

    def test_missing_skip(self):
        """What is of a known kind is no missing checkpoint: it is refused, not left out in silence. A download that has not
        ended is as good as missing."""
        self.make(self.path("t"), {"m.gguf": b"GGUF"})
        self.make(self.path("u"), {"x.incomplete": b""})
        for tuned, status, words in ((["models/base", "t"], 3, "a GGUF file"), (["models/base", "u"], 0, "1 of 2 cells left out")):
            config = self.study(tuned)
            with open(config, "a") as f:
                f.write("missing: skip\n")
            run = lib.run_sinew(0, ["run", config], cwd=self.dir, timeout=LIMIT_SEC)
            self.assertEqual(run.returncode, status, run.text())
            self.assertIn(words, run.text())

    def test_what_is_no_file(self):
        """A pipe, a device, a link in a circle: said, never waited for."""
        for name, make in (("pipe.gguf", os.mkfifo), ("model.safetensors", os.mkfifo), ("circle", lambda p: os.symlink("circle", p)),
                           ("zero.bin", lambda p: os.symlink("/dev/zero", p))):
            with self.subTest(name):
                make(self.path(name))
                for np_ in (0, 2):
                    run = lib.run_sinew(np_, ["run", self.study([name])], cwd=self.dir, timeout=LIMIT_SEC)
                    self.assertIn(run.returncode, (3, 4), run.text())
                    self.assertEqual(len(run.errors()), 1, run.text())

    def test_hostile_names(self):
        """Control characters in the names of a folder do not reach the terminal; a folder that holds itself by a link, and one of
        very many entries, end soon."""
        self.make(self.dir, {"t/a\x1b[31m.gguf": b"GGUF", "many/x": b""})
        self.refused("t", ["a?[31m.gguf"])
        os.symlink(".", self.path("many", "again"))
        for i in range(3000):
            os.mkdir(self.path("many", "d%d" % i))
        self.refused("many", ["no model found"])


if __name__ == "__main__":
    lib.main()
