#include "formats/folders/unread.h"

#include "base/file.h"
#include "base/path.h"
#include "base/text.h"
#include "formats/format.h"

#include <dirent.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MAX_PATTERNS = 7,
    MAX_ENTRIES = 20000, /* of a folder that are looked at */
    MAX_LOOKED = 2000,   /* folders in a folder that are asked whether they hold a model */
    MAX_SHOWN = 6,
    HEAD_BYTES = 16
};

/* ---- the table ---- */

/* A kind of what is not read. Patterns are those of the shell; "a/b" is b in a folder a. */
struct unread_kind {
    const char *what;                  /* "a GGUF file of llama.cpp" */
    const char *cure;                  /* what to do; FOLDER, FILE and OUT stand for the user's own */
    const char *entries[MAX_PATTERNS]; /* in a folder: any of them tells the kind */
    const char *files[MAX_PATTERNS];   /* the name of a file */
    const char *head;                  /* or how it begins */
    int part;                          /* a model's, of which the rest is not there */
    const char *others; /* a file is refused only with such a one beside it, another than itself */
};

#define GGUF_CURE                                                                                                    \
    "convert it: pip install torch transformers gguf; python -c \"from transformers import AutoModelForCausalLM as " \
    "M; M.from_pretrained('FOLDER', gguf_file='FILE').save_pretrained('OUT')\"; one whose weights are quantized "    \
    "shows its quantizer, not the training"
#define BUILT_FROM "it does not give the weights back: name the checkpoint that it was made from"
#define MEGATRON_CURE                                                                                       \
    "have Megatron-LM convert it: the training's own command again, with --ckpt-convert-format torch_dist " \
    "--ckpt-convert-save OUT, then name OUT's iter_ folder"

/* Formats, in the order in which a folder is asked for them; what has not ended is the first. */
static const struct unread_kind formats[] = {
    {
        .what = "a download or copy that has not ended",
        .part = 1,
        .cure =
            "fetch it again (hf download ORG/NAME --local-dir FOLDER goes on where it ended), then name the folder",
        .entries = {"*.incomplete", "*.safetensors.tmp", "*.bin.tmp", "*.aria2", "*.crdownload", "*.part",
                    ".cache/huggingface/download/*.incomplete"},
        .files = {"*.incomplete", "*.tmp", "*.aria2", "*.crdownload", "*.part"},
    },
    {
        .what = "a GGUF file of llama.cpp",
        .cure = GGUF_CURE,
        .entries = {"*.gguf"},
        .files = {"*.gguf"},
        .head = "GGUF",
    },
    {
        .what =
            "the parts of a model as Llama and Mistral publish them, cut for tensor parallelism, with other names "
            "and another order of rows than Hugging Face's",
        .cure = "convert them: pip install torch 'transformers==4.46.3'; python -m "
                "transformers.models.llama.convert_llama_weights_to_hf --input_dir FOLDER --llama_version 3 "
                "--num_shards N --output_dir OUT, N being how many consolidated files there are (Mistral: "
                "transformers.models.mistral.convert_mistral_weights_to_hf --model_size 7B)",
        .entries = {"consolidated.[0-9]*.pth"},
        .files = {"consolidated.[0-9]*.pth"},
        .others = "consolidated.[0-9]*.pth",
    },
    {
        .what = "the weights of an adapter (PEFT) without its adapter_config.json",
        .part = 1,
        .cure = "copy adapter_config.json beside them: without it neither rank nor scale is known",
        .entries = {"adapter_model.safetensors", "adapter_model.bin"},
    },
    {
        .what = "Mistral's own format, with other names and another order of rows than Hugging Face's",
        .cure = "name the folder with model*.safetensors of the same model, or convert it: pip install torch "
                "'transformers==4.46.3'; python -m transformers.models.mistral.convert_mistral_weights_to_hf "
                "--input_dir FOLDER --model_size 7B --is_v3 --output_dir OUT",
        .entries = {"consolidated.safetensors", "consolidated.safetensors.index.json",
                    "consolidated-[0-9]*-of-[0-9]*.safetensors"},
    },
    {
        .what = "a legacy checkpoint of Megatron-LM, cut for tensor and pipeline parallelism",
        .cure = MEGATRON_CURE,
        .entries = {"mp_rank_[0-9]*/model_optim_rng.pt", "iter_[0-9]*/mp_rank_[0-9]*/model_optim_rng.pt",
                    "release/mp_rank_[0-9]*/model_optim_rng.pt", "model_optim_rng.pt",
                    "mp_rank_[0-9]*/model_rng.pt", "iter_[0-9]*/mp_rank_[0-9]*/model_rng.pt"},
        .files = {"model_optim_rng.pt", "model_rng.pt"},
    },
    {
        .what = "a checkpoint of Megatron-LM in its zarr format",
        .cure = MEGATRON_CURE,
        .entries = {"*/.zarray", "*/*/.zarray"},
    },
    {
        .what = "a checkpoint of NeMo",
        .cure = "export it with NeMo: nemo llm export -y path=FOLDER target=hf output_path=OUT",
        .entries = {"context/model.yaml", "context/io.json", "weights/common.pt"},
    },
    {
        .what = "an archive of NeMo 1",
        .cure =
            "convert it with NeMo's script of your model's family: python "
            "scripts/checkpoint_converters/convert_llama_nemo_to_hf.py --input_name_or_path FILE --output_path "
            "OUT/pytorch_model.bin",
        .entries = {"*.nemo", "model_weights.ckpt", "model_weights/.zarray"},
        .files = {"*.nemo", "model_weights.ckpt"},
    },
    {
        .what =
            "the modules of a pipeline as DeepSpeed writes them, one file a layer, with names that number layers",
        .cure =
            "have the trainer save the whole model, or gather it with the converter of the code that trained it "
            "(Megatron-DeepSpeed: tools/convert_checkpoint/deepspeed_to_transformers.py --input_folder FOLDER "
            "--output_folder OUT)",
        .entries = {"layer_[0-9]*-model_states.pt", "layer_[0-9]*-model_[0-9]*-model_states.pt",
                    "global_step[0-9]*/layer_[0-9]*-model_states.pt",
                    "global_step[0-9]*/layer_[0-9]*-model_[0-9]*-model_states.pt"},
        .files = {"layer_[0-9]*-model_states.pt"},
    },
    {
        .what = "a checkpoint of JAX (orbax, OCDBT)",
        .cure =
            "write its arrays as safetensors (their names stay JAX's): pip install orbax-checkpoint flax "
            "safetensors; python -c \"import sys,numpy,orbax.checkpoint as o,safetensors.numpy as s;from "
            "flax.traverse_util import flatten_dict as f;s.save_file({k:numpy.asarray(v) for k,v in "
            "f(o.PyTreeCheckpointer().restore(sys.argv[1]),sep='.').items()},sys.argv[2])\" /ABSOLUTE/FOLDER "
            "OUT/model.safetensors",
        .entries = {"manifest.ocdbt", "_CHECKPOINT_METADATA", "_METADATA", "*/manifest.ocdbt",
                    "*/_CHECKPOINT_METADATA", "*/*/manifest.ocdbt", "ocdbt.process_[0-9]*"},
    },
    {
        .what = "a checkpoint of Flax",
        .cure =
            "convert it: pip install torch flax 'transformers<5'; python -c \"from transformers import "
            "AutoModelForCausalLM as M; M.from_pretrained('FOLDER', from_flax=True).save_pretrained('OUT')\"",
        .entries = {"flax_model*.msgpack", "flax_model.msgpack.index.json", "*.msgpack"},
        .files = {"*.msgpack"},
    },
    {
        .what = "weights of TensorFlow",
        .cure =
            "convert them: pip install torch tensorflow tf-keras 'transformers<5'; python -c \"from transformers "
            "import AutoModelForCausalLM as M; M.from_pretrained('FOLDER', from_tf=True).save_pretrained('OUT')\"",
        .entries = {"tf_model*.h5", "tf_model.h5.index.json"},
        .files = {"tf_model*.h5"},
    },
    {
        .what = "a checkpoint of TensorFlow",
        .cure =
            "write its arrays as safetensors (their names stay TensorFlow's): pip install tensorflow safetensors; "
            "python -c \"import sys,tensorflow as t,safetensors.numpy as s;r=t.train.load_checkpoint(sys.argv[1]);"
            "s.save_file({k:r.get_tensor(k) for k,d in r.get_variable_to_dtype_map().items() if "
            "d.is_floating},sys.argv[2])\" FOLDER/NAME.ckpt OUT/model.safetensors",
        .entries = {"*.ckpt.index", "*.ckpt-[0-9]*.index", "ckpt-[0-9]*.index", "*.data-00000-of-[0-9]*",
                    "saved_model.pb"},
        .files = {"*.ckpt.index", "*.ckpt-[0-9]*.index", "*.data-[0-9]*-of-[0-9]*", "saved_model.pb"},
    },
    {
        .what = "weights of Keras",
        .cure = "write them as safetensors under the base's names with the library that made them",
        .entries = {"*.weights.h5", "*.keras"},
        .files = {"*.weights.h5", "*.keras"},
    },
    {
        .what = "an archive of numpy's arrays, as MLX and others write them",
        .cure =
            "write it as safetensors: pip install safetensors; python -c \"import sys,numpy,safetensors.numpy as "
            "s;s.save_file(dict(numpy.load(sys.argv[1])),sys.argv[2])\" FILE OUT/model.safetensors",
        .entries = {"*.npz"},
        .files = {"*.npz"},
    },
    {
        .what = "an engine of TensorRT",
        .cure = BUILT_FROM,
        .entries = {"rank[0-9]*.engine", "*.engine", "*.plan"},
        .files = {"*.engine", "*.plan", "*.trt"},
    },
    {
        .what = "a graph of ONNX",
        .cure = BUILT_FROM,
        .entries = {"*.onnx", "onnx/*.onnx", "*.onnx_data"},
        .files = {"*.onnx", "*.onnx_data"},
    },
    {
        .what = "a model of Core ML",
        .cure = BUILT_FROM,
        .entries = {"*.mlpackage", "*.mlmodel", "*.mlmodelc"},
        .files = {"*.mlpackage", "*.mlmodel", "*.mlmodelc"},
    },
    {
        .what = "a checkpoint of PyTorch Lightning or another trainer",
        .cure = "if torch.save wrote it, give it torch's ending (ln -s FILE NAME.pt) and name that",
        .entries = {"*.ckpt"},
        .files = {"*.ckpt"},
    },
    {
        .what = "an HDF5 file",
        .cure =
            "logits are named under `logits`; weights are written as safetensors under the base's names with the "
            "library that made them",
        .files = {"*.h5", "*.hdf5"},
        .head = "\x89HDF\r\n\x1a\n",
    },
    {
        .what = "the folder of a run whose latest step is not in it",
        .part = 1,
        .cure = "copy the folder of the step that the file names too, or name that of another step",
        .entries = {"latest_checkpointed_iteration.txt"},
    },
    {
        .what = "an array of numpy",
        .cure =
            "a model has many: name the folder or file that holds them all; logits are named under `logits`",
        .files = {"*.npy"},
        .head = "\x93NUMPY",
    },
};

/* What stands beside a model, and is named by mistake. */
static const struct unread_kind beside[] = {
    {
        .what = "holds the states of an optimiser",
        .entries = {"optimizer.pt", "optimizer.bin", "optim_world_size_*_rank_*.pt", "*_optim_states.pt",
                    "distrib_optim.pt", "optimizer*.safetensors", "optimizer.pth"},
        .files = {"optimizer.pt", "optimizer.bin", "optim_world_size_*_rank_*.pt", "*_optim_states.pt",
                  "distrib_optim.pt", "optimizer*.safetensors", "optimizer.pth"},
    },
    {
        .what = "holds a trainer's states (schedule, random numbers, arguments)",
        .entries = {"trainer_state.json", "training_args.bin", "scheduler.pt", "scheduler.bin",
                    "rng_state*.pth", "random_states_[0-9]*.pkl", "extra_state_world_size_*_rank_*.pt"},
        .files = {"trainer_state.json", "training_args.bin", "scheduler.pt", "scheduler.bin",
                  "rng_state*.pth", "random_states_[0-9]*.pkl", "extra_state_world_size_*_rank_*.pt"},
    },
    {
        .what = "holds a tokenizer",
        .entries = {"tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt",
                    "merges.txt", "tekken.json"},
        .files = {"tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt",
                  "merges.txt", "tekken.json"},
    },
    {
        .what = "holds a data set",
        .entries = {"*.parquet", "*.arrow", "*.jsonl", "dataset_info.json", "dataset_dict.json"},
        .files = {"*.parquet", "*.arrow", "*.jsonl"},
    },
};

enum { NFORMATS = sizeof formats / sizeof *formats, NBESIDE = sizeof beside / sizeof *beside };

/* ---- looking ---- */

/* The names in a folder, sorted, but for "." and ".."; none where it cannot be listed. */
static err_t names_in(const char *dir, const char ***out, int64_t *n, struct arena *a, struct err *e)
{
    int64_t cap = 0;
    DIR *d = opendir(dir);
    *out = NULL;
    *n = 0;
    for (struct dirent *entry = d ? readdir(d) : NULL; entry && *n < MAX_ENTRIES && e->code == ERR_OK;
         entry = readdir(d))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            arena_grow(a, "checkpoint.listing", *n + 1, &cap, out, e) == ERR_OK &&
            ((*out)[*n] = arena_strdup(a, entry->d_name, e)))
            ++*n;
    if (d)
        closedir(d);
    if (*n > 1 && e->code == ERR_OK)
        qsort(*out, (size_t)*n, sizeof **out, text_order);
    return e->code;
}

/* Does an entry of the folder fit the pattern? Its pieces lead that many folders down, which bounds the
 * depth. The entry, relative to dir, into found (PATH_MAX bytes). */
static int fits_below(const char *dir, const char *pattern, char *found)
{
    char piece[NAME_MAX + 1], path[PATH_MAX], below[PATH_MAX];
    const char *rest = strchr(pattern, '/');
    snprintf(piece, sizeof piece, "%.*s", rest ? (int)(rest - pattern) : (int)strlen(pattern), pattern);
    if (!rest && !strpbrk(piece, "*?["))
        return format_has_entry(dir, piece) && snprintf(found, PATH_MAX, "%s", piece) < PATH_MAX;
    int any = 0, looked = 0;
    DIR *d = opendir(dir);
    for (struct dirent *entry = d ? readdir(d) : NULL; entry && !any && looked < MAX_LOOKED;
         entry = readdir(d)) {
        const char *name = entry->d_name;
        looked++;
        if (name[0] == '.' || fnmatch(piece, name, FNM_PERIOD) != 0)
            continue;
        below[0] = '\0';
        any = !rest || (snprintf(path, sizeof path, "%s/%s", dir, name) < (int)sizeof path &&
                        fits_below(path, rest + 1, below));
        any = any && snprintf(found, PATH_MAX, "%s%s%s", name, rest ? "/" : "", below) < PATH_MAX;
    }
    if (d)
        closedir(d);
    return any;
}

/* The first of the folder's names that fits, or what is below it and does. */
static int fits_folder(const char *dir, const char *const *names, int64_t n, const char *pattern, char *found)
{
    char piece[NAME_MAX + 1], path[PATH_MAX], below[PATH_MAX] = "";
    const char *rest = strchr(pattern, '/');
    int looked = 0;
    snprintf(piece, sizeof piece, "%.*s", rest ? (int)(rest - pattern) : (int)strlen(pattern), pattern);
    for (int64_t i = 0; i < n && looked < MAX_LOOKED; i++) {
        if (fnmatch(piece, names[i], FNM_PERIOD) != 0)
            continue;
        looked += rest != NULL;
        if (rest && (snprintf(path, sizeof path, "%s/%s", dir, names[i]) >= (int)sizeof path ||
                     !fits_below(path, rest + 1, below)))
            continue;
        if (snprintf(found, PATH_MAX, "%s%s%s", names[i], rest ? "/" : "", below) < PATH_MAX)
            return 1;
    }
    return 0;
}

/* The row that knows the folder, and the entry by which. */
static const struct unread_kind *kind_of_folder(const struct unread_kind *kinds, int nkinds, const char *dir,
                                                const char *const *names, int64_t n, char *found)
{
    for (const struct unread_kind *k = kinds; k < kinds + nkinds; k++)
        for (int i = 0; i < MAX_PATTERNS && k->entries[i]; i++)
            if (fits_folder(dir, names, n, k->entries[i], found))
                return k;
    return NULL;
}

/* Is there another entry beside `name` that fits? */
static int has_other(const char *dir, const char *pattern, const char *name)
{
    DIR *d = opendir(dir);
    int any = 0, looked = 0;
    for (struct dirent *entry = d ? readdir(d) : NULL; entry && !any && looked < MAX_ENTRIES;
         entry = readdir(d)) {
        any = strcmp(entry->d_name, name) != 0 && fnmatch(pattern, entry->d_name, FNM_PERIOD) == 0;
        looked++;
    }
    if (d)
        closedir(d);
    return any;
}

/* The first bytes of a regular file; zeros where there are fewer, or it cannot be read: who opens it then
 * says why. */
static void read_head(const char *path, char head[HEAD_BYTES])
{
    struct file_stamp stamp;
    struct err ignored;
    int fd;
    memset(head, 0, HEAD_BYTES);
    err_clear(&ignored);
    if (file_open(path, &fd, &stamp, &ignored) != ERR_OK)
        return;
    if (pread(fd, head, HEAD_BYTES, 0) < 0)
        memset(head, 0, HEAD_BYTES);
    close(fd);
}

static const struct unread_kind *kind_of_file(const struct unread_kind *kinds, int n, const char *dir,
                                              const char *name, const char *head)
{
    for (const struct unread_kind *k = kinds; k < kinds + n; k++) {
        int fits = k->head && strncmp(head, k->head, strlen(k->head)) == 0;
        for (int i = 0; i < MAX_PATTERNS && k->files[i] && !fits; i++)
            fits = fnmatch(k->files[i], name, 0) == 0;
        if (fits && (!k->others || has_other(dir, k->others, name)))
            return k;
    }
    return NULL;
}

/* ---- models near by ---- */

static int by_number(const void *a, const void *b)
{
    return strverscmp(*(const char *const *)a, *(const char *const *)b);
}

/* The folders among dir's entries that hold a model, but for the one called `but`, by name with numbers by
 * value. */
static err_t models_in(const char *dir, const char *but, const char ***out, int64_t *n, struct arena *a,
                       struct err *e)
{
    char path[PATH_MAX], name[PATH_MAX];
    const struct format *format;
    const char **names;
    struct stat st;
    int64_t all, kept = 0;
    TRY(names_in(dir, &names, &all, a, e));
    for (int64_t i = 0; i < all && i < MAX_LOOKED; i++)
        if (names[i][0] != '.' && !(but && strcmp(names[i], but) == 0) &&
            snprintf(path, sizeof path, "%s/%s", dir, names[i]) < (int)sizeof path && stat(path, &st) == 0 &&
            S_ISDIR(st.st_mode) && format_look(path, &format, name, sizeof name) != FORMAT_NONE)
            names[kept++] = names[i];
    if (kept > 1)
        qsort(names, (size_t)kept, sizeof *names, by_number);
    *out = names;
    *n = kept;
    return ERR_OK;
}

/* Names as a message has them: the first few, without control characters. */
static char *shown(const char *const *names, int64_t n, struct arena *a, struct err *e)
{
    char *list = text_join(a, names, n < MAX_SHOWN ? (int)n : MAX_SHOWN, ", ", e);
    for (char *p = list; p && *p; p++)
        *p = (unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p;
    return list && n > MAX_SHOWN ? arena_printf(a, e, "%.400s, ...", list) : list;
}

/* What all names have in front of a number that is all they differ in: "checkpoint-" of checkpoint-100,
 * checkpoint-200; -1: they differ otherwise. */
static int common_stem(const char *const *names, int64_t n)
{
    int stem = (int)strcspn(names[0], "0123456789");
    for (int64_t i = 0; i < n; i++) {
        size_t digits = strlen(names[i]) > (size_t)stem ? strspn(names[i] + stem, "0123456789") : 0;
        if (strncmp(names[i], names[0], (size_t)stem) != 0 || digits == 0 ||
            names[i][(size_t)stem + digits] != '\0')
            return -1;
    }
    return stem;
}

/* A folder of checkpoints, as a run leaves it. */
static err_t refuse_run(const char *dir, struct arena *a, struct err *e)
{
    const char **names;
    int64_t n;
    TRY(models_in(dir, NULL, &names, &n, a, e));
    if (n == 0)
        return ERR_OK;
    char *list = shown(names, n, a, e);
    if (!list)
        return e->code;
    if (n == 1)
        return err_set(e, ERR_DATA,
                       "%s: no model found in the folder itself; its folder %.200s holds one: name %s/%.200s",
                       dir, list, dir, list);
    int stem = common_stem(names, n);
    if (stem < 0)
        return err_set(e, ERR_DATA, "%s: holds %lld checkpoints (%s) and is none itself: name one of them",
                       dir, (long long)n, list);
    return err_set(e, ERR_DATA,
                   "%s: holds %lld checkpoints (%s) and is none itself: name one of them, or all as steps: "
                   "%s/%.*s{step}",
                   dir, (long long)n, list, dir, stem, names[0]);
}

/* What was named by mistake, and where the model is: among the folders of `parent`, but for the one called
 * `but`, or in `parent` itself where a file was named. */
static err_t refuse_beside(const char *path, const struct unread_kind *k, const char *found,
                           const char *parent, const char *but, struct arena *a, struct err *e)
{
    char name[PATH_MAX], by[220] = "";
    const struct format *format;
    const char **names;
    int64_t n;
    if (found)
        snprintf(by, sizeof by, " (%.200s)", found);
    if (!but && format_look(parent, &format, name, sizeof name) != FORMAT_NONE)
        return err_set(e, ERR_DATA, "%s: %s, no model: the model is in its folder: name %s", path, k->what,
                       parent);
    TRY(models_in(parent, but, &names, &n, a, e));
    char *list = n > 0 ? shown(names, n, a, e) : arena_strdup(a, "", e);
    if (!list)
        return e->code;
    if (n > 0)
        return err_set(e, ERR_DATA, "%s: %s%s, no model: the model is beside it, in %s: %s", path, k->what,
                       by, parent, list);
    return err_set(e, ERR_DATA,
                   "%s: %s%s, no model: name the folder or the file that holds the model's weights", path,
                   k->what, by);
}

/* ---- refusing ---- */

/* An entry's name, fit for a message. */
static void hide_control(char *text)
{
    for (char *p = text; *p; p++)
        *p = (unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p;
}

err_t unread_refuse_folder(const char *dir, struct arena *a, struct err *e)
{
    char found[PATH_MAX];
    const char **names;
    int64_t n;
    TRY(refuse_run(dir, a, e));
    TRY(names_in(dir, &names, &n, a, e));
    const struct unread_kind *k = kind_of_folder(formats, NFORMATS, dir, names, n, found);
    if (!k)
        return ERR_OK;
    hide_control(found);
    if (k->part)
        err_mark_part(e);
    return err_set(e, ERR_DATA, "%s: %s (%.200s), which is not read: %s", dir, k->what, found, k->cure);
}

int unread_knows(const char *dir)
{
    char found[PATH_MAX];
    const char **names;
    int64_t n;
    struct mem m;
    struct arena a = {0};
    struct err e;
    mem_init(&m, 0);
    arena_init(&a, &m);
    err_clear(&e);
    int known = refuse_run(dir, &a, &e) != ERR_OK;
    if (!known && names_in(dir, &names, &n, &a, &e) == ERR_OK)
        known = kind_of_folder(formats + 1, NFORMATS - 1, dir, names, n, found) != NULL;
    arena_release(&a);
    return known;
}

err_t unread_refuse_beside(const char *dir, struct arena *a, struct err *e)
{
    char found[PATH_MAX];
    const char **names;
    int64_t n;
    TRY(names_in(dir, &names, &n, a, e));
    const struct unread_kind *k = kind_of_folder(beside, NBESIDE, dir, names, n, found);
    if (!k)
        return ERR_OK;
    char *clean = path_absolute(a, dir, e), *parent = clean ? path_dir(a, clean, e) : NULL;
    if (!parent)
        return e->code;
    hide_control(found);
    return refuse_beside(dir, k, found, parent, path_last(clean), a, e);
}

err_t unread_refuse_file(const char *path, struct arena *a, struct err *e)
{
    char head[HEAD_BYTES];
    char *clean = path_clean(a, path, e), *dir = clean ? path_dir(a, clean, e) : NULL;
    if (!dir)
        return e->code;
    read_head(path, head);
    const struct unread_kind *k = kind_of_file(formats, NFORMATS, dir, path_last(clean), head);
    if (k && k->part)
        err_mark_part(e);
    if (k)
        return err_set(e, ERR_DATA, "%s: %s, which is not read: %s", path, k->what, k->cure);
    k = kind_of_file(beside, NBESIDE, dir, path_last(clean), head);
    return k ? refuse_beside(path, k, NULL, dir, NULL, a, e) : ERR_OK;
}
